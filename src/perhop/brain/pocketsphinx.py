"""Speech to text without a network: pocketsphinx in engine processes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from perhop.brain.engines.pool import EnginePool, EngineStatus
from perhop.brain.engines.process import EngineCommand, Stream
from perhop.brain.engines.protocol import FrameError
from perhop.brain.providers import BrainError, Expectation, Recognition, Utterance

__all__ = ["PocketsphinxRecogniser"]

_BATCH_BYTES = 1_920
"""40 ms: a write to a pipe and a wake-up of the child for every other frame, and little left to decode at the end."""

_THRESHOLD = -4.5
"""Nats per frame of speech below which a sentence of the grammar does not explain what was heard; ``bench/brain.py``
shows what it lets through and what it turns away."""
_STEEPNESS = 1.6


class PocketsphinxRecogniser:
    """Recognises with one or more engine processes; start it before use.

    With a grammar, the words are those of its best sentence; when free phones explain the sound much better, the
    speech was about something else: the recognition has no text then and is not ``in_domain``. Without a grammar it
    writes down what it hears as well as it can, in a process of its own that is started by the first such utterance
    (0.5 s, 100 MB) and kept. English only.

    Args:
        processes: how many for grammars; an utterance stays with the one it began on.
        max_waiting: utterances open at one process.
        decoders: utterances decoded at once by one process; the others wait with their audio kept.
    """

    def __init__(self, *, processes: int = 1, max_waiting: int = 32, decoders: int = 8) -> None:
        self._grammars = EnginePool(
            EngineCommand(
                name="pocketsphinx",
                factory="perhop.brain.engines.sphinx:GrammarService",
                options={"decoders": decoders},
                max_streams=max_waiting,
            ),
            size=processes,
        )
        self._dictation = EnginePool(
            EngineCommand(
                name="pocketsphinx-dictation",
                factory="perhop.brain.engines.dictation:DictationService",
                max_streams=max_waiting,
            )
        )

    @property
    def ready(self) -> bool:
        """Whether every process for grammars can work."""
        return self._grammars.ready

    async def start(self) -> None:
        """Starts the processes for grammars; returns when they are ready.

        Raises:
            BrainError: ``engine_unavailable``.
        """
        await self._grammars.start()

    async def close(self) -> None:
        """Ends the processes."""
        await asyncio.gather(self._grammars.close(), self._dictation.close())

    def status(self) -> list[EngineStatus]:
        """The processes, for health checks."""
        return self._grammars.status() + (self._dictation.status() if self._dictation.running else [])

    def open(self, expectation: Expectation, on_partial: Callable[[str], None]) -> Utterance:
        """Starts an utterance; what keeps it from being recognised is raised by its ``finish``."""
        utterance = _Utterance(on_partial, expectation)
        pool = self._grammars
        request: dict[str, object] = {"grammar": expectation.grammar, "pronunciations": expectation.pronunciations}
        if expectation.grammar is None:
            pool = self._dictation
            pool.begin()
            request = {}
        try:
            utterance.stream = pool.open(request, utterance)
        except BrainError as error:
            utterance.on_failed(error)
        except FrameError:
            utterance.on_failed(BrainError("bad_grammar", "the grammar is too long"))
        return utterance


class _Utterance:
    """One utterance on its way through an engine; graded when it has a grammar, which may turn out not to cover it."""

    def __init__(self, on_partial: Callable[[str], None], expectation: Expectation) -> None:
        self._on_partial = on_partial
        self._graded = expectation.grammar is not None
        self._spellings = expectation.spellings
        self._batch = bytearray()
        self._result: asyncio.Future[Recognition] = asyncio.get_running_loop().create_future()
        self.stream: Stream | None = None

    # -- Utterance ----------------------------------------------------------------------------------------------------

    def feed(self, pcm: bytes) -> None:
        """Adds audio."""
        self._batch += pcm
        if len(self._batch) >= _BATCH_BYTES:
            self._flush()

    async def finish(self) -> Recognition:
        """The final words."""
        self._flush()
        if self.stream is not None:
            self.stream.end()
        try:
            return await self._result
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Throws the utterance away."""
        if self.stream is not None:
            self.stream.cancel()
            self.stream = None
        self._result.cancel()

    def _flush(self) -> None:
        if self.stream is not None:
            self.stream.send(bytes(self._batch))
        self._batch.clear()

    # -- Listener -----------------------------------------------------------------------------------------------------

    def on_data(self, _: bytes) -> None:
        """Recognisers send none."""

    def on_event(self, event: dict[str, Any]) -> None:
        self._on_partial(self._written(event["text"]))

    def on_done(self, result: dict[str, Any]) -> None:
        if not self._result.done():
            text = self._written(result["text"])
            # Without a sentence of the grammar there is no score.
            self._result.set_result(_judge(text, result.get("score", -math.inf)) if self._graded else Recognition(text))

    def _written(self, text: str) -> str:
        return " ".join(self._spellings.get(word, word) for word in text.split())

    def on_failed(self, error: BrainError) -> None:
        self.stream = None
        if not self._result.done():
            self._result.set_exception(error)
            self._result.exception()  # an utterance that is dropped without finish() is no unhandled error


def _judge(text: str, score: float) -> Recognition:
    """Takes a sentence of the grammar for what was said, or not."""
    confidence = 1 / (1 + math.exp(min(_STEEPNESS * (_THRESHOLD - score), 50.0)))
    in_domain = score >= _THRESHOLD
    return Recognition(text if in_domain else "", confidence, in_domain)
