"""One conversation of a caller with an agent: the join of a caller leg and a model leg.

Every event of either side passes through here, in order, by direct calls inside one event loop. The call decides three
things and nothing else: which client events may reach the model (ownership), who may ask for a response (coordinator),
and what the model must forget when its speech was cut off (barge-in). Everything unknown passes untouched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from perhop.call.agents import Agent
from perhop.call.bargein import truncation
from perhop.call.boundary import Boundary
from perhop.call.coordinator import ResponseCoordinator
from perhop.call.functions import FunctionCalls
from perhop.call.history import History
from perhop.call.legs import CallerLeg, EndReason
from perhop.call.ownership import SessionLock, turn_detection
from perhop.call.snapshot import CallSnapshot, ClientReport
from perhop.realtime.audio import AudioChunk
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    InputAudioBufferAppend,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    OutputAudioBufferClear,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
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
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem
from perhop.realtime.session import SessionConfig
from perhop.tools.tool import Tool, ToolContext

__all__ = ["Call", "CallObserver"]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class CallObserver:
    """What others want to know of calls: figures only. Every field is a function that must return at once.

    Attributes:
        ended: the call is over.
        first_audio: end of the caller's speech → first audio on the wire, s.
    """

    ended: Callable[[Call], None]
    first_audio: Callable[[float], None]


class Call:
    """A live call; implements both sinks of :mod:`perhop.call.legs`.

    Args:
        call_id: ``rtc_…``.
        leg: the caller.
        boundary: the door to model and tools.
        agent: None for a plain Realtime session, in which everything is the client's.
        lock: what of the session the agent decides.
        observer: told about figures and the end.
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
        model: str,
        observer: CallObserver,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self.id = call_id
        self.agent = agent
        self.tenant = tenant
        self.model = model
        self.transport = leg.transport
        self.started_at = time.time()
        self.history = History()
        self.ended: EndReason | None = None
        self._leg = leg
        self._boundary = boundary
        self._lock = lock
        self._observer = observer
        self._clock = clock
        self._new_id = new_id
        self._began = clock()
        self._duration: float | None = None
        self._coordinator = ResponseCoordinator(new_id)
        self._functions = FunctionCalls(agent.tools if agent else {}, self._run_tool, self._tools_answered)
        self._timer: asyncio.TimerHandle | None = None
        self._connected = False
        self._interruptible = True
        self._silenced: set[str] = set()
        self._speech_stopped_at: float | None = None
        self._turns = self._responses = self._interruptions = 0
        self._report = ClientReport()
        self._log = _log.bind(call_id=call_id, tenant=tenant, agent=agent.name if agent else None)

    # -- from the caller ----------------------------------------------------------------------------------------------

    def start(self, session: SessionConfig) -> None:
        """Opens the model session with this configuration and joins the legs."""
        self._leg.attach(self)
        self._boundary.open_model(self, session)
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
        try:
            self._handle(event)
        except ProtocolError as error:
            self._leg.send(error.to_event(self._new_id("event_")))

    def on_playout_started(self, response_id: str) -> None:
        """The caller begins to hear this response."""
        if self._speech_stopped_at is not None:
            self._observer.first_audio(self._clock() - self._speech_stopped_at)
            self._speech_stopped_at = None
        self._leg.send(OutputAudioBufferStarted(event_id=self._new_id("event_"), response_id=response_id))

    def on_playout_stopped(self, response_id: str) -> None:
        """This response was played to its end."""
        self.history.played_out(response_id)
        self._leg.send(OutputAudioBufferStopped(event_id=self._new_id("event_"), response_id=response_id))

    def on_caller_closed(self, reason: EndReason) -> None:
        """The caller is gone."""
        self.hang_up(reason)

    def on_client_report(self, report: ClientReport) -> None:
        """What the caller's browser measured."""
        self._report = report
        self._leg.report(jitter_buffer_ms=report.jitter_buffer_ms)

    # -- from the model -----------------------------------------------------------------------------------------------

    def on_model_audio(self, chunk: AudioChunk) -> None:
        """Model audio goes straight to the caller."""
        if self._silenced and chunk.response_id in self._silenced:
            return
        self.history.add_audio(chunk)
        self._leg.play(chunk)

    def on_model_event(self, event: ServerEvent) -> None:
        """Any other event of the model."""
        self.history.apply(event)
        requests, show = self._coordinator.observe(event, self._clock())
        if show:
            self._leg.send(event)
        match event:
            case InputAudioBufferSpeechStarted():
                if self._interruptible and self._leg.clocked:
                    self._drop_playout()
            case InputAudioBufferSpeechStopped():
                self._turns += 1
                self._speech_stopped_at = self._clock()
            case ResponseCreated():
                self._responses += 1
            case ResponseDone():
                self._response_over(event)
            case SessionCreated() | SessionUpdated():
                self._take_effect(event)
            case _:
                pass
        self._functions.observe(event)
        self._ask(requests)

    def on_model_closed(self, reason: EndReason, detail: str) -> None:
        """The model session ended by itself."""
        self._log.info("model session closed", reason=reason, detail=detail)
        self.hang_up(reason)

    # -- from outside -------------------------------------------------------------------------------------------------

    def hang_up(self, reason: EndReason) -> None:
        """Ends the call; the first reason counts."""
        if self.ended is not None:
            return
        self.ended = reason
        self._duration = self._clock() - self._began
        if self._timer is not None:
            self._timer.cancel()
        self._functions.close()
        self._boundary.close()
        self._leg.close(reason)
        self._log.info("call ended", reason=reason, duration_s=round(self._duration, 1), turns=self._turns)
        self._observer.ended(self)

    def snapshot(self) -> CallSnapshot:
        """The figures of this call now."""
        return CallSnapshot(
            id=self.id,
            tenant=self.tenant,
            agent=self.agent.name if self.agent else None,
            model=self.model,
            transport=self.transport,
            started_at=self.started_at,
            duration_s=self._duration if self._duration is not None else self._clock() - self._began,
            connected=self._connected,
            turns=self._turns,
            responses=self._responses,
            interruptions=self._interruptions,
            tool_calls=self._functions.started,
            epoch=0,
            hop=self._leg.stats(),
            client=self._report,
            ended=self.ended,
        )

    # -- inside -------------------------------------------------------------------------------------------------------

    def _handle(self, event: ClientEvent) -> None:
        match event:
            case SessionUpdate():
                self._boundary.to_model(event.model_copy(update={"session": self._lock.apply(event.session)}))
            case ResponseCreate():
                self._ask(self._coordinator.from_caller(event, self._clock()))
            case ConversationItemCreate() if isinstance(event.item, FunctionCallOutputItem):
                function_call_id = event.item.call_id
                if self._functions.owns(function_call_id):
                    raise ProtocolError(
                        "invalid_value",
                        f"the output of {function_call_id} comes from Perhop, which runs this tool; do not send it",
                        param="item.call_id",
                        event_id=event.event_id,
                    )
                self._boundary.to_model(event)
                self._functions.client_answered(function_call_id)
            case InputAudioBufferAppend():
                self._boundary.audio_to_model(event.decoded())
            case OutputAudioBufferClear() if self._leg.clocked:
                self._drop_playout()
            case _:
                self._boundary.to_model(event)

    def _ask(self, requests: list[ResponseCreate]) -> None:
        for request in requests:
            self._boundary.to_model(request)
        self._arm()

    def _arm(self) -> None:
        """Keeps one timer for the coordinator's deadline."""
        deadline = self._coordinator.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self.ended is None:
            delay = max(0.0, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._ask(self._coordinator.on_timer(self._clock()))

    def _take_effect(self, event: SessionCreated | SessionUpdated) -> None:
        """The session that is now in force decides who interrupts and who asks."""
        detection = turn_detection(event.session)
        self._interruptible = detection is not None and detection.get("interrupt_response") is not False
        self._coordinator.automatic = detection is not None and detection.get("create_response") is not False

    def _response_over(self, event: ResponseDone) -> None:
        response_id = event.response.id or ""
        if response_id in self._silenced:
            self._silenced.discard(response_id)
        elif self._leg.clocked:
            self._leg.end_audio(response_id)

    def _drop_playout(self) -> None:
        """Silences the agent at once, and has the model forget what was not heard."""
        audible = self._leg.clear()
        if audible is not None:
            self._interruptions += 1
            self._leg.send(OutputAudioBufferCleared(event_id=self._new_id("event_"), response_id=audible))
        for entry in self.history.unplayed():
            position = self._leg.position(entry.item_id)
            cut = truncation(entry.item_id, entry.content_index, position=position, received_ms=entry.received_ms)
            if cut is not None:
                self._boundary.to_model(cut)
            self.history.played_out(entry.response_id)
            if entry.response_id == self._coordinator.live_response_id:
                self._silenced.add(entry.response_id)

    def _greet(self, greeting: str) -> None:
        event = ResponseCreate(response=ResponseParams(instructions=f'Greet the caller with: "{greeting}"'))
        self._ask(self._coordinator.from_caller(event, self._clock()))

    async def _run_tool(self, tool: Tool, item: FunctionCallItem) -> str:
        """Runs one function call and hands its output to the model."""
        context = ToolContext(
            call_id=self.id,
            agent=self.agent.name if self.agent else "",
            tenant=self.tenant,
            function_call_id=item.call_id or "",
        )
        began = self._clock()
        result = await self._boundary.to_tool(tool, item.arguments or "{}", context)
        self._log.info(
            "tool ran", tool=tool.name, ok=result.ok, code=result.code, ms=round((self._clock() - began) * 1e3)
        )
        output_id = self._new_id("item_")
        output = FunctionCallOutputItem(id=output_id, call_id=item.call_id or "", output=result.output)
        self._boundary.to_model(ConversationItemCreate(item=output))
        return output_id

    def _tools_answered(self, output_item_ids: list[str]) -> None:
        self._ask(self._coordinator.for_tools(output_item_ids, self._clock()))
