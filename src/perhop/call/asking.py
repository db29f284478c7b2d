"""Puts the coordinator to work: sends what it releases, and wakes it when it wants to be woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable

from perhop.call.coordinator import ResponseCoordinator
from perhop.realtime.events import ResponseCreate, ServerEvent
from perhop.realtime.ids import IdFactory

__all__ = ["Asking"]


class Asking:
    """Asks one call's model for responses, on behalf of clients, tools and Perhop itself.

    Args:
        send: takes a request to the model.
        clock: seconds, monotonic.
    """

    def __init__(
        self, send: Callable[[ResponseCreate], None], *, clock: Callable[[], float], new_id: IdFactory
    ) -> None:
        self._coordinator = ResponseCoordinator(new_id)
        self._send = send
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def live_response_id(self) -> str | None:
        """The response of the default conversation that is being produced now."""
        return self._coordinator.live_response_id

    @property
    def asking(self) -> bool:
        """Whether a request is on its way to the model."""
        return self._coordinator.asking

    def automatic(self, automatic: bool) -> None:
        """Whether turn detection creates responses by itself."""
        self._coordinator.automatic = automatic

    def from_client(self, event: ResponseCreate, client: Hashable) -> None:
        """A client asks."""
        self._release(self._coordinator.from_client(event, self._clock(), client=client))

    def for_perhop(self, event: ResponseCreate) -> None:
        """Perhop itself asks, by an event that has an id."""
        self._release(self._coordinator.for_perhop(event, self._clock()))

    def for_tools(self, output_item_ids: Iterable[str]) -> None:
        """Tool outputs want an answer."""
        self._release(self._coordinator.for_tools(output_item_ids, self._clock()))

    def fill(self, event: ResponseCreate) -> bool:
        """Something to say while a tool runs, if nobody speaks; whether it was asked for."""
        requests = self._coordinator.fill(event, self._clock())
        self._release(requests)
        return bool(requests)

    def observe(self, event: ServerEvent) -> tuple[list[ResponseCreate], bool]:
        """Takes in what the model says; what it returns first is for :meth:`go_on`, once the event was told."""
        return self._coordinator.observe(event, self._clock())

    def go_on(self, requests: list[ResponseCreate]) -> None:
        """Sends what an event released."""
        self._release(requests)

    def session_lost(self) -> None:
        """The model session is gone, with the answer it was giving or about to give."""
        self._coordinator.session_lost()

    def session_replaced(self, *, answer: bool) -> None:
        """There is a model session again; ``answer`` when one that was cut off is still wanted."""
        self._release(self._coordinator.session_replaced(self._clock(), answer=answer))

    def rejoined(self, *, answered: bool) -> None:
        """The same session is heard again; ``answered`` when something was said meanwhile."""
        self._release(self._coordinator.rejoined(self._clock(), answered=answered))

    def close(self) -> None:
        """The call is over."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _release(self, requests: list[ResponseCreate]) -> None:
        for request in requests:
            self._send(request)
        deadline = self._coordinator.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._closed:
            delay = max(0.0, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._release(self._coordinator.on_timer(self._clock()))
