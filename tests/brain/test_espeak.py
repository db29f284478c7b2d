from __future__ import annotations

import asyncio
import os
import signal
from contextlib import aclosing

import numpy as np
import pytest
from tests.brain.engines.listening import until

from perhop.brain.espeak import VOICES, EspeakSynthesiser
from perhop.brain.providers import BrainError

pytestmark = pytest.mark.asyncio(loop_scope="session")

SENTENCE = "I found two apartments in Oakland."


async def spoken(synthesiser: EspeakSynthesiser, text: str, *, voice: str = "marin", speed: float = 1.0) -> bytes:
    return b"".join([pcm async for pcm in synthesiser.speak(text, voice=voice, speed=speed)])


def seconds(pcm: bytes) -> float:
    return len(pcm) / 48_000


async def test_a_sentence_becomes_24_khz_pcm_in_whole_samples(synthesiser: EspeakSynthesiser) -> None:
    pieces = [pcm async for pcm in synthesiser.speak(SENTENCE, voice="marin", speed=1.0)]
    assert len(pieces) > 10
    assert all(len(piece) % 2 == 0 for piece in pieces)
    pcm = b"".join(pieces)
    assert 1.5 < seconds(pcm) < 3.5
    assert np.abs(np.frombuffer(pcm, "<i2").astype(int)).max() > 5000


async def test_the_first_piece_comes_long_before_the_last(synthesiser: EspeakSynthesiser) -> None:
    async with aclosing(synthesiser.speak(SENTENCE * 6, voice="marin", speed=1.0)) as pieces:
        first = await anext(pieces)
    assert seconds(first) < 0.1


@pytest.mark.parametrize("voice", VOICES)
async def test_every_voice_speaks(synthesiser: EspeakSynthesiser, voice: str) -> None:
    assert 1.5 < seconds(await spoken(synthesiser, SENTENCE, voice=voice)) < 3.5


async def test_no_two_voices_are_alike(synthesiser: EspeakSynthesiser) -> None:
    spectra = {}
    for voice in VOICES:
        samples = np.frombuffer(await spoken(synthesiser, SENTENCE, voice=voice), "<i2").astype(float)
        frames = samples[: len(samples) // 1024 * 1024].reshape(-1, 1024)
        bands = np.log(np.abs(np.fft.rfft(frames * np.hanning(1024))).mean(axis=0)[1:256] + 1)
        spectra[voice] = bands - bands.mean()
    distances = {
        (one, two): float(np.sqrt(np.mean((spectra[one] - spectra[two]) ** 2)))
        for one in VOICES
        for two in VOICES
        if one < two
    }
    assert min(distances.values()) > 0.1, min(distances, key=distances.__getitem__)


async def test_speed_changes_the_length(synthesiser: EspeakSynthesiser) -> None:
    slow, normal, fast = [seconds(await spoken(synthesiser, SENTENCE, speed=speed)) for speed in (0.5, 1.0, 1.5)]
    assert slow > 1.6 * normal
    assert normal > 1.25 * fast
    slowest = seconds(await spoken(synthesiser, SENTENCE, speed=0.25))
    assert slowest == pytest.approx(slow, rel=0.05)


async def test_an_unknown_voice_speaks_like_the_default(synthesiser: EspeakSynthesiser) -> None:
    assert seconds(await spoken(synthesiser, SENTENCE, voice="nobody")) == pytest.approx(
        seconds(await spoken(synthesiser, SENTENCE)), rel=0.02
    )


@pytest.mark.parametrize("text", ["", "   ", "\n"])
async def test_nothing_to_say_is_no_audio(synthesiser: EspeakSynthesiser, text: str) -> None:
    assert await spoken(synthesiser, text) == b""


@pytest.mark.parametrize("text", ["<speak>hello</speak>", "[[h@loU]]", "a\0b", "😀", "—", "שלום", "x" * 3000, "&amp;"])
async def test_odd_text_is_spoken_and_harms_nothing(synthesiser: EspeakSynthesiser, text: str) -> None:
    await spoken(synthesiser, text)
    assert seconds(await spoken(synthesiser, "fine")) > 0.2
    assert synthesiser.status()[0].restarts == 0


async def test_a_long_text_is_complete_and_does_not_keep_others_waiting(synthesiser: EspeakSynthesiser) -> None:
    sentence = "The kitchen is new, and the garden faces south. "
    one = seconds(await spoken(synthesiser, sentence))
    long = asyncio.create_task(spoken(synthesiser, sentence * 30))
    await asyncio.sleep(0)
    await spoken(synthesiser, "Hello.")
    assert not long.done()
    assert seconds(await long) == pytest.approx(30 * one, rel=0.15)


async def test_a_closed_generator_cancels_and_makes_room(synthesiser: EspeakSynthesiser) -> None:
    for _ in range(10):
        pieces = synthesiser.speak(SENTENCE * 4, voice="marin", speed=1.0)
        await anext(pieces)
        await pieces.aclose()
        assert synthesiser.status()[0].streams == 0
    assert seconds(await spoken(synthesiser, "And on it goes.")) > 0.5


async def test_one_sentence_too_many_is_refused(synthesiser: EspeakSynthesiser) -> None:
    results = await asyncio.gather(*(spoken(synthesiser, SENTENCE) for _ in range(6)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, BrainError)]
    assert [error.code for error in refused] == ["engine_overloaded"] * 2
    assert sum(isinstance(result, bytes) for result in results) == 4


async def test_a_text_without_end_is_refused(synthesiser: EspeakSynthesiser) -> None:
    with pytest.raises(BrainError) as raised:
        await spoken(synthesiser, "word " * 5000)
    assert raised.value.code == "text_too_long"


async def test_a_language_nobody_speaks_is_an_error_when_it_starts() -> None:
    synthesiser = EspeakSynthesiser(language="xx-nowhere")
    with pytest.raises(BrainError) as raised:
        await synthesiser.start()
    assert raised.value.code == "engine_unavailable"


async def test_a_killed_engine_is_an_error_for_its_sentence_and_back_for_the_next() -> None:
    synthesiser = EspeakSynthesiser()
    await synthesiser.start()
    try:
        pid = synthesiser.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        waiting = asyncio.create_task(spoken(synthesiser, SENTENCE))
        await until(lambda: synthesiser.status()[0].streams == 1)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrainError) as raised:
            await waiting
        assert raised.value.code == "engine_lost"
        await until(lambda: synthesiser.ready)
        assert seconds(await spoken(synthesiser, SENTENCE)) > 1
    finally:
        await synthesiser.close()
