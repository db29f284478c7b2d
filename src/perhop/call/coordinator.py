"""The only writer of ``response.create`` in a call.

A conversation can have one response at a time, but several parties want one: the clients (caller and controllers),
Perhop's tools when their outputs are in, and the model itself at the end of a spoken turn. Uncoordinated, two of them
collide and a client who asked for one answer is told ``conversation_already_has_active_response``. So every wish passes
here:

* A client's request goes out at once, unless a response is live that this client did not ask for; then it waits for
  its end. A client who asks twice gets the model's own error, as documented.
* A request of the tools also waits while the caller speaks or an automatic response is due, and is dropped when any
  response that began after the outputs were added has answered it anyway.
* A collision that still happens on the way (the model started a turn before our request reached it) comes back as an
  ``error`` naming our event: it is swallowed and the request waits for its next chance.

Pure: no I/O; time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from perhop.realtime.events import (
    ConversationItemAdded,
    ErrorEvent,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)
from perhop.realtime.ids import IdFactory, new_id

__all__ = ["ALREADY_ACTIVE", "ResponseCoordinator"]

ALREADY_ACTIVE = "conversation_already_has_active_response"

AUTOMATIC_RESPONSE_DUE_S = 2.0
"""How long after a spoken turn the model's automatic response is waited for before others may ask."""

MAX_TRIES = 5
"""Collisions after which a request is given up: the model says a response is live that it never announced."""

MAX_WAITING = 32
"""Requests held back at most; a client's further ones go straight to the model, which refuses them."""


@dataclass(slots=True)
class _Request:
    event: ResponseCreate
    origin: Literal["client", "tools", "filler"]
    client: Hashable = None
    outputs: frozenset[str] = frozenset()
    doubled: bool = False
    tries: int = 0


@dataclass(slots=True)
class _Live:
    response_id: str
    request: _Request | None
    answers: frozenset[str]
    """Outputs that this response has seen."""


