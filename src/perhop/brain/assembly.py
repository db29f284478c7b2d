"""The brain as its settings want it: each of its parts built in, or behind a URL."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

import httpx
from pydantic import HttpUrl, SecretStr

from perhop.brain.dialogue import DialogueProvider
from perhop.brain.engines.pool import EngineStatus
from perhop.brain.espeak import EspeakSynthesiser
from perhop.brain.http import HttpEndpoint, HttpMindProvider, HttpRecogniser, HttpSynthesiser, open_client
from perhop.brain.pocketsphinx import PocketsphinxRecogniser
from perhop.brain.providers import MindProvider, Recogniser, SpeechSynthesiser
from perhop.brain.vad import SileroVad
from perhop.config import BrainSettings

__all__ = ["Brain", "build"]


@dataclass(slots=True)
class Brain:
    """Everything the built-in Realtime server thinks with, shared by all calls.

    Attributes:
        engines: those of its parts that run in processes of their own.
        client: what its parts behind URLs share.
    """

    detector: SileroVad
    recogniser: Recogniser
    minds: MindProvider
    voice: SpeechSynthesiser
    engines: tuple[PocketsphinxRecogniser | EspeakSynthesiser, ...] = ()
    client: httpx.AsyncClient | None = None
    _detector_loaded: bool = field(default=False, init=False)

    async def start(self) -> None:
        """Loads and starts everything at once; returns when all of it can work.

        Raises:
            BrainError: ``engine_unavailable``; call ``close`` then.
        """
        await asyncio.gather(asyncio.to_thread(self.detector.load), *(engine.start() for engine in self.engines))
        self._detector_loaded = True

    @property
    def ready(self) -> bool:
        """Whether every engine can work now; False for a moment after one died."""
        return self._detector_loaded and all(engine.ready for engine in self.engines)

    def status(self) -> list[EngineStatus]:
        """Every engine process, for health checks and metrics."""
        return [status for engine in self.engines for status in engine.status()]

    async def close(self) -> None:
        """Ends the engine processes and connections."""
        await asyncio.gather(*(engine.close() for engine in self.engines))
        if self.client is not None:
            await self.client.aclose()


def build(settings: BrainSettings) -> Brain:
    """Puts a brain together; nothing runs until ``start``."""
    client: httpx.AsyncClient | None = None
    if settings.stt_url or settings.llm_url or settings.tts_url:
        client = open_client(timeout_s=settings.http_timeout_s)
    engines: list[PocketsphinxRecogniser | EspeakSynthesiser] = []

    def endpoint(url: HttpUrl, key: SecretStr | None) -> HttpEndpoint:
        assert client is not None
        return HttpEndpoint(client, str(url), key=key, max_requests=settings.engine_queue)

    recogniser: Recogniser
    if settings.stt_url is not None:
        recogniser = HttpRecogniser(endpoint(settings.stt_url, settings.stt_key), model=settings.stt_model)
    else:
        processes = settings.stt_engines or max(1, (os.cpu_count() or 1) // 2)
        recogniser = PocketsphinxRecogniser(processes=processes, max_waiting=settings.engine_queue)
        engines.append(recogniser)
    minds: MindProvider = DialogueProvider()
    if settings.llm_url is not None:
        served = endpoint(settings.llm_url, settings.llm_key)
        minds = HttpMindProvider(served, model=settings.llm_model, language=settings.language)
    voice: SpeechSynthesiser
    if settings.tts_url is not None:
        voice = HttpSynthesiser(endpoint(settings.tts_url, settings.tts_key), model=settings.tts_model)
    else:
        voice = EspeakSynthesiser(
            language=settings.language, processes=settings.tts_engines, max_waiting=settings.engine_queue
        )
        engines.append(voice)
    return Brain(SileroVad(), recogniser, minds, voice, tuple(engines), client)
