"""The speaking half of the server: which response may live, what it is given, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from perhop.realtime.context import fit
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
from perhop.realtime.ending import Ending
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import InputTokenDetails, RateLimitsUpdated
from perhop.realtime.lifecycle import Action, State, Stimulus, step
from perhop.realtime.mcp.calls import McpCalls
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.mcp.listing import McpTools
from perhop.realtime.mcp.offer import Offer, chosen
from perhop.realtime.mcp.view import as_model_sees
from perhop.realtime.plan import ResponsePlan
from perhop.realtime.rates import Rates
from perhop.realtime.transcripts import Transcripts
from perhop.realtime.usage import input_details, sum_of
from perhop.realtime.writer import ResponseWriter

__all__ = ["Responder"]

Output = OutputText | OutputAudio | OutputFunctionCall


_NO_INPUT = input_details("", (), ())


@dataclass(slots=True)
class _Response:
    """A live response."""

    id: str
    plan: ResponsePlan
    writer: ResponseWriter
    context: tuple[Entry, ...] = ()
    whole: bool = True
    """The context is the conversation: what does not fit into it any more is left out for good."""
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
    refusal: Ending | None = None
    """Why the host was not asked to produce it."""


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
        rates: counts what the session uses, if that is limited.

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
        rates: Rates | None = None,
    ) -> None:
        self._core = core
        self._transcripts = transcripts
        self._rules, self._mcp_tools, self._mcp_calls = mcp
        self._rates = rates
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

    def provide(self, response_id: str, context: tuple[Entry, ...], now: float, *, whole: bool) -> None:
        """Gives a response its context; it starts once every word of it is known.

        Args:
            whole: this is the conversation, not what a client chose.
        """
        room = self._find(response_id)
        if room.response is not None:
            room.response.context, room.response.whole = context, whole
            room.response.writer.answers()
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
        if response is not None and response.writer.overflown:
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
            self._ready(room, now)
        else:
            self._apply(room, Stimulus.SETTLE, now, ending=response.ending)

    def _find(self, response_id: str) -> _Room:
        """The room of a response; an empty one when it is not, or no longer, live."""
        if response_id == self.live_id:
            return self._default
        return self._out_of_band.get(response_id) or _Room()

    def _start_if_ready(self, room: _Room, now: float) -> None:
        if room.response is not None and not room.response.unheard:
            self._ready(room, now)

    def _ready(self, room: _Room, now: float) -> None:
        self._apply(room, Stimulus.READY, now)
        if room.response is not None and room.response.refusal is not None:
            self._apply(room, Stimulus.FAIL, now, ending=room.response.refusal)

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
                self._start(response, now)
            case Action.EMIT, _Response() if output is not None:
                self._show(response, output, now)
            case Action.STOP, _Response():
                self._core.emit(CancelResponse(response.id))
            case Action.KEEP, _Response() if ending is not None:
                response.ending = ending
                response.writer.end_message("completed" if ending.status == "completed" else "incomplete")
            case Action.CLOSE, _Response() if ending is not None:
                self._close(response, ending, now)
            case _:
                raise AssertionError(f"{action} without what it needs")

    def _close(self, response: _Response, ending: Ending, now: float) -> None:
        used = response.writer.done(ending.status, ending.details, response.given)
        if self._rates is not None:
            left = self._rates.end(used.total_tokens or 0, now)
            self._core.emit(RateLimitsUpdated(event_id=self._core.event_id(), rate_limits=left))

    def _start(self, response: _Response, now: float) -> None:
        plan = response.plan
        response.offer, choice = chosen(self._mcp_tools.offer(plan.tools), plan.tool_choice)
        if response.rounds and choice != "none":  # a call that was demanded has been made
            choice = "auto" if response.rounds < self._rules.max_rounds else "none"
        response.refusal = self._refusal(response, now)
        if response.refusal is not None:
            return
        context = response.context
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
                parallel_tool_calls=plan.parallel_tool_calls,
            )
        )

    def _refusal(self, response: _Response, now: float) -> Ending | None:
        """Makes the context fit; or says why the model cannot be asked."""
        plan, limit = response.plan, self._core.limits.max_input_tokens
        fixed = sum_of(input_details(plan.instructions, response.offer.functions, ()))
        context = [entry for entry in response.context if not entry.removed]
        fitted = fit(context, room=max(0, limit - fixed), truncation=plan.truncation)
        if fitted is None:
            message = f"The context has more than {limit} tokens, and truncation is disabled: delete items."
            return Ending.failed("context_length_exceeded", message, type_="invalid_request_error")
        if self._rates is not None and (too_many := self._rates.begin(now)) is not None:
            return Ending.failed("rate_limit_exceeded", too_many, type_="rate_limit_exceeded")
        for entry in fitted.left_out if response.whole else ():
            entry.left_out = True
        response.context = fitted.kept
        return None

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
        first = not (response.called or response.left_to_client)
        if not (first or response.plan.parallel_tool_calls) or not response.writer.takes(call.name, call.arguments):
            return
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
