"""The brain as its settings want it: each of its parts built in, or behind a URL."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from perhop.brain.dialogue import DialogueProvider
from perhop.brain.espeak import EspeakSynthesiser
from perhop.brain.pocketsphinx import PocketsphinxRecogniser
from perhop.brain.providers import MindProvider, Recogniser, SpeechSynthesiser, VoiceDetectorProvider
from perhop.brain.vad import SileroVad
from perhop.config import BrainSettings

__all__ = ["Brain", "build"]


@dataclass(slots=True)
class Brain:
    """Everything the built-in Realtime server thinks with, shared by all calls."""

    detector: VoiceDetectorProvider
    recogniser: Recogniser
    minds: MindProvider
    voice: SpeechSynthesiser
    engines: tuple[PocketsphinxRecogniser | EspeakSynthesiser, ...]

    async def start(self) -> None:
        """Starts the engine processes."""
        await asyncio.gather(*(engine.start() for engine in self.engines))

    @property
    def ready(self) -> bool:
        """Whether every engine is up."""
        return all(engine.ready for engine in self.engines)

    async def close(self) -> None:
        """Ends the engine processes."""
        await asyncio.gather(*(engine.close() for engine in self.engines))


def build(settings: BrainSettings) -> Brain:
    """Puts a brain together."""
    recogniser = PocketsphinxRecogniser(processes=max(1, settings.stt_engines), max_waiting=settings.engine_queue)
    voice = EspeakSynthesiser(
        language=settings.language, processes=settings.tts_engines, max_waiting=settings.engine_queue
    )
    return Brain(SileroVad(), recogniser, DialogueProvider(), voice, (recogniser, voice))
