"""Engines of the built-in model that tests can foresee: loud is speech, and words are what the test says they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from perhop.brain.providers import BrainError, Expectation, FunctionCall, Recognition, Said, Utterance
from perhop.models.local import LocalModel
from perhop.realtime.effects import Completeness, StartResponse
from perhop.realtime.items import Item

__all__ = ["FRAME", "ForeseeableBrain", "speech"]

WINDOW = 32 * 48
FRAME = 960
"""Bytes of 20 ms."""


def speech(ms: int, *, silence_ms: int = 400) -> bytes:
    """A loud tone of 500 Hz, then silence; 24 kHz PCM."""
    period = b"\x00\x40" * 24 + b"\x00\xc0" * 24
    return period * (ms // 2) + bytes(silence_ms * 48)


class LoudIsSpeech:
    """Voice activity by the loudest of a few samples of each window."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, pcm: bytes) -> Sequence[float]:
        self._held += pcm
        found = []
        while len(self._held) >= WINDOW:
            window, self._held = self._held[:WINDOW], self._held[WINDOW:]
            loudest = max(abs(sample) for sample in memoryview(window).cast("h")[::32])
            found.append(0.95 if loudest > 2_000 else 0.02)
        return found

    def reset(self) -> None:
        self._held = b""


@dataclass
class Heard:
    """One utterance: ``words`` decides what it was."""

    expectation: Expectation
    words: Callable[[bytes], str | BrainError]
    audio: bytes = b""
    cancelled: bool = False

    def feed(self, pcm: bytes) -> None:
        self.audio += pcm

    async def finish(self) -> Recognition:
        await asyncio.sleep(0)
        words = self.words(self.audio)
        if isinstance(words, BrainError):
            raise words
        return Recognition(words)

    def cancel(self) -> None:
        self.cancelled = True


class SaysWhatItIsTold:
    """A mind whose reply the test decides."""

    def __init__(self, reply: Callable[[StartResponse], Sequence[Said | FunctionCall]]) -> None:
        self._reply = reply

    def configure(self, *, instructions: str, tools: Sequence[dict[str, Any]]) -> None: ...

    def expect(self, history: Sequence[Item]) -> Expectation:
        return Expectation(grammar="of the mind", prompt="of the mind")

    def judge(self, history: Sequence[Item], partial: str) -> Completeness:
        return "unknown"

    async def respond(self, request: StartResponse) -> AsyncGenerator[Said | FunctionCall, None]:
        for piece in self._reply(request):
            yield piece


@dataclass
class Opens:
    """A provider of whatever ``open`` makes."""

    open: Callable[..., Any]


@dataclass
class ForeseeableBrain:
    """Everything a :class:`LocalModel` needs.

    Attributes:
        words: what an utterance with this audio said.
        reply: what the mind answers.
        voice_ms: how much audio a sentence becomes.
        heard: every utterance so far.
    """

    words: Callable[[bytes], str | BrainError] = lambda audio: f"{len(audio) // 48} ms"
    reply: Callable[[StartResponse], Sequence[Said | FunctionCall]] = lambda request: [Said("Fine.")]
    voice_ms: int = 500
    heard: list[Heard] = field(default_factory=list)

    def model(self, **options: Any) -> LocalModel:
        """A model session with this brain."""
        return LocalModel(
            detector=Opens(LoudIsSpeech),
            recogniser=Opens(self._listen),
            minds=Opens(lambda: SaysWhatItIsTold(self.reply)),
            voice=self,
            **options,
        )

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncGenerator[bytes, None]:
        whole = speech(round(self.voice_ms / speed), silence_ms=0)
        for start in range(0, len(whole), FRAME):
            yield whole[start : start + FRAME]

    def _listen(self, expectation: Expectation, on_partial: Callable[[str], None]) -> Utterance:
        self.heard.append(Heard(expectation, self.words))
        return self.heard[-1]
