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
* Nothing waits for ever. A request of Perhop's own that the model fails is made again, later each time; a client's is
  the client's to repeat. What the model neither answers nor refuses, and a response it begins and never ends, stop
  holding up the others after a while.

Pure: no I/O; time is an argument.
"""

from __future__ import annotations

import math
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

FIRST_RETRY_S = 1.0
"""Before a request that the model failed is made again; twice as long each time."""

DOUBT_S = 3.0
"""An ``error`` that names no event may have been about a request under way; that one has so long to be answered."""

ANSWER_DUE_S = 30.0
"""What the model has not begun to answer by then, it will not."""

SILENT_RESPONSE_S = 60.0
"""A response of which nothing was heard for so long holds up nobody any more."""

MAX_WAITING = 32
"""Requests held back at most; a client's further ones go straight to the model, which refuses them."""


@dataclass(slots=True)
class _Request:
    event: ResponseCreate
    origin: Literal["client", "own", "tools", "filler"]
    client: Hashable = None
    outputs: frozenset[str] = frozenset()
    doubled: bool = False
    tries: int = 0
    not_before: float = 0.0
    """To be made again, but not yet."""
    given_up_at: float = math.inf
    doubted: bool = False
    """An error may have been about this one."""


@dataclass(slots=True)
class _Live:
    response_id: str
    request: _Request | None
    answers: frozenset[str]
    """Outputs that this response has seen."""
    heard_at: float


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
    _is_gone: bool = False
    """There is no model session."""
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
            return self._ask(request, now)
        self._waiting.append(request)
        return self._release(now)

    def for_perhop(self, event: ResponseCreate, now: float) -> list[ResponseCreate]:
        """Perhop itself has something to say: a greeting, a warning, a goodbye.

        Args:
            event: has an ``event_id``.

        Returns:
            What to send to the model now, in order; empty when it has to wait.
        """
        self._waiting.append(_Request(event, "own"))
        return self._release(now)

    def for_tools(self, output_item_ids: Iterable[str], now: float) -> list[ResponseCreate]:
        """Tool outputs were sent as these conversation items and want an answer."""
        outputs = frozenset(output_item_ids)
        self._outputs_pending |= outputs
        event = ResponseCreate(event_id=self.new_id("event_"))
        self._waiting.append(_Request(event, "tools", outputs=outputs))
        return self._release(now)

    def fill(self, event: ResponseCreate, now: float) -> list[ResponseCreate]:
        """Something to say while a tool runs: at once, or not at all.

        Returns:
            What to send to the model now; empty when somebody speaks or something is about to be said.
        """
        if self._live is not None or self._in_flight or self._waiting or self._speaking or self._due_until is not None:
            return []
        return self._ask(_Request(event, "filler"), now)

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
                self._created(event, now)
            case ResponseDone():
                self._done(event, now)
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
                show = self._refused(event, now)
            case _:
                if self._live is not None and getattr(event, "response_id", None) == self._live.response_id:
                    self._live.heard_at = now
                return [], True
        return self._release(now), show

    def next_deadline(self) -> float | None:
        """When to call :meth:`on_timer`, if ever."""
        moments = [request.given_up_at for request in self._in_flight]
        if self._waiting and self._live is not None:
            moments.append(self._live.heard_at + SILENT_RESPONSE_S)
        elif self._waiting and not self._in_flight:
            again = min(request.not_before for request in self._waiting)
            moments.append(max(again, self._due_until or 0.0))
        return min((moment for moment in moments if 0.0 < moment < math.inf), default=None)

    def on_timer(self, now: float) -> list[ResponseCreate]:
        """What was due did not come: let the others ask."""
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
        self._is_gone = True
        self._due_until = None
        self._served.clear()
        for request in self._in_flight:
            request.given_up_at = math.inf  # it is made again once there is a session

    def session_replaced(self, now: float, *, answer: bool) -> list[ResponseCreate]:
        """There is a model session again, which knows the conversation.

        Args:
            answer: whether the answer that was cut off is still wanted; not so when a tool's output will ask for one.

        Returns:
            What to send to the model now, in order: what was asked and had not begun, or else for the answer again.
        """
        self._is_gone = False
        self._in_flight = deque(request for request in self._in_flight if request.origin != "filler")
        again = [request.event for request in self._in_flight]
        for request in self._in_flight:
            request.given_up_at = now + ANSWER_DUE_S
            request.doubted = False
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
        self._give_up(now)
        if self._live is not None or self._in_flight:
            return []
        if self._due_until is not None and now >= self._due_until:
            self._due_until = None
        if self._due_until is not None:
            return []
        for request in [*self._waiting]:
            if request.origin == "tools":
                if self._speaking and self.automatic:
                    continue
                if not request.outputs:
                    self._waiting.remove(request)
                    continue
            if request.not_before <= now:
                self._waiting.remove(request)
                return self._ask(request, now)
        return []

    def _ask(self, request: _Request, now: float) -> list[ResponseCreate]:
        request.given_up_at = math.inf if self._is_gone else now + ANSWER_DUE_S
        request.doubted = False
        self._in_flight.append(request)
        return [request.event]

    def _give_up(self, now: float) -> None:
        """Stops waiting for what will not come any more."""
        if self._live is not None and self._waiting and now >= self._live.heard_at + SILENT_RESPONSE_S:
            self._live = None
        for request in [*self._in_flight]:
            if now >= request.given_up_at:
                self._in_flight.remove(request)
                if request.doubted:
                    self._failed(request, now)

    def _failed(self, request: _Request, now: float) -> None:
        """The model could not serve this request. Its client was told; nobody else would make Perhop's own again."""
        request.tries += 1
        if request.origin in ("own", "tools") and request.tries < MAX_TRIES:
            request.not_before = now + FIRST_RETRY_S * 2 ** (request.tries - 1)
            self._waiting.appendleft(request)

    def _created(self, event: ResponseCreated, now: float) -> None:
        response_id = event.response.id or ""
        if self._out_of_band_asked and event.response.conversation_id is None:
            self._out_of_band_asked.popleft()
            self._out_of_band.add(response_id)
            return
        self._due_until = None
        request = self._in_flight.popleft() if self._in_flight else None
        self._live = _Live(response_id, request, frozenset(), now)
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
        self._waiting = deque(r for r in self._waiting if r.origin != "tools" or r.outputs)

    def _done(self, event: ResponseDone, now: float) -> None:
        response_id = event.response.id or ""
        if response_id in self._out_of_band:
            self._out_of_band.discard(response_id)
        elif self._live is not None and response_id == self._live.response_id:
            live, self._live = self._live, None
            if event.response.status == "failed" and not self._is_gone:
                self._answer_failed(live, now)

    def _answer_failed(self, live: _Live, now: float) -> None:
        """A response began and came to nothing: the outputs it had seen want an answer again."""
        self._outputs_added |= live.answers
        request = live.request
        if live.answers and (request is None or request.origin in ("client", "filler")):
            request = _Request(ResponseCreate(event_id=self.new_id("event_")), "tools")
        if request is not None:
            if request.origin == "tools":
                request.outputs |= live.answers
            self._failed(request, now)

    def _refused(self, event: ErrorEvent, now: float) -> bool:
        """An error: does it answer one of our requests, and is it for a client's eyes?"""
        if event.error.event_id is not None and event.error.event_id in self._out_of_band_asked:
            self._out_of_band_asked.remove(event.error.event_id)
            return True
        if event.error.event_id is None and len(self._in_flight) == 1:
            [doubted] = self._in_flight
            doubted.doubted = True
            doubted.given_up_at = min(doubted.given_up_at, now + DOUBT_S)
        taken = self._take(event.error.event_id)
        if taken is None:
            return event.error.code != ALREADY_ACTIVE or bool(self._asked_by_clients())
        request, collided = taken
        if request.origin == "filler":
            if collided is not None and collided is self._live:
                self._answers_outputs(collided)  # it was an answer, not the phrase we took it for
            return False
        if request.doubled:
            return True
        if request.origin == "tools":
            request.outputs -= collided.answers if collided is not None else frozenset()
            if not request.outputs:
                return False
        if event.error.code != ALREADY_ACTIVE:
            self._failed(request, now)
            return request.origin == "client"
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
