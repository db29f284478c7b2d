"""The speaking half of the server: which response may live, what it is given, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.effects import (
    CancelResponse,
    OutputAudio,
    OutputDone,
    OutputFailed,
    OutputFunctionCall,
    OutputText,
    StartResponse,
)
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import InputTokenDetails, ResponseFailure, StatusDetails
from perhop.realtime.lifecycle import Action, State, Stimulus, step
from perhop.realtime.plan import ResponsePlan
from perhop.realtime.transcripts import Transcripts
from perhop.realtime.usage import input_details
from perhop.realtime.writer import ResponseWriter

__all__ = ["Ending", "Responder"]

Output = OutputText | OutputAudio | OutputFunctionCall


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ends."""

    status: Literal["completed", "cancelled", "incomplete", "failed"]
    details: StatusDetails | None = None

    @classmethod
    def cancelled(cls, reason: Literal["turn_detected", "client_cancelled"]) -> Ending:
        """Somebody stopped it."""
        return cls("cancelled", StatusDetails(type="cancelled", reason=reason))

    @classmethod
    def incomplete(cls, reason: Literal["max_output_tokens", "content_filter"]) -> Ending:
        """It was cut short."""
        return cls("incomplete", StatusDetails(type="incomplete", reason=reason))

    @classmethod
    def failed(cls, code: str, message: str) -> Ending:
        """The engines could not go on."""
        error = ResponseFailure(type="server_error", code=code, message=message)
        return cls("failed", StatusDetails(type="failed", error=error))


_NO_INPUT = input_details("", (), ())


@dataclass(slots=True)
class _Room:
    """Where one response lives; see :mod:`perhop.realtime.lifecycle`."""

    response_id: str
    plan: ResponsePlan
    context: tuple[Entry, ...]
    writer: ResponseWriter
    state: State = State.IDLE
    unheard: set[str] = field(default_factory=set)
    """Items of the context whose words are still being recognised."""
    given: InputTokenDetails = _NO_INPUT
    """Tokens of the context, once the host was given it."""


