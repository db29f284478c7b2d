"""The Realtime server as a pure state machine: client events, audio and brain inputs in; events, audio, effects out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perhop.realtime.context import chosen_context, whole_context
from perhop.realtime.conversation import Conversation, Entry
from perhop.realtime.core import Core, Output, ServerLimits
from perhop.realtime.effects import (
    BrainInput,
    McpCallDone,
    McpCallFailed,
    McpListFailed,
    McpToolsListed,
    OutputAudio,
    OutputDone,
    OutputFailed,
    OutputFunctionCall,
    OutputText,
    Transcript,
    TranscriptDelta,
    TranscriptFailed,
    TurnHint,
    VoiceActivity,
)
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.item_commands import ItemCommands
from perhop.realtime.items import Item, McpApprovalResponseItem
from perhop.realtime.listener import Listener
from perhop.realtime.mcp.calls import McpCalls
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.mcp.listing import McpTools
from perhop.realtime.mcp.view import as_model_sees
from perhop.realtime.plan import ResponsePlan, asked_voice
from perhop.realtime.rates import Rates
from perhop.realtime.responder import Responder
from perhop.realtime.session import SessionConfig
from perhop.realtime.session_fields import FunctionTool
from perhop.realtime.transcripts import Transcripts
from perhop.realtime.turns import SpeechStarted, SpeechStopped, TurnTiming
from perhop.realtime.wire import JsonObject, clipped
from perhop.realtime.writer import ResponseWriter

__all__ = ["Output", "RealtimeServer", "ServerLimits"]

Handler = Callable[[Any, float], None]


class RealtimeServer:
    """One Realtime session.

    Every method returns what is to be sent and done because of it, in order. The host sends the events, hands audio
    on, carries the effects out, and feeds what comes of them back in through :meth:`receive`. Audio here is in the
    session's formats: what :meth:`append_audio` takes, what effects and ``OutputAudio`` hold.

    A host that detects voice feeds each window's :class:`~perhop.realtime.effects.VoiceActivity` after the audio it
    stands for, and large appends in slices, so that turns are found while they are heard.

    Args:
        config: the session as it starts.
        now: seconds, monotonic; so are all other times.
        new_id: makes ids; tests inject a counter.
        session_id: ``sess_…``; made up when absent.
        expires_at: Unix seconds shown to the client; the host ends the session.
        limits: bounds of the session.
        timing: constants of turn detection.
        transcoded: the host converts audio at its edge: here it is 24 kHz PCM whatever the session's formats are.
        sighted: the model can see images; otherwise they are refused.
        mcp: which MCP servers a session may use; none unless given.

    Attributes:
        started_at: ``now`` when the session began.
    """

    def __init__(
        self,
        *,
        config: SessionConfig,
        now: float,
        new_id: IdFactory = new_id,
        session_id: str | None = None,
        expires_at: int = 0,
        limits: ServerLimits | None = None,
        timing: TurnTiming | None = None,
        transcoded: bool = False,
        sighted: bool = True,
        mcp: McpRules | None = None,
    ) -> None:
        limits = limits or ServerLimits()
        self.started_at = now
        self._core = core = Core(
            config=config,
            session_id=session_id or new_id("sess_"),
            expires_at=expires_at,
            new_id=new_id,
            limits=limits,
            conversation=Conversation(new_id("conv_"), max_items=limits.max_items, max_audio=limits.max_item_audio),
            transcoded=transcoded,
            sighted=sighted,
        )
        self._transcripts = Transcripts(core)
        self._listener = Listener(core, self._transcripts, timing or TurnTiming())
        self._mcp_rules = rules = mcp or McpRules()
        self._mcp_tools = McpTools(core, rules)
        self._mcp_calls = calls = McpCalls(core, rules, self._on_mcp_call_ended)
        self._responder = Responder(
            core,
            self._transcripts,
            self._response_closed,
            mcp=(rules, self._mcp_tools, calls),
            rates=Rates(limits.rates, now=now) if limits.rates is not None else None,
        )
        self._items = ItemCommands(core, self._transcripts)
        self._turn_owed = False
        listener, items, responder = self._listener, self._items, self._responder
        self._handlers: dict[type, Handler] = {
            SessionUpdate: self._on_session_update,
            InputAudioBufferAppend: lambda event, _now: listener.append(event.decoded()),
            InputAudioBufferClear: lambda _event, _now: listener.clear(),
            InputAudioBufferCommit: lambda _event, now: listener.commit(now),
            ConversationItemCreate: self._on_item_create,
            ConversationItemDelete: self._on_item_delete,
            ConversationItemRetrieve: lambda event, _now: items.retrieve(event),
            ConversationItemTruncate: lambda event, _now: items.truncate(event),
            ResponseCreate: self._on_response_create,
            ResponseCancel: lambda event, now: responder.cancel(event.response_id, now),
            VoiceActivity: self._on_voice_activity,
            TurnHint: self._on_turn_hint,
            TranscriptDelta: lambda event, _now: self._transcripts.delta(event),
            Transcript: self._on_transcript,
            TranscriptFailed: self._on_transcript_failed,
            OutputText: responder.output,
            OutputAudio: responder.output,
            OutputFunctionCall: responder.output,
            OutputDone: responder.finished,
            OutputFailed: responder.failed,
            McpToolsListed: self._on_mcp_listed,
            McpListFailed: self._on_mcp_listed,
            McpCallDone: calls.done,
            McpCallFailed: calls.failed,
        }

    # -- the whole interface ------------------------------------------------------------------------------------------

    @property
    def config(self) -> SessionConfig:
        """The effective configuration."""
        return self._core.config

    @property
    def session_id(self) -> str:
        """``sess_…``."""
        return self._core.session_id

    @property
    def items(self) -> tuple[Item, ...]:
        """The conversation as the model sees it, oldest first: user audio carries its words once they are known."""
        offer = self._mcp_tools.offer(self._core.config.tools)
        return tuple(as_model_sees((entry.known for entry in self._core.conversation if not entry.left_out), offer))

    @property
    def functions(self) -> tuple[JsonObject, ...]:
        """What the model may call, in the shape of ``session.tools``: functions and the tools of MCP servers."""
        return self._mcp_tools.offer(self._core.config.tools).functions

    @property
    def live_response_id(self) -> str | None:
        """The default conversation's response, if one is live."""
        return self._responder.live_id

    def start(self, now: float) -> list[Output]:
        """Opens the session: ``session.created``. MCP servers it must not use are left out, which an ``error`` says."""
        core, refused = self._core, None
        try:
            core.config = self._with_mcp_complete(core.config)
        except ProtocolError as error:
            refused = error
            functions = [tool for tool in core.config.tools if isinstance(tool, FunctionTool)]
            core.config = core.config.model_copy(update={"tools": functions})
        core.emit(SessionCreated(event_id=core.event_id(), session=self._session()))
        if refused is not None:
            core.emit(refused.to_event(core.event_id()))
        self._mcp_tools.declare(core.config.tools, now)
        return core.take()

    def receive(self, event: ClientEvent | BrainInput, now: float) -> list[Output]:
        """Takes one client event or brain input. A refused client event changes nothing and yields one ``error``."""
        handler = self._handlers.get(type(event), _refuse)
        try:
            handler(event, now)
        except ProtocolError as error:
            if isinstance(event, ClientEvent):
                error.for_event(event.event_id)
            self._core.emit(error.to_event(self._core.event_id()))
        return self._core.take()

    def append_audio(self, audio: bytes, now: float) -> list[Output]:  # noqa: ARG002 - every entry takes the time
        """Takes caller audio of any length: ``input_audio_buffer.append``, decoded. O(len(audio))."""
        try:
            self._listener.append(audio)
        except ProtocolError as error:
            self._core.emit(error.to_event(self._core.event_id()))
            return self._core.take()
        return []

    def next_deadline(self) -> float | None:
        """When :meth:`on_timer` is to be called, if ever."""
        deadlines = (self._listener.idle_at, self._transcripts.next_deadline(), self._mcp_tools.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def on_timer(self, now: float) -> list[Output]:
        """Does what is due by ``now``; harmless when nothing is."""
        for item_id in self._transcripts.overdue(now):
            self._on_transcript_failed(
                TranscriptFailed(item_id, "transcription_timeout", "The words did not come in time."), now
            )
        for item_id in self._mcp_tools.overdue(now):
            self._responder.resolved(item_id, now)
        idle_at = self._listener.idle_at
        if idle_at is not None and idle_at <= now:
            self._listener.commit_silence()
            self._respond(now)
        return self._core.take()

    # -- session ------------------------------------------------------------------------------------------------------

    def _session(self) -> dict[str, Any]:
        return self._core.config.to_wire(self._core.session_id, self._core.expires_at)

    def _with_mcp_complete(self, config: SessionConfig) -> SessionConfig:
        tools = self._mcp_tools.complete(config.tools, at="session.tools")
        return config if tools == tuple(config.tools) else config.model_copy(update={"tools": list(tools)})

    def _on_session_update(self, event: SessionUpdate, now: float) -> None:
        old, new = self._core.config, self._with_mcp_complete(self._core.config.merged(event.session))
        if new.audio.output.voice_name != old.audio.output.voice_name:
            self._check_voice("session.audio.output.voice")
        self._core.config = new
        self._listener.reconfigured(old)
        self._core.emit(SessionUpdated(event_id=self._core.event_id(), session=self._session()))
        # Declaring again tries servers again that failed: what clients say about other things is no reason to.
        if "tools" in event.session:
            self._mcp_tools.declare(new.tools, now)

    def _check_voice(self, param: str) -> None:
        if self._responder.has_spoken:
            message = "The voice cannot change any more: the model has already spoken with it."
            raise ProtocolError("cannot_update_voice", message, param)

    # -- the caller's audio -------------------------------------------------------------------------------------------

    def _on_voice_activity(self, event: VoiceActivity, now: float) -> None:
        decision = self._listener.heard(event.probability, event.end_ms)
        if isinstance(decision, SpeechStarted):
            detection = self._core.config.audio.input.turn_detection
            if detection is not None and detection.interrupt_response:
                self._interrupt(now)
        elif decision is not None:
            self._end_turn(decision, now)

    def _on_turn_hint(self, event: TurnHint, now: float) -> None:
        decision = self._listener.hinted(event.item_id, event.completeness)
        if decision is not None:
            self._end_turn(decision, now)

    def _end_turn(self, stopped: SpeechStopped, now: float) -> None:
        """A spoken turn is over. Its answer waits for a response that must not be interrupted."""
        self._listener.end_turn(stopped, now)
        detection = self._core.config.audio.input.turn_detection
        if detection is None or not detection.create_response or self._core.config.type != "realtime":
            return
        if self._responder.live_id is not None and not detection.interrupt_response:
            self._turn_owed = True
        else:
            self._interrupt(now)
            self._respond(now)

    def _interrupt(self, now: float) -> None:
        """The caller talks: what was owed is answered along with that."""
        self._turn_owed = False
        self._responder.interrupt(now)

    # -- words --------------------------------------------------------------------------------------------------------

    def _on_transcript(self, event: Transcript, now: float) -> None:
        if self._transcripts.complete(event):
            self._responder.resolved(event.item_id, now)

    def _on_transcript_failed(self, event: TranscriptFailed, now: float) -> None:
        if self._transcripts.fail(event):
            self._responder.resolved(event.item_id, now)

    # -- items --------------------------------------------------------------------------------------------------------

    def _on_item_create(self, event: ConversationItemCreate, now: float) -> None:
        item = event.item
        if not isinstance(item, McpApprovalResponseItem):
            self._items.create(event, now)
            return
        self._mcp_calls.check_answer(item)
        self._items.create(event, now)
        self._mcp_calls.answered(item, now)

    def _on_item_delete(self, event: ConversationItemDelete, now: float) -> None:
        self._items.delete(event)
        self._mcp_calls.deleted(event.item_id, now)
        self._responder.resolved(event.item_id, now)

    # -- tools of MCP servers -----------------------------------------------------------------------------------------

    def _on_mcp_listed(self, event: McpToolsListed | McpListFailed, now: float) -> None:
        if isinstance(event, McpToolsListed):
            self._mcp_tools.listed(event)
        else:
            self._mcp_tools.failed(event)
        self._responder.resolved(event.item_id, now)

    def _on_mcp_call_ended(self, response_id: str, item_id: str, now: float) -> None:
        """A call that its response did not wait for gets an answer of its own, where the client does not ask for it."""
        waited = self._responder.call_ended(response_id, item_id, now)
        if waited or self._mcp_rules.follow_up != "server" or item_id not in self._core.conversation:
            return
        if self._responder.live_id is not None:
            self._turn_owed = True
        elif not self._listener.speaking:
            self._respond(now)

    # -- responses ----------------------------------------------------------------------------------------------------

    def _on_response_create(self, event: ResponseCreate, now: float) -> None:
        if self._core.config.type != "realtime":
            raise ProtocolError("invalid_event", "A transcription session has no responses.", "type")
        params = event.response
        voice = asked_voice(params)
        if voice is not None and voice != self._core.config.audio.output.voice_name:
            self._check_voice("response.audio.output.voice")
        tools = self._core.config.tools
        if params is not None and params.tools is not None:
            tools = list(self._mcp_tools.complete(params.tools, at="response.tools"))
        given = chosen_context(self._core, params.input) if params is not None and params.input is not None else None
        self._create(ResponsePlan.of(self._core, params, tools), given, now)

    def _respond(self, now: float) -> None:
        """Answers by itself, as turn detection asks for."""
        self._create(ResponsePlan.of(self._core, None, self._core.config.tools), None, now)

    def _create(self, plan: ResponsePlan, given: list[Entry] | None, now: float) -> None:
        """Begins a response to ``given``, or else to the conversation."""
        response_id = self._responder.begin(plan, now)
        if plan.in_conversation:
            self._turn_owed = False
            self._listener.stop_watching()
        self._mcp_tools.declare(plan.tools, now)
        context = whole_context(self._core) if given is None else given
        for entry in context:
            if entry.id not in self._core.conversation:
                self._items.transcribe(entry, entry.audio, now, shown=False)
        self._responder.provide(response_id, tuple(context), now, whole=given is None)

    def _response_closed(self, writer: ResponseWriter, now: float) -> None:
        """The default conversation's response has ended: a turn that had to wait gets its answer now."""
        if self._turn_owed:
            self._respond(now)
            return
        spoken_until = now if writer.first_audio_at is None else writer.first_audio_at + writer.audio_ms / 1000
        self._listener.watch_silence(max(now, spoken_until))


def _refuse(event: ClientEvent, _now: float) -> None:
    """Events that are legal elsewhere: ``output_audio_buffer.clear`` is for servers that play the audio themselves."""
    raise ProtocolError("invalid_event", f"'{clipped(event.type)}' is not an event of this session.", "type")
