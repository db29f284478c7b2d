"""Real engines, started once for all tests of the brain."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from perhop.brain.espeak import EspeakSynthesiser
from perhop.brain.pocketsphinx import PocketsphinxRecogniser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def recogniser() -> AsyncIterator[PocketsphinxRecogniser]:
    recogniser = PocketsphinxRecogniser(processes=2, max_waiting=8, decoders=2)
    await recogniser.start()
    yield recogniser
    await recogniser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def synthesiser() -> AsyncIterator[EspeakSynthesiser]:
    synthesiser = EspeakSynthesiser(max_waiting=4)
    await synthesiser.start()
    yield synthesiser
    await synthesiser.close()
