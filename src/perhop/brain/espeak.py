"""Text to speech without a network: espeak-ng in an engine process."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from perhop.brain.engines.pool import EnginePool, EngineStatus
from perhop.brain.engines.process import EngineCommand
from perhop.brain.providers import BrainError

__all__ = ["VOICES", "EspeakSynthesiser", "EspeakVoice"]

_WPM = 165
_WPM_RANGE = (80, 450)
_PIECE_CHARACTERS = 240
"""Longest text for one request, about 15 s of speech: what one caller can make the others wait for (20 ms)."""
_MAX_CHARACTERS = 20_000
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|(?<=,)\s+")
_LANGUAGES = {"en": "en-us", "en-US": "en-us", "en-GB": "en-gb"}


@dataclass(frozen=True, slots=True)
class EspeakVoice:
    """A variant of espeak-ng and how it is used; ``pitch`` and ``intonation`` are 0–100, 50 being its own."""

    variant: str
    pitch: int = 50
    intonation: int = 50
    rate: float = 1.0


VOICES = {
    "alloy": EspeakVoice("f3", pitch=40),
    "ash": EspeakVoice("adam"),
    "ballad": EspeakVoice("edward", intonation=60, rate=0.95),
    "cedar": EspeakVoice("michel", pitch=42),
    "coral": EspeakVoice("f2", pitch=55, intonation=60),
    "echo": EspeakVoice("m6"),
    "marin": EspeakVoice("f2"),
    "sage": EspeakVoice("f5", pitch=45),
    "shimmer": EspeakVoice("anika", intonation=60),
    "verse": EspeakVoice("benjamin", intonation=65),
}
"""The voices of the Realtime API, each by a variant that is easy to understand and unlike the others."""

_DEFAULT_VOICE = "marin"


class EspeakSynthesiser:
    """Speaks with one or more engine processes; start it before use.

    Args:
        language: BCP 47; a language that espeak-ng does not know makes ``speak`` fail with ``speech_failed``.
        processes: how many; one speaks 800 times faster than real time.
        max_waiting: sentences at one process, the one being spoken included.
    """

    def __init__(self, *, language: str = "en", processes: int = 1, max_waiting: int = 32) -> None:
        self._language = _LANGUAGES.get(language, language.lower())
        command = EngineCommand(
            name="espeak",
            factory="perhop.brain.engines.speech:SpeechService",
            options={"warm": [self._voice_name(VOICES[_DEFAULT_VOICE])]},
            max_streams=max_waiting,
        )
        self._pool = EnginePool(command, size=processes)

    @property
    def ready(self) -> bool:
        """Whether every process can speak."""
        return self._pool.ready

    async def start(self) -> None:
        """Starts the processes; returns when they are ready.

        Raises:
            BrainError: ``engine_unavailable``.
        """
        await self._pool.start()

    async def close(self) -> None:
        """Ends the processes."""
        await self._pool.close()

    def status(self) -> list[EngineStatus]:
        """The processes, for health checks."""
        return self._pool.status()

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncGenerator[bytes, None]:
        """PCM of ``text``, sentence by sentence; a sentence is not begun before the one before was taken.

        Args:
            voice: one of :data:`VOICES`; any other name gets the default.
            speed: 0.25–1.5; below 0.5 it gets no slower, espeak-ng has its limits.

        Raises:
            BrainError: ``engine_overloaded``, ``engine_lost``, ``speech_failed``, ``text_too_long``.
        """
        if len(text) > _MAX_CHARACTERS:
            raise BrainError("text_too_long", f"a text to speak may have {_MAX_CHARACTERS} characters")
        chosen = VOICES.get(voice, VOICES[_DEFAULT_VOICE])
        request = {
            "voice": self._voice_name(chosen),
            "wpm": round(min(max(_WPM * speed * chosen.rate, _WPM_RANGE[0]), _WPM_RANGE[1])),
            "pitch": chosen.pitch,
            "intonation": chosen.intonation,
        }
        for piece in _pieces(text):
            reply = _Reply()
            stream = self._pool.open({**request, "text": piece}, reply)
            try:
                while (chunk := await reply.next()) is not None:
                    yield chunk
            finally:
                stream.cancel()

    def _voice_name(self, voice: EspeakVoice) -> str:
        return f"{self._language}+{voice.variant}"


class _Reply:
    """One sentence's audio between the engine and whoever takes it."""

    __slots__ = ("_arrived", "_chunks", "_end", "_error")

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._end = False
        self._error: BrainError | None = None

    async def next(self) -> bytes | None:
        """The next piece, or None after the last."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._end:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._chunks.popleft()

    def on_data(self, data: bytes) -> None:
        self._chunks.append(data)
        self._arrived.set()

    def on_event(self, _: dict[str, Any]) -> None:
        """The speaking engine has none."""

    def on_done(self, _: dict[str, Any]) -> None:
        self._end = True
        self._arrived.set()

    def on_failed(self, error: BrainError) -> None:
        self._error = error
        self._arrived.set()


def _pieces(text: str) -> list[str]:
    """Text cut for requests: whole when short, else at the ends of sentences and clauses, at worst between words."""
    text = text.strip()
    if len(text) <= _PIECE_CHARACTERS:
        return [text] if text else []
    pieces: list[str] = []
    for part in (word for clause in _SENTENCE_END.split(text) for word in _by_length(clause)):
        if pieces and len(pieces[-1]) + 1 + len(part) <= _PIECE_CHARACTERS:
            pieces[-1] += " " + part
        else:
            pieces.append(part)
    return pieces


def _by_length(clause: str) -> list[str]:
    """A clause that is too long on its own, cut between words, or anywhere when there are none."""
    parts: list[str] = []
    while len(clause) > _PIECE_CHARACTERS:
        cut = clause.rfind(" ", 1, _PIECE_CHARACTERS + 1)
        cut = cut if cut > 0 else _PIECE_CHARACTERS
        parts.append(clause[:cut])
        clause = clause[cut:].lstrip()
    return [*parts, clause] if clause else parts
