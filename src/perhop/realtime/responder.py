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
from perhop.realtime.mcp.calls import McpCalls
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.mcp.listing import McpTools
from perhop.realtime.mcp.offer import Offer, chosen
from perhop.realtime.mcp.view import as_model_sees
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
class _Response:
    """A live response."""

    id: str
    plan: ResponsePlan
    writer: ResponseWriter
    context: tuple[Entry, ...] = ()
    unheard: set[str] = field(default_factory=set)
    """Items it waits for: audio whose words are still being recognised, tools that are still being listed."""
    given: InputTokenDetails = _NO_INPUT
    """Tokens of the context, once the host was given it."""
    offer: Offer = field(default_factory=Offer)
    """What the model may call."""
    calls: set[str] = field(default_factory=set)
    """MCP calls of it that are at work."""
    called: bool = False
    """It made MCP calls since it was last started."""
    left_to_client: bool = False
    """It made a call that the client has to run or to approve."""
    rounds: int = 0
    """Times it went on after MCP calls."""
    seen: int = 0
    """Of its own output, how much is in its context."""
    ending: Ending | None = None
    """How it ends once its calls are through."""


@dataclass(slots=True)
class _Room:
    """Room for one response; see :mod:`perhop.realtime.lifecycle`, which alone decides its state."""

    state: State = State.IDLE
    response: _Response | None = None


