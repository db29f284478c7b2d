"""The recognising engine for what a grammar expects."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from perhop.brain.engines.decoders import DecoderPair, Lexicon
from perhop.brain.engines.hearing import Ear, Hearing
from perhop.brain.engines.lending import Pool
from perhop.brain.engines.worker import Job, JobError, Output

__all__ = ["GrammarService"]


class GrammarService:
    """Recognises utterances by JSGF, several at once.

    A request is ``{"grammar": JSGF, "pronunciations": {word: [phones, …]}}``, its input PCM at 24 kHz. Progress is
    ``{"text"}``, the result ``{"text", "score"}``; see :meth:`DecoderPair.finish`.

    Args:
        decoders: pairs of decoders at most, 16 MB each; an utterance beyond them waits for one with its audio kept.
    """

    def __init__(self, decoders: int = 8) -> None:
        lexicon = Lexicon()
        self._pool = Pool(lambda: DecoderPair(lexicon), limit=decoders)

    def open(self, request: dict[str, Any], output: Output) -> Job:
        """Starts an utterance."""
        grammar = request.get("grammar")
        if not isinstance(grammar, str):
            raise JobError("bad_grammar", "this engine needs a grammar")
        pronunciations = {word: tuple(phones) for word, phones in request.get("pronunciations", {}).items()}
        key = hashlib.sha256(json.dumps([grammar, pronunciations], sort_keys=True).encode()).hexdigest()

        def acquire() -> Ear | None:
            pair = self._pool.take(output, prefer=lambda pair: pair.has(key))
            if pair is None:
                return None
            try:
                pair.load(key, grammar, pronunciations)
            except JobError:
                self._pool.give_back(pair, worn=pair.worn)
                raise
            return _GrammarEar(self._pool, pair)

        return Hearing(output, acquire)


class _GrammarEar:
    """A pair of decoders lent to one utterance."""

    def __init__(self, pool: Pool[DecoderPair], pair: DecoderPair) -> None:
        self._pool = pool
        self._pair = pair
        self._listening = False

    def start(self, opening: bytes) -> None:
        self._pair.start(opening)
        self._listening = True

    def hear(self, pcm: bytes) -> None:
        self._pair.hear(pcm)

    def partial(self) -> str:
        return self._pair.partial()

    def finish(self) -> dict[str, object]:
        self._listening = False
        text, score = self._pair.finish()
        return {"text": text, "score": score} if text else {"text": ""}

    def release(self) -> None:
        if self._listening:
            self._pair.abandon()
        self._pool.give_back(self._pair, worn=self._pair.worn)