class Responder:
    """Runs the rooms: one for the default conversation, one for each out-of-band response.

    Args:
        closed: called with each default-conversation response's writer once it has ended, and the time.
    """

    def __init__(self, core: Core, transcripts: Transcripts, closed: Callable[[ResponseWriter, float], None]) -> None:
        self._core = core
        self._transcripts = transcripts
        self._closed = closed
        self._rooms: dict[str, _Room] = {}
        self._default: _Room | None = None
        self.has_spoken = False

    @property
    def live_id(self) -> str | None:
        """The default conversation's response, if one is live."""
        return self._default.response_id if self._default else None

    # -- what may happen ----------------------------------------------------------------------------------------------

    def admit(self, plan: ResponsePlan) -> None:
        """Whether there is room for such a response now.

        Raises:
            ProtocolError: ``conversation_already_has_active_response``; or too many out-of-band ones.
        """
        if plan.in_conversation:
            state = self._default.state if self._default else State.IDLE
            self._refuse(step(state, Stimulus.CREATE)[1])
        elif len(self._rooms) - (self._default is not None) >= self._core.limits.max_parallel:
            message = f"{self._core.limits.max_parallel} out-of-band responses are live; wait for one to end."
            raise ProtocolError("invalid_value", message, "response.conversation")

    def create(self, plan: ResponsePlan, context: tuple[Entry, ...], now: float) -> None:
        """Announces a response, and starts it once every word of its context is known.

        Raises:
            ProtocolError: there is no room for it.
        """
        self.admit(plan)
        response_id = self._core.new_id("resp_")
        unheard = {entry.id for entry in context if entry.id in self._transcripts}
        writer = ResponseWriter(self._core, response_id, plan)
        room = _Room(response_id, plan, context, writer, unheard=unheard)
        self._rooms[response_id] = room
        if plan.in_conversation:
            self._default = room
        self._apply(room, Stimulus.CREATE, now)
        if not unheard:
            self._apply(room, Stimulus.READY, now)

    def cancel(self, response_id: str | None, now: float) -> None:
        """The client stops a response: the one named, or the default conversation's.

        Raises:
            ProtocolError: ``response_cancel_not_active``.
        """
        room = self._default if response_id is None else self._rooms.get(response_id)
        ending = Ending.cancelled("client_cancelled")
        if room is None:
            self._refuse(step(State.IDLE, Stimulus.CANCEL)[1])
        else:
            self._apply(room, Stimulus.CANCEL, now, ending=ending)

    def interrupt(self, now: float) -> None:
        """The caller talks: the default conversation's response, if any, stops."""
        if self._default is not None:
            self._apply(self._default, Stimulus.INTERRUPT, now, ending=Ending.cancelled("turn_detected"))

    def resolved(self, item_id: str, now: float) -> None:
        """An item's words are known, or known not to come."""
        for room in list(self._rooms.values()):
            if item_id in room.unheard:
                room.unheard.discard(item_id)
                if not room.unheard:
                    self._apply(room, Stimulus.READY, now)

    def output(self, output: Output, now: float) -> None:
        """The host produced something."""
        room = self._rooms.get(output.response_id)
        if room is None:
            return
        self._apply(room, Stimulus.OUTPUT, now, output=output)
        limit = room.plan.max_output_tokens
        if limit is not None and room.writer.tokens >= limit:
            self._apply(room, Stimulus.LIMIT, now, ending=Ending.incomplete("max_output_tokens"))

    def finished(self, done: OutputDone, now: float) -> None:
        """The host has given everything."""
        room = self._rooms.get(done.response_id)
        if room is not None:
            ending = Ending.incomplete(done.reason) if done.reason else Ending("completed")
            self._apply(room, Stimulus.FINISH, now, ending=ending)

    def failed(self, failure: OutputFailed, now: float) -> None:
        """The host cannot go on."""
        room = self._rooms.get(failure.response_id)
        if room is not None:
            self._apply(room, Stimulus.FAIL, now, ending=Ending.failed(failure.code, failure.message))

    # -- what to do about it ------------------------------------------------------------------------------------------

    def _apply(
        self,
        room: _Room,
        stimulus: Stimulus,
        now: float,
        *,
        output: Output | None = None,
        ending: Ending | None = None,
    ) -> None:
        room.state, actions = step(room.state, stimulus)
        self._refuse(actions)
        for action in actions:
            match action:
                case Action.BEGIN:
                    room.writer.created()
                case Action.START:
                    self._start(room)
                case Action.EMIT if output is not None:
                    self._show(room, output, now)
                case Action.STOP:
                    self._core.emit(CancelResponse(room.response_id))
                case Action.CLOSE if ending is not None:
                    self._close(room, ending, now)
                case _:
                    raise AssertionError(f"{action} without what it needs")

    @staticmethod
    def _refuse(actions: tuple[Action, ...]) -> None:
        if Action.REFUSE_CREATE in actions:
            raise ProtocolError(
                "conversation_already_has_active_response",
                "The conversation already has an active response. Wait for its response.done, or cancel it first.",
            )
        if Action.REFUSE_CANCEL in actions:
            raise ProtocolError("response_cancel_not_active", "There is no active response to cancel.")

    def _start(self, room: _Room) -> None:
        plan = room.plan
        context = tuple(entry for entry in room.context if not entry.removed)
        room.given = input_details(plan.instructions, plan.tools, context)
        self._core.emit(
            StartResponse(
                response_id=room.response_id,
                context=tuple(entry.known for entry in context),
                instructions=plan.instructions,
                modality=plan.modality,
                voice=plan.voice,
                speed=plan.speed,
                tools=plan.tools,
                tool_choice=plan.tool_choice,
                max_output_tokens=plan.max_output_tokens,
            )
        )

    def _show(self, room: _Room, output: Output, now: float) -> None:
        match output:
            case OutputText():
                room.writer.text(output.text)
            case OutputAudio():
                room.writer.audio(output.audio, now)
                self.has_spoken = self.has_spoken or room.writer.first_audio_at is not None
            case OutputFunctionCall():
                room.writer.function_call(output.name, output.arguments)

    def _close(self, room: _Room, ending: Ending, now: float) -> None:
        del self._rooms[room.response_id]
        room.writer.done(ending.status, ending.details, room.given)
        if room is self._default:
            self._default = None
            self._closed(room.writer, now)
