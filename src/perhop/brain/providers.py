"""The four small interfaces behind which every engine of the brain stands.

All PCM is 24 kHz mono signed 16-bit little endian (``bytes``). Nothing here blocks the event loop: CPU-bound engines
live in processes of their own and answer through these objects.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from perhop.errors import PerhopError
from perhop.realtime.effects import Completeness, StartResponse
from perhop.realtime.items import Item

__all__ = [
    "BrainError",
    "Expectation",
    "FunctionCall",
    "Mind",
    "MindProvider",
    "Recogniser",
    "Recognition",
    "Said",
    "SpeechSynthesiser",
    "Utterance",
    "VoiceDetector",
    "VoiceDetectorProvider",
]


class BrainError(PerhopError):
    """An engine failed or refused; ``code`` goes to the caller in ``response.done`` or a failed transcription."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class VoiceDetector(Protocol):
    """Voice activity of one call; holds that call's recurrent state."""

    def feed(self, pcm: bytes) -> Sequence[float]:
        """Takes any length of PCM and returns the speech probability of every 32 ms window it completed."""

    def reset(self) -> None:
        """Forgets everything heard."""


class VoiceDetectorProvider(Protocol):
    def open(self) -> VoiceDetector:
        """A detector for one call; cheap (no model is loaded per call)."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the recogniser should be ready to hear now.

    Attributes:
        language: BCP 47, e.g. ``en``.
        grammar: JSGF text of everything in the domain, or None for free speech. Equal text means an equal grammar.
        pronunciations: CMU phones for words the recogniser's dictionary may lack.
        spellings: how lower-case words of the grammar are written ("oakland": "Oakland").
        prompt: a hint in prose for recognisers that take one.
    """

    language: str = "en"
    grammar: str | None = None
    pronunciations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    spellings: Mapping[str, str] = field(default_factory=dict)
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Recognition:
    """The words of one utterance.

    Attributes:
        confidence: 0–1; below the recogniser's own threshold ``in_domain`` is False.
        in_domain: False when a grammar was given and the speech was not covered by it.
    """

    text: str
    confidence: float = 1.0
    in_domain: bool = True


class Utterance(Protocol):
    """One utterance being recognised."""

    def feed(self, pcm: bytes) -> None:
        """Adds audio; never blocks, raises nothing. Audio beyond the engine's bound is dropped and counted."""

    async def finish(self) -> Recognition:
        """The final words. Raises BrainError when the engine is gone or overloaded."""

    def cancel(self) -> None:
        """Throws the utterance away."""


class Recogniser(Protocol):
    def open(self, expectation: Expectation, on_partial: Callable[[str], None]) -> Utterance:
        """Starts an utterance; ``on_partial`` gets the whole hypothesis so far whenever it changes, on the loop."""


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the reply's text; speak it as soon as a sentence is complete."""

    text: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The mind wants this function run. ``arguments`` is a JSON object as text."""

    name: str
    arguments: str


class Mind(Protocol):
    """The dialogue of one session. Its state is a function of the conversation it is shown, never hidden in it, so a
    session can be rebuilt from its items at any moment."""

    def configure(self, *, instructions: str, tools: Sequence[dict[str, Any]]) -> None:
        """Takes the session's instructions and function tools (``session.tools`` shape); called at every change."""

    def expect(self, history: Sequence[Item]) -> Expectation:
        """What the caller may say next."""

    def judge(self, history: Sequence[Item], partial: str) -> Completeness:
        """Whether ``partial``, said now, is a finished turn."""

    def respond(self, request: StartResponse) -> AsyncGenerator[Said | FunctionCall, None]:
        """The reply. Closing the generator cancels it."""


class MindProvider(Protocol):
    def open(self) -> Mind:
        """A mind for one session; cheap."""


class SpeechSynthesiser(Protocol):
    def speak(self, text: str, *, voice: str, speed: float) -> AsyncGenerator[bytes, None]:
        """PCM in chunks of any size, faster than real time. Closing the generator cancels at once."""