class Responder:
    """Runs the rooms: one for the default conversation, one for each out-of-band response.

    Args:
        closed: called with each default-conversation response's writer once it has ended, and the time.
        mcp: rules, tools and calls of MCP servers.

    Attributes:
        has_spoken: the model has produced audio in this session.
    """

    def __init__(
        self,
        core: Core,
        transcripts: Transcripts,
        closed: Callable[[ResponseWriter, float], None],
        *,
        mcp: tuple[McpRules, McpTools, McpCalls],
    ) -> None:
        self._core = core
        self._transcripts = transcripts
        self._rules, self._mcp_tools, self._mcp_calls = mcp
        self._closed = closed
        self._default = _Room()
        self._out_of_band: dict[str, _Room] = {}
        self.has_spoken = False

    @property
    def live_id(self) -> str | None:
        """The default conversation's response, if one is live."""
        return self._default.response.id if self._default.response else None

    # -- what may happen ----------------------------------------------------------------------------------------------

    def begin(self, plan: ResponsePlan, now: float) -> str:
        """Announces a response and returns its id; it waits until it is told its context.

        Raises:
            ProtocolError: ``conversation_already_has_active_response``; or too many out-of-band ones.
        """
        if not plan.in_conversation and len(self._out_of_band) >= self._core.limits.max_parallel:
            message = f"{self._core.limits.max_parallel} out-of-band responses are live; wait for one to end."
            raise ProtocolError("invalid_value", message, "response.conversation")
        room = self._default if plan.in_conversation else _Room()
        response_id = self._core.new_id("resp_")
        response = _Response(response_id, plan, ResponseWriter(self._core, response_id, plan))
        self._apply(room, Stimulus.CREATE, now, response=response)
        if not plan.in_conversation:
            self._out_of_band[response_id] = room
        return response_id

    def provide(self, response_id: str, context: tuple[Entry, ...], now: float) -> None:
        """Gives a response its context; it starts once every word of it is known."""
        room = self._find(response_id)
        if room.response is not None:
            room.response.context = context
            room.response.unheard = {entry.id for entry in context if entry.id in self._transcripts}
            room.response.unheard |= self._mcp_tools.awaited(room.response.plan.tools)
            self._start_if_ready(room, now)

    def cancel(self, response_id: str | None, now: float) -> None:
        """The client stops a response: the one named, or the default conversation's.

        Raises:
            ProtocolError: ``response_cancel_not_active``.
        """
        room = self._default if response_id is None else self._find(response_id)
        self._apply(room, Stimulus.CANCEL, now, ending=Ending.cancelled("client_cancelled"))

    def interrupt(self, now: float) -> None:
        """The caller talks: the default conversation's response, if any, stops."""
        self._apply(self._default, Stimulus.INTERRUPT, now, ending=Ending.cancelled("turn_detected"))

    def resolved(self, item_id: str, now: float) -> None:
        """An item's words, or a listing's tools, are known, or known not to come."""
        for room in (self._default, *self._out_of_band.values()):
            if room.response is not None and item_id in room.response.unheard:
                room.response.unheard.discard(item_id)
                self._start_if_ready(room, now)

    def output(self, output: Output, now: float) -> None:
        """The host produced something."""
        room = self._find(output.response_id)
        self._apply(room, Stimulus.OUTPUT, now, output=output)
        response = room.response
        limit = response.plan.max_output_tokens if response else None
        if response is not None and limit is not None and response.writer.tokens >= limit:
            self._apply(room, Stimulus.LIMIT, now, ending=Ending.incomplete("max_output_tokens"))

    def finished(self, done: OutputDone, now: float) -> None:
        """The host has given everything."""
        ending = Ending.incomplete(done.reason) if done.reason else Ending("completed")
        room = self._find(done.response_id)
        response = room.response
        if response and response.ending is None and (response.calls or self._goes_on(response, ending)):
            self._apply(room, Stimulus.HOLD, now, ending=ending)
            self._continue(room, now)
        else:
            self._apply(room, Stimulus.FINISH, now, ending=ending)

    def call_ended(self, response_id: str, item_id: str, now: float) -> bool:
        """An MCP call is through.

        Returns:
            Whether its response was still there to wait for it.
        """
        room = self._find(response_id)
        if room.response is None or item_id not in room.response.calls:
            return False
        room.response.calls.discard(item_id)
        self._continue(room, now)
        return True

    def failed(self, failure: OutputFailed, now: float) -> None:
        """The host cannot go on."""
        ending = Ending.failed(failure.code, failure.message)
        self._apply(self._find(failure.response_id), Stimulus.FAIL, now, ending=ending)

    def _goes_on(self, response: _Response, ending: Ending) -> bool:
        """Whether the model is to see what its calls returned before the response ends."""
        complete = response.called and not response.left_to_client and ending.status == "completed"
        return complete and self._rules.follow_up == "server"

    def _continue(self, room: _Room, now: float) -> None:
        """Ends a response that was held for its calls, or lets the model go on."""
        response = room.response
        if response is None or response.ending is None or response.calls:
            return
        if self._goes_on(response, response.ending):
            response.context += tuple(response.writer.entries[response.seen :])
            response.seen = len(response.writer.entries)
            response.rounds += 1
            response.called, response.ending = False, None
            self._apply(room, Stimulus.READY, now)
        else:
            self._apply(room, Stimulus.SETTLE, now, ending=response.ending)

    def _find(self, response_id: str) -> _Room:
        """The room of a response; an empty one when it is not, or no longer, live."""
        if response_id == self.live_id:
            return self._default
        return self._out_of_band.get(response_id) or _Room()

    def _start_if_ready(self, room: _Room, now: float) -> None:
        if room.response is not None and not room.response.unheard:
            self._apply(room, Stimulus.READY, now)

    # -- what to do about it ------------------------------------------------------------------------------------------

    def _apply(
        self,
        room: _Room,
        stimulus: Stimulus,
        now: float,
        *,
        response: _Response | None = None,
        output: Output | None = None,
        ending: Ending | None = None,
    ) -> None:
        """Takes one step of the life cycle.

        Raises:
            ProtocolError: the step is a refusal.
        """
        room.state, actions = step(room.state, stimulus)
        for action in actions:
            if action is Action.BEGIN:
                room.response = response
            self._act(action, room.response, now, output, ending)
        if room.state is State.IDLE and room.response is not None:
            closed, room.response = room.response, None
            self._out_of_band.pop(closed.id, None)
            if room is self._default:
                self._closed(closed.writer, now)

    def _act(
        self, action: Action, response: _Response | None, now: float, output: Output | None, ending: Ending | None
    ) -> None:
        match action, response:
            case Action.REFUSE_CREATE, _:
                raise ProtocolError(
                    "conversation_already_has_active_response",
                    "The conversation already has an active response. Wait for its response.done, or cancel it first.",
                )
            case Action.REFUSE_CANCEL, _:
                raise ProtocolError("response_cancel_not_active", "There is no active response to cancel.")
            case Action.BEGIN, _Response():
                response.writer.created()
            case Action.START, _Response():
                self._start(response)
            case Action.EMIT, _Response() if output is not None:
                self._show(response, output, now)
            case Action.STOP, _Response():
                self._core.emit(CancelResponse(response.id))
            case Action.KEEP, _Response():
                response.ending = ending
            case Action.CLOSE, _Response() if ending is not None:
                response.writer.done(ending.status, ending.details, response.given)
            case _:
                raise AssertionError(f"{action} without what it needs")

    def _start(self, response: _Response) -> None:
        plan = response.plan
        context = tuple(entry for entry in response.context if not entry.removed)
        response.offer, choice = chosen(self._mcp_tools.offer(plan.tools), plan.tool_choice)
        if response.rounds and choice != "none":  # a call that was demanded has been made
            choice = "auto" if response.rounds < self._rules.max_rounds else "none"
        response.given = input_details(plan.instructions, response.offer.functions, context)
        self._core.emit(
            StartResponse(
                response_id=response.id,
                context=tuple(as_model_sees((entry.known for entry in context), response.offer)),
                instructions=plan.instructions,
                modality=plan.modality,
                voice=plan.voice,
                speed=plan.speed,
                tools=response.offer.functions,
                tool_choice=choice,
                max_output_tokens=plan.max_output_tokens,
            )
        )

    def _show(self, response: _Response, output: Output, now: float) -> None:
        writer = response.writer
        match output:
            case OutputText():
                writer.text(output.text)
            case OutputAudio():
                writer.audio(output.audio, now)
                self.has_spoken = self.has_spoken or writer.first_audio_at is not None
            case OutputFunctionCall():
                self._call(response, output)

    def _call(self, response: _Response, call: OutputFunctionCall) -> None:
        tool = response.offer.mcp.get(call.name)
        if tool is None:
            response.writer.function_call(call.name, call.arguments)
            response.left_to_client = True
            return
        response.called = True
        item_id = self._mcp_calls.begin(response.writer, tool, call.arguments)
        if self._mcp_calls.running(item_id):
            response.calls.add(item_id)
        elif self._mcp_calls.waiting(item_id):
            response.left_to_client = True
