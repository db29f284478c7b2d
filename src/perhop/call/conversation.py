"""What is said in a call: every event of the model, and all that Perhop itself does and says because of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from perhop.call.acting import ActingAgent
from perhop.call.admission import Admission
from perhop.call.asking import Asking
from perhop.call.boundary import Boundary
from perhop.call.clients import Clients
from perhop.call.coordinator import ALREADY_ACTIVE
from perhop.call.direct.supervision import Supervision
from perhop.call.direct.voice import DirectVoice
from perhop.call.executor import ToolExecutor
from perhop.call.farewell import Farewell
from perhop.call.fillers import Fillers
from perhop.call.functions import FunctionCalls
from perhop.call.history import History
from perhop.call.in_force import SessionInForce
from perhop.call.legs import CallerLeg, EndReason
from perhop.call.lifetime import Lifetime
from perhop.call.line import Rejoin
from perhop.call.open_responses import OpenResponses
from perhop.call.own_words import greeting
from perhop.call.ownership import SessionLock
from perhop.call.replies import Reply
from perhop.call.tool_control import ToolControl
from perhop.call.voice import AgentVoice, Voice
from perhop.call.watch import CallWatch
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    ErrorEvent,
    InputAudioBufferSpeechStarted,
    ResponseCreate,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory

__all__ = ["Conversation", "ConversationHost"]


class ConversationHost(Protocol):
    """The call."""

    id: str
    tenant: str
    direct: bool
    lifetime: Lifetime
    ended: EndReason | None

    @property
    def connected(self) -> bool:
        """Whether the caller can hear us by now."""

    @property
    def leg(self) -> CallerLeg:
        """The caller's leg in use."""

    def on_model_event(self, event: ServerEvent) -> None:
        """Takes this in as if the model had said it."""

    def tell(self, event: ServerEvent) -> None:
        """Tells clients what the model said."""

    def hide(self, event: ServerEvent) -> None:
        """What the model said for Perhop only."""

    def note(self, event: ServerEvent) -> None:
        """Logs and counts something that clients are not told."""

    def reached(self) -> None:
        """The caller is there."""

    def played(self, response_id: str) -> None:
        """The caller heard this response to its end."""

    def handed_over(self) -> None:
        """Another agent answers from here on."""

    def hang_up(self, reason: EndReason, message: str | None = None) -> None:
        """Ends the call."""


