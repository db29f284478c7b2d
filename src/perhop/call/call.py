"""One conversation of a caller with an agent: the join of a caller leg and a model leg.

Every event of either side passes through here, in order, by direct calls inside one event loop. The call decides four
things and nothing else: which client events may reach the model (ownership), who may ask for a response (coordinator),
what the model must forget when its speech was cut off (barge-in), and who gets which event (taps, replies). Everything
unknown passes untouched.

Its clients are the caller and any number of controllers, who may say the same things and hear the same things.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from perhop.call.absence import Absence
from perhop.call.agents import Agent
from perhop.call.announcer import Announcer
from perhop.call.asking import Asking
from perhop.call.boundary import Boundary
from perhop.call.clients import Clients
from perhop.call.direct.supervision import Supervision
from perhop.call.endings import ENDINGS
from perhop.call.executor import ToolExecutor
from perhop.call.farewell import Farewell
from perhop.call.fillers import Fillers
from perhop.call.functions import FunctionCalls
from perhop.call.history import History
from perhop.call.holding import Holding
from perhop.call.in_force import SessionInForce
from perhop.call.legs import CallerLeg, EndReason
from perhop.call.lifetime import Lifetime
from perhop.call.line import Rejoin, Replacement
from perhop.call.observer import CallObserver, ErrorSide, ToolRun, Usage, report_replacement
from perhop.call.open_responses import OpenResponses
from perhop.call.ownership import SessionLock
from perhop.call.presence import Presence
from perhop.call.replies import Reply
from perhop.call.snapshot import CallSnapshot, ClientReport
from perhop.call.spending import Spending
from perhop.call.taps import Tap
from perhop.call.tool_control import ToolControl
from perhop.call.turns import Turn, TurnWatch
from perhop.call.voice import AgentVoice
from perhop.errors import PerhopError
from perhop.realtime.audio import AudioChunk
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDone,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferSpeechStarted,
    OutputAudioBufferClear,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseContentPartAdded,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseParams,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, Item, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.telemetry.call_metrics import known_code
from perhop.telemetry.context import log_context

__all__ = ["Call"]

_log = structlog.get_logger(__name__)

FindAgent = Callable[[str, str], tuple[Agent, SessionLock]]
"""(tenant, name) → an agent, and what it decides of a session. Raises PerhopError when there is none."""


class Call:
    """A live call; implements both sinks of :mod:`perhop.call.legs`.

    Args:
        call_id: ``rtc_…``.
        leg: the caller.
        boundary: the door to model and tools.
        agent: None for a plain Realtime session, in which everything is the client's.
        lock: what of the session the agent decides.
        observer: told about figures and the end.
        transcribe: have the caller's words written down for a further model session, where one may follow.
        lifetime: begun already; without a limit unless given.
        spending: counts what it uses and ends it at a limit.
        absence: how long a caller who was lost may stay away; not at all unless given.
        announcer: says ``hold_phrase`` (unless the agent has its own) while there is no model session.
        key: name of the API key it was started with.
        find_agent: (tenant, name) → an agent and its lock on the session, for handing over; raises PerhopError.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        call_id: str,
        leg: CallerLeg,
        boundary: Boundary,
        *,
        agent: Agent | None,
        lock: SessionLock,
        tenant: str,
        observer: CallObserver,
        transcribe: bool = False,
        lifetime: Lifetime | None = None,
        spending: Spending | None = None,
        absence: Absence | None = None,
        announcer: Announcer | None = None,
        hold_phrase: str = "",
        key: str | None = None,
        find_agent: FindAgent | None = None,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self.id = call_id
        self.agent = agent
        self.tenant = tenant
        self.transport = leg.transport
        self.lifetime = lifetime or Lifetime(clock=clock)
        self.history = History()
        self.ended: EndReason | None = None
        self.key = key
        self.spending = spending or Spending(clock=clock)
        self._leg = leg
        self._boundary = boundary
        self._observer = observer
        self._clock = clock
        self._new_id = new_id
        self._session = SessionInForce(lock, transcribe=transcribe)
        self._clients = Clients(
            leg,
            handle=self._handle,
            refused=lambda code: observer.error(self, code, "client"),
            new_id=new_id,
        )
        self._asking = Asking(boundary.to_model, clock=clock, new_id=new_id)
        self._voice = AgentVoice(leg, self.history, self._to_model)
        self._open = OpenResponses(new_id)
        name = agent.name if agent else ""
        self._find_agent = find_agent
        self._successor: tuple[Agent, SessionLock] | None = None
        self._farewell = Farewell(self, clock=clock)
        self._fillers = Fillers(
            self, after_s=agent.filler_after_s if agent else None, phrases=agent.fillers if agent else ()
        )
        self._control = ToolControl(self, leg)
        self._tools = ToolExecutor(
            boundary,
            self._clients.replies,
            call_id=call_id,
            agent=name,
            tenant=tenant,
            ran=self._tool_ran,
            control=self._control,
            fillers=self._fillers,
            clock=clock,
            new_id=new_id,
        )
        self._functions = FunctionCalls(agent.tools if agent else {}, self._tools.run, self._tools_answered)
        self._presence = Presence(self, absence or Absence(0.0))
        self._hold_phrase = hold_phrase
        self._holding = Holding(self, announcer, self._phrase(), new_id=new_id)
        self._connected = False
        self.direct = leg.transport == "direct"
        self._supervision = (
            Supervision(
                restore=lambda changes: self._to_model(SessionUpdate(session=changes)),
                give_up=lambda: self.hang_up(EndReason.CALLER_ABUSE),
            )
            if self.direct
            else None
        )
        self._turns = TurnWatch(clocked=self.clocked)
        self._responses = 0
        self._report = ClientReport()
        self._log = _log.bind(call_id=call_id, tenant=tenant, agent=name or None, epoch=0)

    # -- from the caller ----------------------------------------------------------------------------------------------

    def start(self, session: SessionConfig) -> None:
        """Opens the model session with this configuration and joins the legs."""
        # Tasks, timers and connections that begin in here log under the name of this call for as long as they live.
        with log_context(call_id=self.id, tenant=self.tenant, agent=self.agent.name if self.agent else None):
            self.lifetime.watch(self._expire)
            self.spending.begin(self)
            self._leg.attach(self)
            self._observer.session_opened(self, self.model)
            self._boundary.open_model(self, self._session.first(session))
        self._log.info("call started", transport=self.transport, model=self.model)

    def on_caller_ready(self) -> None:
        """The caller can hear us: greet, if the agent does that."""
        if self._connected:
            return
        self._connected = True
        if self.agent is not None and self.agent.greeting:
            self._greet(self.agent.greeting)

    def on_caller_audio(self, pcm: bytes) -> None:
        """Caller audio goes straight to the model."""
        self._boundary.audio_to_model(pcm)

    def on_caller_event(self, event: ClientEvent) -> None:
        """A client event: what is the caller's to decide goes on to the model."""
        self._clients.took(event, self._leg.send)

    def on_playout_started(self, response_id: str) -> None:
        """The caller begins to hear this response."""
        self._tell(OutputAudioBufferStarted(event_id=self._new_id("event_"), response_id=response_id))

    def on_playout_stopped(self, response_id: str) -> None:
        """This response was played to its end."""
        self.history.played_out(response_id)
        self._tell(OutputAudioBufferStopped(event_id=self._new_id("event_"), response_id=response_id))
        self.spending.played(response_id)
        self._farewell.played(response_id)

    def on_caller_closed(self, reason: EndReason) -> None:
        """The caller is gone; one who was lost may come back."""
        self._holding.end()
        self._presence.gone(reason)

    def resume(self, leg: CallerLeg) -> None:
        """The caller is back, over this leg, or changes over to it.

        Raises:
            CallEndedError: the call is over.
        """
        self._presence.back(leg)

    def use(self, leg: CallerLeg) -> None:
        """This leg is the caller's from here on."""
        self._leg = self._voice.leg = self._control.leg = self._clients.leg = leg
        self.transport = leg.transport
        self._turns.clocked = leg.clocked
        leg.attach(self)
        self._clients.introduce(leg.send)

    def suspend_model(self) -> None:
        """The model session ends; the conversation is kept."""
        self._boundary.suspend_model()

    def resume_model(self) -> None:
        """Another one begins, and is told the conversation."""
        self._boundary.resume_model()

    def on_client_report(self, report: ClientReport) -> None:
        """What the caller's browser measured."""
        self._report = report
        self._leg.report(jitter_buffer_ms=report.jitter_buffer_ms)

    # -- from controllers and other taps ------------------------------------------------------------------------------

    def attach(self, tap: Tap, *, audio: bool = False) -> None:
        """One more follows the call: it gets ``session.created`` with what is in force, then every server event.

        Args:
            audio: also hand it the model's audio.

        Raises:
            LimitExceededError: too many follow it already.
        """
        self._clients.attach(tap, audio=audio)
        self._log.info("tap attached", taps=len(self._clients.taps))

    def detach(self, tap: Tap) -> None:
        """This one follows no more; the call goes on."""
        self._clients.taps.remove(tap)
        self._log.info("tap left", taps=len(self._clients.taps))

    def on_controller_event(self, tap: Tap, event: ClientEvent) -> None:
        """A client event of an attached controller: it may say what the caller may, and gets its errors alone."""
        self._clients.took(event, tap.on_event)

    def on_controller_audio(self, pcm: bytes) -> None:
        """Audio that a controller appended: it is the caller's as far as the model can tell."""
        self._boundary.audio_to_model(pcm)

    # -- from the model -----------------------------------------------------------------------------------------------

    def on_model_audio(self, chunk: AudioChunk) -> None:
        """Model audio goes straight to the caller."""
        if not self._voice.play(chunk):
            return
        self._clients.taps.audio(chunk)
        if self._turns.wants_audio:
            self._turns.audio(self._clock())

    def on_model_event(self, event: ServerEvent) -> None:
        """Any other event of the model."""
        self.history.apply(event)
        self._open.observe(event)
        requests, show = self._asking.observe(event)
        said = event
        if isinstance(event, SessionCreated | SessionUpdated):
            event = self._put_in_force(event)
        shown = self._session.to_clients(event)
        if show and shown is not None:
            self._tell(shown)
        match event:
            case InputAudioBufferSpeechStarted():
                if self._session.interrupts and self._leg.clocked:
                    self._interrupt()
            case ResponseCreated():
                self._responses += 1
            case ResponseDone():
                self._voice.response_over(event.response.id or "")
            case _:
                pass
        if self._supervision is not None:
            self._observe_model_playing(self._supervision, event)
        self._fillers.observe(event)
        self._farewell.observe(event)
        self._functions.observe(event)
        self._asking.go_on(requests)
        self.spending.observe(said)
        if self._supervision is not None and isinstance(said, SessionCreated | SessionUpdated):
            self._supervision.check(said.session, self._session.lock)

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None:
        """The model session ended by itself."""
        self._log.info("model session closed", reason=reason, detail=detail, fatal=fatal)
        self.hang_up(reason)

    # -- from the line of model sessions ------------------------------------------------------------------------------

    def busy(self) -> bool:
        """Whether this is a bad moment to change the model session."""
        return self._voice.playing or self._functions.running or self._asking.asking

    def on_session_lost(self) -> None:
        """The model session is gone: what it was saying ends here."""
        self._asking.session_lost()
        for event in self._open.close("model_session_lost", "The model's session ended before its response did."):
            self.on_model_event(event)

    def on_session_replaced(self, why: Replacement, *, epoch: int, lost: bool, gap_s: float) -> None:
        """A model session is in force that knows the conversation."""
        self._holding.end()
        self._log = self._log.bind(epoch=epoch)
        report_replacement(self._observer, self, why, lost=lost, gap_s=gap_s)
        self._asking.session_replaced(answer=not self._functions.running)

    def on_rejoined(self, rejoin: Rejoin) -> None:
        """The sideband of a direct call is back: what can be known of the meantime is taken in."""
        if self._supervision is not None:
            self._supervision.playing = False
        known = {item.id for item in rejoin.items if self.history.get(item.id or "") is not None}
        said = [item for item in rejoin.items if item.id not in known and isinstance(item, MessageItem)]
        if not rejoin.live:
            for event in self._open.close("sideband_lost", "How this response ended was not heard."):
                self.on_model_event(event)
        for item in rejoin.items:
            if getattr(item, "status", "completed") != "in_progress":
                self.on_model_event(ConversationItemDone(event_id=self._new_id("event_"), item=item))
            if isinstance(item, FunctionCallItem):
                self._functions.found(item)
        self._asking.rejoined(answered=any(item.role == "assistant" for item in said))
        self._observer.reconnected(self, seconds=rejoin.seconds, attempts=rejoin.attempts)

    def on_waiting(self) -> None:
        """There has been no model session for a while."""
        self._log.warning("no model session yet")
        if self._session.shown and self._connected:
            self._holding.begin(self._session.shown)

    # -- of Perhop's own ----------------------------------------------------------------------------------------------

    def announce(self, event: ServerEvent) -> None:
        """Shows everybody an event that is not the model's, and no part of the conversation."""
        self._clients.show(event)

    def announce_audio(self, chunk: AudioChunk) -> None:
        """Lets everybody hear what is not the model's."""
        self._clients.hear(chunk)

    def announced(self, response_id: str) -> None:
        """No more audio of this response of Perhop's own follows."""
        self._leg.end_audio(response_id)

    # -- from outside -------------------------------------------------------------------------------------------------

    def hang_up(self, reason: EndReason, message: str | None = None) -> None:
        """Ends the call; the first reason counts. Clients are told as :mod:`perhop.call.endings` says.

        Args:
            message: of the ``error`` event, if there is more to say than the table says.
        """
        if self.ended is not None:
            return
        ending = ENDINGS[reason]
        if ending.error is not None:
            error = ProtocolError(ending.error, message or ending.message, type_=ending.type_)
            self._tell(error.to_event(self._new_id("event_")), side="call")
        self.ended = reason
        self.lifetime.end()
        self.spending.close()
        self._farewell.close()
        self._holding.end()
        self._presence.close()
        self._asking.close()
        self._functions.close()
        self._boundary.close()
        self._clients.ended(reason)
        self._turn_over(self._turns.end(self._clock()))
        self._observer.session_closed(self, self.model)
        self._log.info("call ended", reason=reason, duration_s=round(self.lifetime.seconds, 1), turns=self._turns.count)
        self._observer.call_ended(self)

    # -- for its tools ------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Ends the call once the goodbye that follows was heard."""
        self._farewell.begin()

    def succeed(self, agent: str) -> None:
        """Goes on as another agent once the outputs of the tools are in.

        Raises:
            PerhopError: there is no such agent.
        """
        if self._find_agent is None:
            raise PerhopError("there are no other agents here")
        self._successor = self._find_agent(self.tenant, agent)

    def fill(self, event: ResponseCreate) -> bool:
        """Has the model say something if it is silent here; whether it will."""
        if not self._connected or self.ended is not None or self._agent_is_heard():
            return False
        return self._asking.fill(self._clients.own(event))

    def received_ms(self, response: ResponseDone) -> int:
        """Audio of this response as it came from the model. Of a direct call nobody measures it: some, or none."""
        if self.direct:
            return int(any(_speaks(item) for item in response.response.output or ()))
        return sum(self.history.received_ms(item.id) for item in response.response.output or () if item.id)

    def ask(self, event: ResponseCreate) -> None:
        """Has the model say something on Perhop's own behalf, when its turn has come."""
        self._asking.from_client(self._clients.own(event))

    def tell_usage(self, usage: Usage) -> None:
        """Something of this call was counted."""
        self._observer.used(self, usage)

    @property
    def leg(self) -> CallerLeg:
        """The caller's leg in use."""
        return self._leg

    @property
    def answering(self) -> bool:
        """Whether an answer is being made or played."""
        return self._voice.playing or self._asking.live_response_id is not None

    @property
    def connected(self) -> bool:
        """Whether the caller can hear us by now."""
        return self._connected

    @property
    def clocked(self) -> bool:
        """Whether it is known when a response was played: the caller's leg plays it, or the model itself."""
        return self._leg.clocked or self.direct

    @property
    def model_sessions(self) -> int:
        """Model sessions open now: one, two around a renewal, none while nobody is there to talk to."""
        return self._boundary.sessions if self.ended is None else 0

    @property
    def model(self) -> str:
        """The configured name of the model that answers."""
        return self._boundary.model

    @property
    def resume_secret(self) -> str | None:
        """Whoever presents it may come back as the caller; None where nobody may."""
        return self._presence.secret

    @property
    def waiting(self) -> bool:
        """Whether the caller is away and may come back."""
        return self._presence.waiting

    def snapshot(self) -> CallSnapshot:
        """The figures of this call now."""
        return CallSnapshot(
            id=self.id,
            tenant=self.tenant,
            agent=self.agent.name if self.agent else None,
            model=self.model,
            transport=self.transport,
            started_at=self.lifetime.started_at,
            duration_s=self.lifetime.seconds,
            connected=self._connected and not self.waiting,
            waiting=self.waiting,
            turns=self._turns.count,
            responses=self._responses,
            interruptions=self._voice.interruptions + (self._supervision.interruptions if self._supervision else 0),
            tool_calls=self._functions.started,
            taps=len(self._clients.taps),
            epoch=self._boundary.epoch,
            hop=self._leg.stats(),
            client=self._report,
            ended=self.ended,
            usage=self.spending.used.usage(),
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    def _tell(self, event: ServerEvent, *, side: ErrorSide = "model") -> None:
        """To whom it may concern."""
        if isinstance(event, ErrorEvent):
            self._observer.error(self, event.error.code or "", side)
            if side == "model":
                self._log.warning("the model reports an error", code=known_code(event.error.code or ""))
        else:
            self._turn_over(self._turns.observe(event, self._clock()))
        self._clients.tell(event)

    def _handle(self, event: ClientEvent, reply: Reply) -> None:
        event = self._session.audio.to_model(event)
        match event:
            case SessionUpdate():
                self._boundary.to_model(event.model_copy(update={"session": self._session.changes(event.session)}))
            case ResponseCreate():
                self._asking.from_client(event, reply)
            case ConversationItemCreate() if isinstance(event.item, FunctionCallOutputItem):
                function_call_id = event.item.call_id
                if self._functions.owns(function_call_id):
                    raise ProtocolError(
                        "invalid_value",
                        f"the output of {function_call_id} comes from Perhop, which runs this tool; do not send it",
                        param="item.call_id",
                    )
                self._boundary.to_model(event)
                self._functions.client_answered(function_call_id)
            case InputAudioBufferAppend():
                self._boundary.audio_to_model(self._session.audio.appended(event))
            case OutputAudioBufferClear() if self._leg.clocked:
                self._interrupt()
            case _:
                self._boundary.to_model(event)

    def _put_in_force(self, event: SessionCreated | SessionUpdated) -> SessionCreated | SessionUpdated:
        """The session that is now in force decides who interrupts and who asks."""
        shown = self._session.put(event.session, expires_at=self.lifetime.expires_at)
        self._clients.session = shown
        self._asking.automatic(self._session.answers)
        return event.model_copy(update={"session": shown})

    def _observe_model_playing(self, supervision: Supervision, event: ServerEvent) -> None:
        """The model plays to the caller itself, and tells how far it is."""
        played = supervision.observe(event)
        self._connected = self._connected or supervision.connected
        if played is not None:
            self.spending.played(played)
            self._farewell.played(played)
        elif isinstance(event, ResponseContentPartAdded) and event.part.type == "audio" and self._turns.wants_audio:
            self._turns.audio(self._clock())

    def _agent_is_heard(self) -> bool:
        """Whether the caller hears the agent now."""
        return self._voice.playing or (self._supervision is not None and self._supervision.playing)

    def _expire(self) -> None:
        """The call has lasted as long as it may."""
        self.hang_up(EndReason.SESSION_EXPIRED, f"The session reached its maximum duration of {self.lifetime.limit}.")

    def _interrupt(self) -> None:
        """The caller has the word."""
        self._voice.interrupt(
            self._asking.live_response_id,
            lambda audible: self._tell(OutputAudioBufferCleared(event_id=self._new_id("event_"), response_id=audible)),
        )

    def _to_model(self, event: ClientEvent) -> None:
        """An event of Perhop's own."""
        self._boundary.to_model(self._clients.own(event))

    def _turn_over(self, turn: Turn | None) -> None:
        if turn is None:
            return
        if turn.first_audio_s is not None:
            self._observer.first_audio(self, turn.first_audio_s)
        self._observer.turn_ended(self, turn)

    def _phrase(self) -> str:
        """What the caller is told to wait with."""
        own = self.agent.hold_phrase if self.agent is not None else None
        return self._hold_phrase if own is None else own

    def _tool_ran(self, run: ToolRun) -> None:
        self._observer.tool_ran(self, run)

    def _greet(self, greeting: str) -> None:
        self.ask(ResponseCreate(response=ResponseParams(instructions=f'Greet the caller with: "{greeting}"')))

    def _tools_answered(self, output_item_ids: list[str]) -> None:
        if self._successor is not None:
            (agent, lock), self._successor = self._successor, None
            self._take_over(agent, lock)
            if agent.greeting:
                self._greet(agent.greeting)
                return
        self._asking.for_tools(output_item_ids)

    def _take_over(self, agent: Agent, lock: SessionLock) -> None:
        """Another agent answers from here on; what it does not decide stays as it was."""
        changes, same_voice = self._session.succeed(lock)
        self._log.info("another agent takes over", to=agent.name)
        self.agent = agent
        self._holding.phrase = self._phrase()
        self._functions.tools = agent.tools
        self._tools.agent = agent.name
        self._log = self._log.bind(agent=agent.name)
        if same_voice:
            self._to_model(SessionUpdate(session=changes))
        else:
            self._boundary.restart_model(changes)


def _speaks(item: Item) -> bool:
    """Whether an item of the model has audio."""
    return isinstance(item, MessageItem) and any(part.type in ("output_audio", "audio") for part in item.content)
