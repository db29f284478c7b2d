"""The built-in Realtime server as a model leg in process: the protocol of ``realtime/``, the mind of ``brain/``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import structlog

from perhop.brain.providers import (
    BrainError,
    Expectation,
    Mind,
    MindProvider,
    Recogniser,
    SpeechSynthesiser,
    Utterance,
    VoiceDetectorProvider,
)
from perhop.call.legs import ModelSink
from perhop.models.driver import ServerDriver
from perhop.models.mcp import McpWork
from perhop.models.speaking import Speaking
from perhop.models.stable import StableWords
from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.effects import (
    CallMcpTool,
    CancelResponse,
    CloseUtterance,
    Completeness,
    DropUtterance,
    Effect,
    ListMcpTools,
    OpenUtterance,
    ReleaseMcpServer,
    StartResponse,
    Transcribe,
    Transcript,
    TranscriptDelta,
    TranscriptFailed,
    TurnHint,
    VoiceActivity,
)
from perhop.realtime.events import McpListToolsCompleted, ServerEvent, SessionCreated, SessionUpdated
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.server import ServerLimits
from perhop.realtime.session import SessionConfig
from perhop.realtime.turns import WINDOW_MS
from perhop.tools.mcp.provider import McpProvider

__all__ = ["LocalModel"]

_log = structlog.get_logger(__name__)

QUIET = 0.5
"""Speech probability below which a window is a pause and nothing else."""

_PROMPT = 1_000
"""Characters of a client's hint that recognisers are given."""


