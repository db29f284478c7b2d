"""When a caller's turn begins and ends: decisions from speech probabilities and hints, on audio time alone.

*Server VAD* ends a turn after a fixed silence. *Semantic VAD* lets the words decide how long the silence must be: short
after a finished thought, long after "and …", in between when nobody can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from perhop.realtime.effects import Completeness
from perhop.realtime.session_fields import Eagerness, SemanticVad, ServerVad

__all__ = ["WINDOW_MS", "ByEagerness", "SpeechStarted", "SpeechStopped", "TurnDetector", "TurnTiming"]

WINDOW_MS = 32
"""Length of the window one speech probability stands for."""


@dataclass(frozen=True, slots=True)
class ByEagerness:
    """A silence for each eagerness, ms; ``auto`` is medium."""

    low: int
    medium: int
    high: int

    def of(self, eagerness: Eagerness) -> int:
        """The silence for this eagerness."""
        return {"low": self.low, "high": self.high}.get(eagerness, self.medium)


@dataclass(frozen=True, slots=True)
class TurnTiming:
    """Every constant of turn detection that a session cannot set. Times in ms of audio.

    Attributes:
        start_windows: windows above the threshold, in a row, that make speech; one alone is a click or a breath.
        exit_ratio: share of the threshold below which a window counts as silence; keeps soft syllables in.
        semantic_threshold: speech probability that counts as speech for semantic VAD.
        semantic_padding_ms: audio kept from before the speech for semantic VAD.
        complete_ms: silence that ends a turn whose words are a finished thought.
        unknown_ms: silence that ends a turn whose words say nothing either way, by eagerness.
        incomplete_ms: silence that ends a turn even in mid-sentence, by eagerness. The API documents 8, 4 and 2 s as
            the longest waits; a recogniser that mishears the last word costs the caller this much, so ours are shorter.
    """

    start_windows: int = 2
    exit_ratio: float = 0.7
    semantic_threshold: float = 0.5
    semantic_padding_ms: int = 300
    complete_ms: int = 200
    unknown_ms: ByEagerness = ByEagerness(low=1_200, medium=700, high=450)
    incomplete_ms: ByEagerness = ByEagerness(low=4_000, medium=1_600, high=1_000)


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """A turn began; ``start_ms`` includes the padding."""

    start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The turn ended; ``end_ms`` includes the silence that showed it."""

    end_ms: int


class TurnDetector:
    """Follows one caller. Pure: times are ms of session audio, never of a clock.

    Attributes:
        settings: None while turns are manual; nothing is detected then.
        speaking: a turn is open.
        heard_ms: end of the last window.
    """

    def __init__(self, settings: ServerVad | SemanticVad | None, timing: TurnTiming | None = None) -> None:
        self.settings = settings
        self.speaking = False
        self.heard_ms = 0
        self._timing = timing or TurnTiming()
        self._floor_ms = 0
        self._run = 0
        self._voiced_ms = 0
        self._completeness: Completeness = "unknown"

    @property
    def padding_ms(self) -> int:
        """Audio kept from before speech."""
        settings = self.settings
        return settings.prefix_padding_ms if isinstance(settings, ServerVad) else self._timing.semantic_padding_ms

    @property
    def needed_from_ms(self) -> int:
        """Audio before this can no longer become part of a turn that has not begun."""
        return self.heard_ms - self.padding_ms - self._timing.start_windows * WINDOW_MS

    def reset(self, floor_ms: int) -> None:
        """Forgets an open turn; no later one reaches back before ``floor_ms``."""
        self.speaking = False
        self._run = 0
        self._floor_ms = max(self._floor_ms, floor_ms)

    def window(self, probability: float, end_ms: int) -> SpeechStarted | SpeechStopped | None:
        """Takes the speech probability of the window that ends at ``end_ms``."""
        self.heard_ms = max(self.heard_ms, end_ms)
        if self.settings is None or end_ms <= self._floor_ms:
            return None
        if self.speaking:
            if probability >= self._threshold * self._timing.exit_ratio:
                self._voiced_ms = end_ms
            return self._ended()
        self._run = self._run + 1 if probability >= self._threshold else 0
        if self._run < self._timing.start_windows:
            return None
        self.speaking = True
        self._voiced_ms = end_ms
        self._completeness = "unknown"
        return SpeechStarted(max(self._floor_ms, end_ms - self._run * WINDOW_MS - self.padding_ms))

    def hint(self, completeness: Completeness) -> SpeechStopped | None:
        """Takes what the words heard so far say. The silence may already be long enough for it."""
        if not self.speaking or not isinstance(self.settings, SemanticVad):
            return None
        self._completeness = completeness
        return self._ended()

    @property
    def _threshold(self) -> float:
        return self.settings.threshold if isinstance(self.settings, ServerVad) else self._timing.semantic_threshold

    @property
    def _hang_over_ms(self) -> int:
        if isinstance(self.settings, ServerVad):
            return self.settings.silence_duration_ms
        eagerness = self.settings.eagerness if self.settings else "auto"
        if self._completeness == "complete":
            return self._timing.complete_ms
        waits = self._timing.unknown_ms if self._completeness == "unknown" else self._timing.incomplete_ms
        return waits.of(eagerness)

    def _ended(self) -> SpeechStopped | None:
        silence_ms = self.heard_ms - self._voiced_ms
        if silence_ms <= 0 or silence_ms < self._hang_over_ms:
            return None
        self.reset(self.heard_ms)
        return SpeechStopped(self.heard_ms)