@dataclass(slots=True)
class ResponseCoordinator:
    """Decides when a ``response.create`` may be sent.

    Attributes:
        automatic: whether the session's turn detection creates responses by itself; the call keeps it up to date.
    """

    new_id: IdFactory = new_id
    automatic: bool = True
    _live: _Live | None = None
    _in_flight: deque[_Request] = field(default_factory=deque)
    _waiting: deque[_Request] = field(default_factory=deque)
    _speaking: bool = False
    _due_until: float | None = None
    _served: dict[str, _Live] = field(default_factory=dict)
    _outputs_pending: set[str] = field(default_factory=set)
    _outputs_added: set[str] = field(default_factory=set)
    _cut_off: ResponseCreate | None = None
    _out_of_band_asked: deque[str | None] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    _out_of_band: set[str] = field(default_factory=set)

    @property
    def live_response_id(self) -> str | None:
        """The response of the default conversation that is being produced now."""
        return self._live.response_id if self._live else None

    def from_client(self, event: ResponseCreate, now: float, *, client: Hashable = None) -> list[ResponseCreate]:
        """A client asks for a response.

        Args:
            client: which one.

        Returns:
            What to send to the model now, in order; empty when the request has to wait.
        """
        if event.response is not None and event.response.conversation == "none":
            self._out_of_band_asked.append(event.event_id)
            return [event]
        if event.event_id is None:
            event = event.model_copy(update={"event_id": self.new_id("event_")})
        mine = [request for request in self._asked_by_clients() if request.client == client]
        request = _Request(event, "client", client, doubled=bool(mine))
        if request.doubled or len(self._waiting) >= MAX_WAITING:
            self._in_flight.append(request)
            return [event]
        self._waiting.append(request)
        return self._release(now)

    def for_tools(self, output_item_ids: Iterable[str], now: float) -> list[ResponseCreate]:
        """Tool outputs were sent as these conversation items and want an answer."""
        outputs = frozenset(output_item_ids)
        self._outputs_pending |= outputs
        event = ResponseCreate(event_id=self.new_id("event_"))
        self._waiting.append(_Request(event, "tools", outputs=outputs))
        return self._release(now)

    def fill(self, event: ResponseCreate) -> list[ResponseCreate]:
        """Something to say while a tool runs: at once, or not at all.

        Returns:
            What to send to the model now; empty when somebody speaks or something is about to be said.
        """
        if self._live is not None or self._in_flight or self._waiting or self._speaking or self._due_until is not None:
            return []
        self._in_flight.append(_Request(event, "filler"))
        return [event]

    def observe(self, event: ServerEvent, now: float) -> tuple[list[ResponseCreate], bool]:
        """Takes in what the model says.

        Returns:
            What to send to the model now, and whether this event may be shown to clients (False only for the errors
            that answer a request no client made twice).
        """
        show = True
        match event:
            case ConversationItemAdded():
                if event.item.id in self._outputs_pending:
                    self._outputs_pending.discard(event.item.id)
                    self._outputs_added.add(event.item.id)
            case ResponseCreated():
                self._created(event)
            case ResponseDone():
                self._done(event)
            case InputAudioBufferSpeechStarted():
                self._speaking = True
                self._due_until = None
            case InputAudioBufferSpeechStopped() | InputAudioBufferCommitted():
                if self._speaking:
                    self._speaking = False
                    self._due_until = now + AUTOMATIC_RESPONSE_DUE_S if self.automatic else None
            case InputAudioBufferCleared():
                self._speaking = False
                self._due_until = None
            case ErrorEvent():
                show = self._refused(event)
            case _:
                return [], True
        return self._release(now), show

    def next_deadline(self) -> float | None:
        """When to call :meth:`on_timer`, if ever."""
        return self._due_until if self._waiting and self._live is None else None

    def on_timer(self, now: float) -> list[ResponseCreate]:
        """The automatic response that was due did not come: let the others ask."""
        return self._release(now)

    @property
    def asking(self) -> bool:
        """Whether a request is on its way to the model."""
        return bool(self._in_flight)

    def session_lost(self) -> None:
        """The model session is gone, with the answer it was giving or about to give."""
        if self._live is not None or self._due_until is not None:
            asked = self._live.request if self._live is not None else None
            self._cut_off = ResponseCreate(response=asked.event.response if asked is not None else None)
        self._due_until = None
        self._served.clear()

    def session_replaced(self, now: float, *, answer: bool) -> list[ResponseCreate]:
        """There is a model session again, which knows the conversation.

        Args:
            answer: whether the answer that was cut off is still wanted; not so when a tool's output will ask for one.

        Returns:
            What to send to the model now, in order: what was asked and had not begun, or else for the answer again.
        """
        self._in_flight = deque(request for request in self._in_flight if request.origin != "filler")
        again = [request.event for request in self._in_flight]
        cut_off, self._cut_off = self._cut_off, None
        if cut_off is not None and answer:
            # As with tools, any response that begins from now on makes up for it.
            marker = self.new_id("lost_")
            self._outputs_added.add(marker)
            event = cut_off.model_copy(update={"event_id": self.new_id("event_")})
            self._waiting.appendleft(_Request(event, "tools", outputs=frozenset({marker})))
        return again + self._release(now)

    def rejoined(self, now: float, *, answered: bool) -> list[ResponseCreate]:
        """The same session is heard again after a while in which it went on.

        Args:
            answered: something was said meanwhile; whatever was asked for counts as answered.

        Returns:
            What to send to the model now, in order.
        """
        self._speaking, self._due_until = False, None
        if answered:
            self._in_flight.clear()
        return self.session_replaced(now, answer=False)

    # -- the rules ----------------------------------------------------------------------------------------------------

    def _asked_by_clients(self) -> list[_Request]:
        """Requests of clients that have no answer yet, the live one included."""
        held = [*self._waiting, *self._in_flight]
        if self._live is not None and self._live.request is not None:
            held.append(self._live.request)
        return [request for request in held if request.origin == "client"]

    def _release(self, now: float) -> list[ResponseCreate]:
        """Sends the first waiting request whose time has come; one at a time."""
        if self._live is not None or self._in_flight:
            return []
        if self._due_until is not None and now >= self._due_until:
            self._due_until = None
        if self._due_until is not None:
            return []
        while self._waiting:
            request = self._waiting[0]
            if request.origin == "tools":
                if self._speaking and self.automatic:
                    return self._release_client()
                if not request.outputs:
                    self._waiting.popleft()
                    continue
            self._waiting.popleft()
            self._in_flight.append(request)
            return [request.event]
        return []

    def _release_client(self) -> list[ResponseCreate]:
        for request in self._waiting:
            if request.origin == "client":
                self._waiting.remove(request)
                self._in_flight.append(request)
                return [request.event]
        return []

    def _created(self, event: ResponseCreated) -> None:
        response_id = event.response.id or ""
        if self._out_of_band_asked and event.response.conversation_id is None:
            self._out_of_band_asked.popleft()
            self._out_of_band.add(response_id)
            return
        self._due_until = None
        request = self._in_flight.popleft() if self._in_flight else None
        self._live = _Live(response_id, request, frozenset())
        if request is not None:
            self._served[request.event.event_id or ""] = self._live
            if len(self._served) > MAX_WAITING:
                del self._served[next(iter(self._served))]
        if request is None or request.origin != "filler":
            self._answers_outputs(self._live)

    def _answers_outputs(self, live: _Live) -> None:
        """Whoever asked: this response has seen these outputs, nobody needs to ask for them again."""
        live.answers = frozenset(self._outputs_added)
        self._outputs_added.clear()
        for waiting in self._waiting:
            if waiting.origin == "tools":
                waiting.outputs -= live.answers
        self._waiting = deque(r for r in self._waiting if r.origin == "client" or r.outputs)

    def _done(self, event: ResponseDone) -> None:
        response_id = event.response.id or ""
        if response_id in self._out_of_band:
            self._out_of_band.discard(response_id)
        elif self._live is not None and response_id == self._live.response_id:
            self._live = None

    def _refused(self, event: ErrorEvent) -> bool:
        """An error: does it answer one of our requests, and is it for a client's eyes?"""
        if event.error.event_id is not None and event.error.event_id in self._out_of_band_asked:
            self._out_of_band_asked.remove(event.error.event_id)
            return True
        taken = self._take(event.error.event_id)
        if taken is None:
            return event.error.code != ALREADY_ACTIVE or bool(self._asked_by_clients())
        request, collided = taken
        if request.origin == "filler":
            if collided is not None and collided is self._live:
                self._answers_outputs(collided)  # it was an answer, not the phrase we took it for
            return False
        if event.error.code != ALREADY_ACTIVE:
            return request.origin == "client"
        if request.doubled:
            return True
        if request.origin == "tools":
            request.outputs -= collided.answers if collided is not None else frozenset()
            if not request.outputs:
                return False
        if collided is None:
            request.tries += 1
        if request.tries >= MAX_TRIES:
            return request.origin == "client"
        self._waiting.appendleft(request)
        return False

    def _take(self, event_id: str | None) -> tuple[_Request, _Live | None] | None:
        """Finds the request that this error answers, and the response it collided with if that was announced."""
        if event_id is None:
            return None
        for request in self._in_flight:
            if request.event.event_id == event_id:
                self._in_flight.remove(request)
                return request, self._live
        served = self._served.pop(event_id, None)
        if served is None or served.request is None:
            return None
        # The response we took for the answer to our request was the model's own; ours came too late.
        request, served.request = served.request, None
        return request, served