class LocalModel(ServerDriver):
    """One session of the built-in server.

    Args:
        detector: voice activity.
        recogniser: speech to text.
        minds: dialogue.
        voice: text to speech.
        mcp: MCP servers; without it a session can use none.
        limits: bounds of the session.
    """

    def __init__(
        self,
        *,
        detector: VoiceDetectorProvider,
        recogniser: Recogniser,
        minds: MindProvider,
        voice: SpeechSynthesiser,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
        limits: ServerLimits | None = None,
        mcp: McpProvider | None = None,
    ) -> None:
        super().__init__(clock=clock, new_id=new_id, limits=limits, mcp=mcp.rules if mcp is not None else None)
        self._detector = detector.open()
        self._recogniser = recogniser
        self._mind: Mind = minds.open()
        self._voice = voice
        self._mcp = McpWork(mcp.open(), self.feed) if mcp is not None else None
        self._detecting = False
        self._audio_ms = 0.0
        self._windows_ms = 0.0
        self._quiet = False
        self._judged: Completeness = "unknown"
        self._utterance: Utterance | None = None
        self._utterance_item = ""
        self._heard_so_far = ""
        self._certain = StableWords()
        self._responses: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        """Opens the session with this configuration."""
        super().start(_Watching(sink, self._configured), session)

    def heard(self, pcm: bytes) -> Sequence[VoiceActivity]:
        """Feeds recogniser and voice detector with audio the server has buffered."""
        self._audio_ms += len(pcm) / BYTES_PER_MS
        if self._utterance is not None:
            self._utterance.feed(pcm)
        if not self._detecting:
            return ()
        found = []
        for probability in self._detector.feed(pcm):
            self._windows_ms += WINDOW_MS
            self._quiet = probability < QUIET
            found.append(VoiceActivity(probability, round(self._windows_ms)))
        return found

    def carry_out(self, effect: Effect) -> None:
        """Starts what the server asks for."""
        match effect:
            case OpenUtterance():
                self._open(effect)
            case CloseUtterance():
                self._spawn(self._transcribe(effect.item_id, self._take(effect.item_id)))
            case DropUtterance():
                dropped = self._take(effect.item_id)
                if dropped is not None:
                    dropped.cancel()
            case Transcribe():
                utterance = self._recogniser.open(self._expectation(), lambda _: None)
                utterance.feed(effect.audio)
                self._spawn(self._transcribe(effect.item_id, utterance))
            case StartResponse():
                speaking = Speaking(self._mind, self._voice, self.feed)
                task = self._spawn(speaking.run(effect))
                self._responses[effect.response_id] = task
                task.add_done_callback(lambda done: self._produced(effect.response_id, done))
            case CancelResponse():
                running = self._responses.pop(effect.response_id, None)
                if running is not None:
                    running.cancel()
            case ListMcpTools() | CallMcpTool() | ReleaseMcpServer() if self._mcp is not None:
                self._mcp.carry_out(effect)
            case _:
                _log.error("effect not known", effect=type(effect).__name__)

    def released(self) -> None:
        """Cancels everything that still works for this session."""
        for task in self._tasks:
            task.cancel()
        if self._mcp is not None:
            self._mcp.close()
        if self._utterance is not None:
            self._utterance.cancel()
            self._utterance = None

    # -- inside -------------------------------------------------------------------------------------------------------

    def _configured(self) -> None:
        """A new configuration is in force."""
        config = self.server.config
        self._mind.configure(instructions=config.instructions, tools=self.server.functions)
        detecting = config.audio.input.turn_detection is not None
        if detecting and not self._detecting:
            self._detector.reset()
            self._windows_ms = self._audio_ms
        self._detecting = detecting

    def _produced(self, response_id: str, task: asyncio.Task[None]) -> None:
        """By then the response may have been started again, to go on after MCP calls."""
        if self._responses.get(response_id) is task:
            del self._responses[response_id]

    def _open(self, effect: OpenUtterance) -> None:
        self._heard_so_far = ""
        self._certain = StableWords()
        self._judged = "unknown"
        self._utterance_item = effect.item_id
        self._utterance = self._recogniser.open(self._expectation(), lambda text: self._partial(effect.item_id, text))
        self._utterance.feed(effect.audio)

    def _expectation(self) -> Expectation:
        """What may be said now. A transcription session talks about anything; the client may have given hints."""
        config = self.server.config
        expected = Expectation() if config.type == "transcription" else self._mind.expect(self.server.items)
        hints = config.audio.input.transcription
        if hints is None:
            return expected
        language = hints.language or (hints.languages[0] if hints.languages else expected.language)
        prompt = " ".join(filter(None, [hints.prompt, ", ".join(hints.keywords or ())])) or expected.prompt
        return replace(expected, language=language, prompt=prompt[:_PROMPT])

    def _partial(self, item_id: str, text: str) -> None:
        """The words so far say whether the caller has finished."""
        if item_id != self._utterance_item or self._utterance is None or text == self._heard_so_far:
            return
        if self._quiet and self._judged == "complete" and text.startswith(f"{self._heard_so_far} "):
            return  # A recogniser finds words in the noise of a pause; they do not make a finished turn unfinished.
        self._heard_so_far = text
        certain = self._certain.push(text)
        if certain:
            self.feed(TranscriptDelta(item_id, certain))
        self._judged = self._mind.judge(self.server.items, text)
        self.feed(TurnHint(item_id, self._judged))

    def _take(self, item_id: str) -> Utterance | None:
        utterance = self._utterance if item_id == self._utterance_item else None
        if utterance is not None:
            self._utterance = None
        return utterance

    async def _transcribe(self, item_id: str, utterance: Utterance | None) -> None:
        if utterance is None:
            self.feed(TranscriptFailed(item_id, "transcription_failed", "nothing was recorded for this item"))
            return
        try:
            recognition = await utterance.finish()
        except BrainError as error:
            self.feed(TranscriptFailed(item_id, error.code, str(error)))
        else:
            self.feed(Transcript(item_id, recognition.text))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Watching:
    """A sink that lets the model see its own session events before the call does."""

    def __init__(self, sink: ModelSink, configured: Callable[[], None]) -> None:
        self._configured = configured
        self._on_event = sink.on_model_event
        self.on_model_audio = sink.on_model_audio
        self.on_model_closed = sink.on_model_closed

    def on_model_event(self, event: ServerEvent) -> None:
        if isinstance(event, SessionCreated | SessionUpdated | McpListToolsCompleted):
            self._configured()
        self._on_event(event)
