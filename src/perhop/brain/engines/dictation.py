"""The recognising engine for free speech."""

from __future__ import annotations

from typing import Any

from pocketsphinx import Decoder

from perhop.brain.engines.decoders import FEATURES, begin_utterance, estimate_mean
from perhop.brain.engines.hearing import Ear, Hearing
from perhop.brain.engines.lending import Pool
from perhop.brain.engines.worker import Job, Output

__all__ = ["DictationService"]

_SEARCH = {"fwdflat": False}
"""One pass: the second one makes the caller wait 100 ms after the last word for 1 % fewer errors."""


class DictationService:
    """Recognises English at large by the bundled trigram model; one word in five is wrong.

    A request is ``{}``, the input PCM at 24 kHz. Progress and result are ``{"text"}``.

    Args:
        decoders: at most, 90 MB each; an utterance beyond them waits for one with its audio kept.
    """

    def __init__(self, decoders: int = 2) -> None:
        self._pool = Pool(lambda: Decoder(**FEATURES, **_SEARCH), limit=decoders)

    def open(self, _: dict[str, Any], output: Output) -> Job:
        """Starts an utterance."""

        def acquire() -> Ear | None:
            decoder = self._pool.take(output)
            return _FreeEar(self._pool, decoder) if decoder is not None else None

        return Hearing(output, acquire)


class _FreeEar:
    """A decoder lent to one utterance."""

    def __init__(self, pool: Pool[Decoder], decoder: Decoder) -> None:
        self._pool = pool
        self._decoder = decoder
        self._listening = False

    def start(self, opening: bytes) -> None:
        begin_utterance(self._decoder, estimate_mean(self._decoder, opening))
        self._listening = True

    def hear(self, pcm: bytes) -> None:
        self._decoder.process_raw(pcm)

    def partial(self) -> str:
        best = self._decoder.hyp()
        return best.hypstr if best is not None else ""

    def finish(self) -> dict[str, object]:
        self._listening = False
        self._decoder.end_utt()
        return {"text": self.partial()}

    def release(self) -> None:
        if self._listening:
            self._decoder.end_utt()
        self._pool.give_back(self._decoder)
