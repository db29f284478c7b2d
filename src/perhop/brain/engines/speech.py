"""The speaking engine: a sentence in, its PCM at 24 kHz out, in pieces as they are made."""

from __future__ import annotations

from typing import Any

from perhop.brain.engines.espeak import Espeak, EspeakError, load_espeak
from perhop.brain.engines.worker import Job, JobError, Output
from perhop.media.resample import Resampler

__all__ = ["SpeechService"]

_CALL_RATE = 24_000
_FLUSH_MS = 20
"""Silence pushed behind a sentence so that the resampler gives back its last samples."""


class SpeechService:
    """One sentence after the other: the library can do only one, and a sentence takes a few ms.

    A request is ``{"text", "voice", "wpm", "pitch", "intonation"}``, see :meth:`Espeak.speak`; it takes no input.
    """

    def __init__(self, warm: tuple[str, ...] = ()) -> None:
        """Loads the library and speaks a word in each voice of ``warm``, so that the first caller does not wait."""
        self._espeak = load_espeak()
        for voice in warm:
            self._espeak.set_voice(voice)
            self._espeak.speak("ready", lambda _: True, wpm=165, pitch=50, intonation=50)

    def open(self, request: dict[str, Any], output: Output) -> Job:
        """Starts a sentence."""
        return _Sentence(self._espeak, request, output)


class _Sentence:
    def __init__(self, espeak: Espeak, request: dict[str, Any], output: Output) -> None:
        self._espeak = espeak
        self._request = request
        self._output = output
        self._resampler = Resampler(espeak.rate, _CALL_RATE)

    def feed(self, data: bytes) -> None:
        """A sentence takes no input."""

    def end(self) -> None:
        """Nor an end of it."""

    def step(self) -> bool:
        """Speaks the whole sentence, unless it is cancelled meanwhile."""
        request = self._request
        try:
            self._espeak.set_voice(request["voice"])
            self._espeak.speak(
                request["text"],
                self._heard,
                wpm=request["wpm"],
                pitch=request["pitch"],
                intonation=request["intonation"],
            )
        except EspeakError as error:
            raise JobError("speech_failed", str(error)) from error
        self._heard(bytes(2 * self._espeak.rate * _FLUSH_MS // 1000))
        self._output.done({})
        return False

    def close(self) -> None:
        """Holds nothing."""

    def _heard(self, samples: bytes) -> bool:
        if self._output.cancelled():
            return False
        pcm = self._resampler.push(samples)
        if pcm:
            self._output.data(pcm)
        return True
