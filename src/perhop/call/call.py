"""One conversation of a caller with an agent: the join of a caller leg and a model leg.

Every event of either side passes through here, in order, by direct calls inside one event loop. What is made of what is
said is the conversation's; the call itself is about who is there, for how long, what it costs, and how it ends.

Its clients are the caller and any number of controllers, who may say the same things and hear the same things.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from perhop.call.absence import Absence
from perhop.call.acting import ActingAgent, FindAgent
from perhop.call.agents import Agent
from perhop.call.announcer import Announcer
from perhop.call.boundary import Boundary
from perhop.call.clients import Clients
from perhop.call.conversation import Conversation
from perhop.call.endings import ENDINGS
from perhop.call.history import History
from perhop.call.holding import Holding
from perhop.call.in_force import SessionInForce
from perhop.call.legs import CallerLeg, EndReason
from perhop.call.lifetime import Lifetime
from perhop.call.line import Rejoin, Replacement
from perhop.call.observer import CallObserver, ErrorSide, report_replacement
from perhop.call.ownership import SessionLock
from perhop.call.presence import Presence
from perhop.call.snapshot import CallSnapshot, ClientReport
from perhop.call.spending import Spending
from perhop.call.taps import Tap
from perhop.call.watch import CallWatch
from perhop.realtime.audio import AudioChunk
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ErrorEvent,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseDone,
    ServerEvent,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.session import SessionConfig
from perhop.telemetry.call_metrics import known_code
from perhop.telemetry.context import log_context

__all__ = ["Call"]

_log = structlog.get_logger(__name__)


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
        self.tenant = tenant
        self.key = key
        self.transport = leg.transport
        self.direct = leg.transport == "direct"
        self.lifetime = lifetime or Lifetime(clock=clock)
        self.spending = spending or Spending(clock=clock)
        self.ended: EndReason | None = None
        self._boundary = boundary
        self._observer = observer
        self._new_id = new_id
        self._connected = False
        self._report = ClientReport()
        self._log = _log.bind(call_id=call_id, tenant=tenant, agent=agent.name if agent else None, epoch=0)

        self._acting = ActingAgent(agent, tenant=tenant, find=find_agent)
        self._clients = Clients(leg, new_id=new_id)
        self._watch = CallWatch(self, observer, leg, clock=clock)
        session = SessionInForce(lock, transcribe=transcribe)
        self.conversation = Conversation(
            self, session, self._clients, boundary, acting=self._acting, watch=self._watch, clock=clock, new_id=new_id
        )
        self._presence = Presence(self, boundary, absence or Absence(0.0))
        self._holding = Holding(self._clients, announcer, self._acting, hold_phrase, new_id=new_id)

    # -- from the caller ----------------------------------------------------------------------------------------------

    def start(self, session: SessionConfig) -> None:
        """Opens the model session with this configuration and joins the legs."""
        # Tasks, timers and connections that begin in here log under the name of this call for as long as they live.
        with log_context(call_id=self.id, tenant=self.tenant, agent=self._acting.profile.name or None):
            self.lifetime.watch(self._expire)
            self.spending.begin(self, self._watch)
            self.leg.attach(self)
            self._observer.session_opened(self, self.model)
            self._boundary.open_model(self, self.conversation.session.first(session))
        self._log.info("call started", transport=self.transport, model=self.model)

    def on_caller_ready(self) -> None:
        """The caller can hear us: greet, if the agent does that."""
        if not self._connected:
            self.reached()
            self.conversation.greet()

    def on_caller_audio(self, pcm: bytes) -> None:
        """Caller audio goes straight to the model."""
        self._boundary.audio_to_model(pcm)

    def on_caller_event(self, event: ClientEvent) -> None:
        """A client event: what is the caller's to decide goes on to the model."""
        self.conversation.take(event, self.leg.send)

    def on_playout_started(self, response_id: str) -> None:
        """The caller begins to hear this response."""
        self.tell(OutputAudioBufferStarted(event_id=self._new_id("event_"), response_id=response_id))

    def on_playout_stopped(self, response_id: str) -> None:
        """This response was played to its end."""
        self.history.played_out(response_id)
        self.tell(OutputAudioBufferStopped(event_id=self._new_id("event_"), response_id=response_id))
        self.played(response_id)

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
        self._clients.leg = leg
        self.transport = leg.transport
        self._watch.leg_changed(leg)
        leg.attach(self)
        self._clients.introduce(leg.send)

    def on_client_report(self, report: ClientReport) -> None:
        """What the caller's browser measured."""
        self._report = report
        self.leg.report(jitter_buffer_ms=report.jitter_buffer_ms)

    # -- from controllers and other taps ------------------------------------------------------------------------------

    def attach(self, tap: Tap, *, audio: bool = False, own: bool = False) -> None:
        """One more follows the call: it gets ``session.created`` with what is in force, then every server event.

        Args:
            audio: also hand it the model's audio.
            own: it is Perhop's own: also tell it what clients did not ask for, such as the caller's words.

        Raises:
            LimitExceededError: too many follow it already.
        """
        self._clients.attach(tap, audio=audio, own=own)
        self._log.info("tap attached", taps=len(self._clients.taps))

    def detach(self, tap: Tap) -> None:
        """This one follows no more; the call goes on."""
        self._clients.taps.remove(tap)
        self._log.info("tap left", taps=len(self._clients.taps))

    def on_controller_event(self, tap: Tap, event: ClientEvent, *, trusted: bool = False) -> None:
        """A client event of an attached controller: it may say what the caller may, and gets its errors alone.

        Args:
            trusted: it came with an API key, and may send system messages too.
        """
        self.conversation.take(event, tap.on_event, trusted=trusted)

    def on_controller_audio(self, pcm: bytes) -> None:
        """Audio that a controller appended: it is the caller's as far as the model can tell."""
        self._boundary.audio_to_model(pcm)

    # -- from the model -----------------------------------------------------------------------------------------------

    def on_model_audio(self, chunk: AudioChunk) -> None:
        """Model audio goes straight to the caller."""
        self.conversation.play(chunk)

    def on_model_event(self, event: ServerEvent) -> None:
        """Any other event of the model."""
        self.conversation.hear(event)
        self.spending.observe(event)

    def on_model_closed(
        self,
        reason: EndReason,
        detail: str,
        *,
        fatal: bool = True,
        retry_after_s: float | None = None,  # noqa: ARG002 - the line has heeded it
    ) -> None:
        """The model session ended by itself."""
        self._log.info("model session closed", reason=reason, detail=detail, fatal=fatal)
        self.hang_up(reason)

    # -- from the line of model sessions ------------------------------------------------------------------------------

    def busy(self) -> bool:
        """Whether this is a bad moment to change the model session."""
        return self.conversation.busy

    def on_session_lost(self) -> None:
        """The model session is gone: what it was saying ends here."""
        self.conversation.session_lost()

    def on_response_settled(self, event: ResponseDone) -> None:
        """A response that was cut off with its session: clients were told its end already."""
        self.spending.settled(event)

    def on_session_replaced(
        self,
        why: Replacement,
        *,
        epoch: int,
        left: str,
        lost: bool,
        gap_s: float,
        session: Mapping[str, Any] | None = None,
    ) -> None:
        """A model session is in force that knows the conversation."""
        self._holding.end()
        self._log = self._log.bind(epoch=epoch)
        report_replacement(self._observer, self, why, left=left, lost=lost, gap_s=gap_s)
        self.conversation.session_replaced(session)

    def on_rejoined(self, rejoin: Rejoin) -> None:
        """The sideband of a direct call is back."""
        self.conversation.rejoined(rejoin)
        self._observer.reconnected(self, seconds=rejoin.seconds, attempts=rejoin.attempts)

    def on_audio_lost(self, ms: int) -> None:
        """The model will never hear this much of the caller."""
        self._log.warning("caller audio lost while there was no model session", ms=ms)
        self._observer.audio_lost(self, seconds=ms / 1000)

    def on_waiting(self) -> None:
        """There has been no model session for a while."""
        self._log.warning("no model session yet")
        if self._clients.session is not None and self._connected:
            self._holding.begin(self._clients.session)

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
            self.tell(error.to_event(self._new_id("event_")), side="call")
        self.ended = reason
        self.lifetime.end()
        self.spending.close()
        self._holding.end()
        self._presence.close()
        self.conversation.close()
        self._boundary.close()
        self._clients.ended(reason)
        self._watch.end()
        self._observer.session_closed(self, self.model)
        self._log.info("call ended", reason=reason, duration_s=round(self.lifetime.seconds, 1), turns=self._watch.turns)
        self._observer.call_ended(self)

    # -- from the conversation ----------------------------------------------------------------------------------------

    def tell(self, event: ServerEvent, *, side: ErrorSide = "model") -> None:
        """Tells clients; an error is the fault of ``side``."""
        self.note(event, side=side)
        self._clients.tell(event)

    def hide(self, event: ServerEvent) -> None:
        """What the model said for Perhop only."""
        self._clients.taps.hidden_event(event)

    def note(self, event: ServerEvent, *, side: ErrorSide = "model") -> None:
        """Logs and counts what clients are told, or are not because it answers Perhop's own."""
        if isinstance(event, ErrorEvent) and side == "model":
            self._log.warning("the model reports an error", code=known_code(event.error.code or ""))
        self._watch.shown(event, side)

    def reached(self) -> None:
        """The caller is there."""
        self._connected = True

    def played(self, response_id: str) -> None:
        """The caller heard this response to its end."""
        self.spending.played(response_id)
        self.conversation.played(response_id)

    def handed_over(self) -> None:
        """Another agent answers from here on."""
        name = self._acting.profile.name
        self._log.info("another agent takes over", to=name)
        self._log = self._log.bind(agent=name)
        self.spending.handed_over()

    # -- what is known of it ------------------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """What was said, called, answered and heard."""
        return self.conversation.history

    @property
    def agent(self) -> Agent | None:
        """Who answers now; None for a plain session."""
        return self._acting.agent

    @property
    def leg(self) -> CallerLeg:
        """The caller's leg in use."""
        return self._clients.leg

    @property
    def connected(self) -> bool:
        """Whether the caller can hear us by now."""
        return self._connected

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
            agent=self._acting.profile.name or None,
            model=self.model,
            transport=self.transport,
            started_at=self.lifetime.started_at,
            duration_s=self.lifetime.seconds,
            connected=self._connected and not self.waiting,
            waiting=self.waiting,
            turns=self._watch.turns,
            responses=self.conversation.responses,
            interruptions=self.conversation.interruptions,
            tool_calls=self.conversation.functions.started,
            taps=len(self._clients.taps),
            epoch=self._boundary.epoch,
            hop=self._watch.hop,
            client=self._report,
            ended=self.ended,
            usage=self.spending.used.usage(),
        )

    def _expire(self) -> None:
        """The call has lasted as long as it may."""
        self.hang_up(EndReason.SESSION_EXPIRED, f"The session reached its maximum duration of {self.lifetime.limit}.")
