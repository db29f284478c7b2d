"""A model that does what a script says: a strict Realtime session whose every answer is known beforehand.

The protocol is the built-in server's own, so that a client's mistake gets the error a real model would send. What the
model says, calls and breaks is a list of *steps* for each response. Turn detection hears loud audio as speech, on audio
time alone: the same audio always gives the same turns, and hundreds of sessions cost next to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pybase64

from perhop.call.legs import EndReason, ModelSink
from perhop.models.driver import ServerDriver
from perhop.models.loudness import LoudIsSpeech
from perhop.models.steps import Call, Close, Cut, Emit, Fail, InTurn, Say, Script, ScriptError, Step, Wait
from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.effects import (
    CancelResponse,
    CloseUtterance,
    DropUtterance,
    Effect,
    OpenUtterance,
    OutputAudio,
    OutputDone,
    OutputFailed,
    OutputFunctionCall,
    OutputText,
    StartResponse,
    Transcribe,
    Transcript,
    VoiceActivity,
)
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    parse_server_event,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.items import MessageItem
from perhop.realtime.server import ServerLimits
from perhop.realtime.session import SessionConfig
from perhop.realtime.turns import WINDOW_MS

__all__ = ["Record", "ScriptedModel"]

_LIMITS = ServerLimits(max_item_audio=64 << 20)
"""All audio is kept: tests look at it."""


@dataclass(slots=True)
class Record:
    """What a session was told; the lists grow as it is.

    Attributes:
        session: the configuration it began with.
        events: every client event but audio, in order.
        appended: bytes of caller audio.
        committed: audio of each committed turn, by item id, in order.
        responses: ids of the responses that were started.
        cancelled: ids of those that were stopped before their script was through.
        ended: how it ended: ``"closed"`` by the client, ``"session_expired"``, or the reason of its own ``Close``.
        close_code: what a WebSocket that serves it is closed with.
    """

    session: SessionConfig | None = None
    events: list[ClientEvent] = field(default_factory=list)
    appended: int = 0
    committed: dict[str, bytes] = field(default_factory=dict)
    responses: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    ended: str | None = None
    close_code: int = 1000


class ScriptedModel(ServerDriver):
    """One session; a :class:`~perhop.call.legs.ModelLeg`.

    Args:
        script: what to answer; see :mod:`perhop.models.steps`.
        words: what the caller said in this audio (24 kHz PCM); by default how long it was.
        session_cap_s: the session announces ``expires_at``, and ends then with ``session_expired``.
        clock: seconds, monotonic.
        wall: Unix time, s.
        sleep: waits for :class:`~perhop.models.steps.Wait` and paced speech.

    Attributes:
        record: what it was told.
    """

    def __init__(
        self,
        script: Script,
        *,
        words: Callable[[bytes], str] = lambda audio: f"{len(audio) // BYTES_PER_MS} milliseconds",
        session_cap_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_id: IdFactory = new_id,
        limits: ServerLimits = _LIMITS,
    ) -> None:
        super().__init__(clock=clock, wall=wall, new_id=new_id, limits=limits, session_cap_s=session_cap_s)
        self.record = Record()
        self._script = script
        self._words = words
        self._sleep = sleep
        self._detector = LoudIsSpeech()
        self._audio_ms = self._windows_ms = 0.0
        self._detecting = False
        self._clips: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._waiting: deque[tuple[str, asyncio.Event]] = deque()

    # -- ModelLeg -----------------------------------------------------------------------------------------------------

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        """Opens the session with this configuration."""
        self.record.session = session
        super().start(sink, session)

    def send(self, event: ClientEvent) -> None:
        """Takes one client event; steps that wait for it go on."""
        if self._closed:
            return
        self.record.events.append(event)
        if isinstance(event, ConversationItemCreate) and event.item.id is not None:
            self._clips.add(event.item.id)
        super().send(event)
        for waiting in [entry for entry in self._waiting if entry[0] == event.type]:
            self._waiting.remove(waiting)
            waiting[1].set()

    def close(self) -> None:
        """Ends the session; nothing is reported afterwards."""
        if self.record.ended is None:
            self.record.ended = "closed"
        super().close()

    def assert_finished(self) -> None:
        """Checks that the script was played to its end.

        Raises:
            ScriptError: responses that the script holds were never asked for, or are still being produced.
        """
        left = self._script.left if isinstance(self._script, InTurn) else 0
        if left or self._running:
            raise ScriptError(f"{left} responses of the script were not asked for; {len(self._running)} not finished")

    # -- ServerDriver -------------------------------------------------------------------------------------------------

    def heard(self, pcm: bytes) -> Sequence[VoiceActivity]:
        """Finds speech by its loudness."""
        self.record.appended += len(pcm)
        self._audio_ms += len(pcm) / BYTES_PER_MS
        if self.server.config.audio.input.turn_detection is None:
            self._detecting = False
            return ()
        if not self._detecting:
            self._detecting = True
            self._detector.reset()
            self._windows_ms = self._audio_ms - len(pcm) / BYTES_PER_MS
        found = []
        for probability in self._detector.feed(pcm):
            self._windows_ms += WINDOW_MS
            found.append(VoiceActivity(probability, round(self._windows_ms)))
        return found

    def carry_out(self, effect: Effect) -> None:
        """Answers a response with its steps, and audio with its words."""
        match effect:
            case StartResponse():
                self._respond(effect)
            case CancelResponse():
                task = self._running.pop(effect.response_id, None)
                if task is not None:
                    self.record.cancelled.append(effect.response_id)
                    task.cancel()
            case CloseUtterance():
                self._committed(effect.item_id, self._audio_of(effect.item_id))
            case Transcribe():
                self._committed(effect.item_id, effect.audio)
            case OpenUtterance() | DropUtterance():
                pass
            case _:
                raise ScriptError(f"a script cannot do {type(effect).__name__}")

    def expire(self) -> None:
        """The session has lasted as long as it may: says so, and ends."""
        self.record.ended, self.record.close_code = "session_expired", 1001
        super().expire()

    def released(self) -> None:
        """Stops what is still being said."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()
        self._waiting.clear()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _audio_of(self, item_id: str) -> bytes:
        """Asks the session itself, so that what is recorded is what was committed, to the sample."""
        for output in self.server.receive(ConversationItemRetrieve(item_id=item_id), self._clock()):
            if isinstance(output, ConversationItemRetrieved) and isinstance(output.item, MessageItem):
                return b"".join(pybase64.b64decode(part.audio or "") for part in output.item.content)
        return b""

    def _committed(self, item_id: str, audio: bytes) -> None:
        if item_id not in self._clips:
            self.record.committed[item_id] = audio
        self.feed(Transcript(item_id, self._words(audio)))

    def _respond(self, request: StartResponse) -> None:
        self.record.responses.append(request.response_id)
        try:
            steps = self._script(request)
        except ScriptError as error:
            self.feed(OutputFailed(request.response_id, "script_exhausted", str(error)))
            return
        task = asyncio.get_running_loop().create_task(self._play(request, steps))
        self._running[request.response_id] = task
        task.add_done_callback(lambda _: self._running.pop(request.response_id, None))

    async def _play(self, request: StartResponse, steps: Sequence[Step]) -> None:
        response_id = request.response_id
        for step in steps:
            match step:
                case Say():
                    await self._say(request, step)
                case Call():
                    self.feed(OutputFunctionCall(response_id, step.tool, step.arguments_json))
                case Wait() if not await self._waited(step):
                    self.feed(OutputFailed(response_id, "script_waited", f"the client did not send {step.event}"))
                    return
                case Emit():
                    self.sink.on_model_event(parse_server_event(step.json(self._new_id("event_"))))
                case Fail():
                    self.feed(OutputFailed(response_id, step.code, step.message))
                    return
                case Cut():
                    self.feed(OutputDone(response_id, step.reason))
                    return
                case Close():
                    self._close_session(step)
                    return
        self.feed(OutputDone(response_id))

    async def _say(self, request: StartResponse, step: Say) -> None:
        self.feed(OutputText(request.response_id, step.text))
        if request.modality == "text":
            return
        for piece in step.pieces():
            self.feed(OutputAudio(request.response_id, piece))
            if step.pace:
                await self._sleep(len(piece) / BYTES_PER_MS / 1000 / step.pace)

    async def _waited(self, step: Wait) -> bool:
        """Whether what was waited for has come."""
        if step.event is None:
            await self._sleep(step.seconds)
            return True
        arrived = asyncio.Event()
        self._waiting.append((step.event, arrived))
        try:
            async with asyncio.timeout(step.seconds):
                return await arrived.wait()
        except TimeoutError:
            return False

    def _close_session(self, step: Close) -> None:
        self.record.ended, self.record.close_code = step.reason, step.code
        sink = self.sink
        self.close()
        sink.on_model_closed(EndReason.MODEL_CLOSED, step.reason, fatal=step.fatal)