class Conversation:
    """Of one call; it outlives model sessions and callers' legs.

    Args:
        session: what of it is whose to decide.
        clients: are told.
        boundary: the door to model and tools.
        acting: the agent.
        watch: counts.
        clock: seconds, monotonic.

    Attributes:
        session: as given.
        history: what was said, called, answered and heard.
        functions: the function calls of the model.
    """

    def __init__(
        self,
        call: ConversationHost,
        session: SessionInForce,
        clients: Clients,
        boundary: Boundary,
        *,
        acting: ActingAgent,
        watch: CallWatch,
        clock: Callable[[], float],
        new_id: IdFactory,
    ) -> None:
        self.history = History()
        self._call = call
        self._clients = clients
        self._new_id = new_id
        self._boundary = boundary
        self._acting = acting
        self._watch = watch
        self.session = session
        self._asking = Asking(boundary.to_model, clock=clock, new_id=new_id)
        self._responses = OpenResponses(new_id)
        self._supervision: Supervision | None = None
        self._voice: Voice
        if call.direct:
            self._voice = direct_voice = DirectVoice(call.reached)
            self._supervision = Supervision(
                direct_voice,
                self.history,
                self._responses,
                restore=lambda changes: self._to_model(SessionUpdate(session=changes)),
                give_up=lambda: call.hang_up(EndReason.CALLER_ABUSE),
                new_id=new_id,
            )
        else:
            self._voice = AgentVoice(clients, self.history, to_model=self._to_model, tell=call.tell, new_id=new_id)
        self._farewell = Farewell(self._voice, hang_up=lambda: call.hang_up(EndReason.TOOL_HANGUP))
        self._fillers = Fillers(self, acting)
        tools = ToolExecutor(
            boundary,
            acting,
            call_id=call.id,
            tenant=call.tenant,
            answer=self._to_model,
            ran=watch.tool_ran,
            control=ToolControl(call, acting=acting, farewell=self._farewell),
            fillers=self._fillers,
            clock=clock,
            new_id=new_id,
        )
        self.functions = FunctionCalls(lambda: acting.profile.tools, tools.run, self._tools_answered)
        self._admission = Admission(
            clients.replies,
            self.session,
            asking=self._asking,
            functions=self.functions,
            voice=self._voice,
            boundary=boundary,
            refused=watch.refused,
            new_id=new_id,
        )

    # -- what is going on ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether the caller hears a response, a tool runs, or a response was asked for and has not begun."""
        return self._voice.playing or self.functions.running or self._asking.asking

    @property
    def answering(self) -> bool:
        """Whether an answer is being made or played."""
        return self._voice.playing or self._asking.live_response_id is not None

    @property
    def clocked(self) -> bool:
        """Whether it is known when a response was played: the caller's leg plays it, or the model itself."""
        return self._voice.clocked

    @property
    def responses(self) -> int:
        """That the model began so far."""
        return self._responses.begun

    @property
    def interruptions(self) -> int:
        """Of the agent by the caller, so far."""
        return self._voice.interruptions

    def received_ms(self, response: ResponseDone) -> int:
        """Audio of this response as it came from the model."""
        return self._voice.received_ms(response)

    # -- from the clients ---------------------------------------------------------------------------------------------

    def take(self, event: ClientEvent, reply: Reply, *, trusted: bool = False) -> None:
        """An event of the client who is reached by ``reply``: what is a client's to decide goes on to the model."""
        self._admission.take(event, reply, trusted=trusted)

    def played(self, response_id: str) -> None:
        """The caller heard this response to its end."""
        self._farewell.played(response_id)

    # -- from the model -----------------------------------------------------------------------------------------------

    def play(self, chunk: AudioChunk) -> None:
        """Model audio."""
        if self._voice.play(chunk):
            self._watch.audio()

    def hear(self, event: ServerEvent) -> None:
        """Any other event of the model."""
        self.history.apply(event)
        self._responses.observe(event)
        requests, show = self._asking.observe(event)
        in_force = None
        if isinstance(event, SessionCreated | SessionUpdated):
            in_force, event = event.session, self._put_in_force(event)
        shown = self.session.to_clients(event)
        if shown is None:
            self._call.hide(event)
        elif show:
            self._call.tell(shown)
        elif isinstance(event, ErrorEvent) and event.error.code != ALREADY_ACTIVE:
            self._call.note(event)
        if isinstance(event, ErrorEvent):
            self.session.refused(event.error.event_id)
        if isinstance(event, InputAudioBufferSpeechStarted) and self.session.interrupts:
            self._voice.interrupt(self._asking.live_response_id)
        played = self._voice.observe(event)
        if played is not None:
            self._call.played(played)
        self._fillers.observe(event)
        self._farewell.observe(event)
        self.functions.observe(event)
        self._asking.go_on(requests)
        if self._supervision is not None and in_force is not None:
            self._supervision.check(in_force, self.session.lock)

    def session_lost(self) -> None:
        """The model session is gone: what it was saying ends here."""
        self._asking.session_lost()
        for event in self._responses.close("model_session_lost", "The model's session ended before its response did."):
            self._call.on_model_event(event)

    def session_replaced(self, session: Mapping[str, Any] | None) -> None:
        """A model session is in force that knows the conversation: what was asked and has not begun is asked again.

        Args:
            session: what is in force now, where that is not what was.
        """
        if session is not None:
            self.session.unasked()
            self._call.on_model_event(SessionUpdated(event_id=self._new_id("event_"), session=dict(session)))
        self._asking.session_replaced(answer=not self.functions.running)

    def rejoined(self, rejoin: Rejoin) -> None:
        """The sideband of a direct call is back: what can be known of the meantime is taken in."""
        if self._supervision is None:
            return
        meantime = self._supervision.rejoined(rejoin)
        for event in meantime.events:
            self._call.on_model_event(event)
        for item in meantime.function_calls:
            self.functions.found(item)
        self._asking.rejoined(answered=meantime.answered)

    # -- of Perhop's own ----------------------------------------------------------------------------------------------

    def greet(self) -> bool:
        """Has the agent greet, if it does that; whether it does."""
        words = self._acting.profile.greeting
        if words:
            self.ask(greeting(words))
        return bool(words)

    def ask(self, event: ResponseCreate) -> None:
        """Has the model say something, when its turn has come."""
        self._asking.for_perhop(self._clients.own(event))

    def fill(self, event: ResponseCreate) -> bool:
        """Has the model say something if it is silent here; whether it will."""
        if not self._call.connected or self._call.ended is not None or self._voice.playing:
            return False
        return self._asking.fill(self._clients.own(event))

    def close(self) -> None:
        """The call is over."""
        self._farewell.close()
        self._asking.close()
        self.functions.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _to_model(self, event: ClientEvent) -> None:
        """An event of Perhop's own."""
        self._boundary.to_model(self._clients.own(event))

    def _put_in_force(self, event: SessionCreated | SessionUpdated) -> SessionCreated | SessionUpdated:
        """The session that is now in force decides who interrupts and who asks."""
        shown = self.session.put(event, expires_at=self._call.lifetime.expires_at)
        self._clients.session = shown
        self._asking.automatic(self.session.answers)
        return event.model_copy(update={"session": shown})

    def _tools_answered(self, output_item_ids: list[str]) -> None:
        """The outputs are in: the agent answers, or the one it hands over to greets."""
        lock = self._acting.succeed()
        if lock is not None:
            self._hand_over(lock)
            if self.greet():
                return
        self._asking.for_tools(output_item_ids)

    def _hand_over(self, lock: SessionLock) -> None:
        """Another agent answers from here on; what it does not decide stays as it was."""
        changes, same_voice = self.session.succeed(lock)
        self._call.handed_over()
        if same_voice:
            self._boundary.to_model(self.session.told(self._clients.own(SessionUpdate(session=changes))))
        else:
            self._boundary.restart_model(self.session.restarted(changes))
