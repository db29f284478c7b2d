from __future__ import annotations

import asyncio
import os
import signal
from itertools import pairwise

import pytest
from tests.brain.engines.listening import until
from tests.brain.grammars import HOMES, YES_NO
from tests.brain.speech import VOICES, say, silence

from perhop.brain.espeak import EspeakSynthesiser
from perhop.brain.pocketsphinx import PocketsphinxRecogniser
from perhop.brain.providers import BrainError, Expectation, Recognition

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUEST = "i'd like to see a two bedroom in oakland on friday"
IN_HOMES = Expectation(grammar=HOMES)


async def recognise(
    recogniser: PocketsphinxRecogniser,
    pcm: bytes,
    expectation: Expectation = IN_HOMES,
    partials: list[str] | None = None,
) -> Recognition:
    heard = partials if partials is not None else []
    utterance = recogniser.open(expectation, heard.append)
    for start in range(0, len(pcm), 960):
        utterance.feed(pcm[start : start + 960])
    return await utterance.finish()


@pytest.mark.parametrize(("voice", "wpm"), list(zip(VOICES, (140, 175, 150, 190, 165), strict=True)))
async def test_a_request_is_understood_from_many_voices(
    recogniser: PocketsphinxRecogniser, voice: str, wpm: int
) -> None:
    recognition = await recognise(recogniser, say(REQUEST, voice=voice, wpm=wpm))
    assert recognition.text == REQUEST
    assert recognition.in_domain
    assert recognition.confidence > 0.6


async def test_names_are_written_as_they_were_declared(recogniser: PocketsphinxRecogniser) -> None:
    spellings = {"oakland": "Oakland", "friday": "Friday", "i'd": "I'd"}
    partials: list[str] = []
    heard = await recognise(recogniser, say(REQUEST), Expectation(grammar=HOMES, spellings=spellings), partials)
    assert heard.text == "I'd like to see a two bedroom in Oakland on Friday"
    assert any("Oakland" in partial for partial in partials)
    assert not any("oakland" in partial for partial in partials)


@pytest.mark.parametrize(
    "words", ["yes", "no", "cancel", "yes please", "start over", "book a viewing on monday at ten"]
)
async def test_short_answers_are_understood(recogniser: PocketsphinxRecogniser, words: str) -> None:
    assert (await recognise(recogniser, say(words))).text == words


@pytest.mark.parametrize(
    "words",
    [
        "tell me a joke about a chicken crossing the road",
        "what is the weather like in paris this week",
        "the quick brown fox jumps over the lazy dog",
        "please remind me to call my mother after dinner",
    ],
)
@pytest.mark.parametrize("voice", VOICES[1:3])
async def test_what_no_grammar_covers_is_out_of_domain_and_has_no_words(
    recogniser: PocketsphinxRecogniser, words: str, voice: str
) -> None:
    recognition = await recognise(recogniser, say(words, voice=voice))
    assert (recognition.text, recognition.in_domain) == ("", False)
    assert recognition.confidence < 0.5


async def test_partial_hypotheses_grow_while_the_caller_speaks(recogniser: PocketsphinxRecogniser) -> None:
    partials: list[str] = []
    await recognise(recogniser, say(REQUEST), partials=partials)
    assert partials[-1] == REQUEST
    assert len(partials) >= 6
    assert all(one != two for one, two in pairwise(partials))


async def test_partials_come_before_the_utterance_is_finished(recogniser: PocketsphinxRecogniser) -> None:
    complete = asyncio.Event()
    utterance = recogniser.open(IN_HOMES, lambda text: complete.set() if text == REQUEST else None)
    utterance.feed(say(REQUEST))
    async with asyncio.timeout(10):
        await complete.wait()
    assert (await utterance.finish()).text == REQUEST


async def test_the_last_word_counts_even_when_the_audio_ends_with_it(recogniser: PocketsphinxRecogniser) -> None:
    speech = say("show me a two bedroom in berkeley")
    recognition = await recognise(recogniser, speech[: len(speech) - len(silence(190))])
    assert recognition.text == "show me a two bedroom in berkeley"


async def test_a_spoken_reply_of_our_own_voice_is_understood(
    recogniser: PocketsphinxRecogniser, synthesiser: EspeakSynthesiser
) -> None:
    spoken = [pcm async for pcm in synthesiser.speak("Book a viewing on Friday at ten.", voice="coral", speed=1.0)]
    recognition = await recognise(recogniser, silence(300) + b"".join(spoken))
    assert recognition.text == "book a viewing on friday at ten"


async def test_an_author_s_pronunciation_is_used(recogniser: PocketsphinxRecogniser) -> None:
    grammar = "#JSGF V1.0; grammar x; public <x> = show me (xq | oakland | berkeley);"
    expectation = Expectation(grammar=grammar, pronunciations={"xq": ("Z IY N IH TH",)})
    assert (await recognise(recogniser, say("show me zenith"), expectation)).text == "show me xq"


async def test_utterances_of_many_calls_at_once_stay_apart(recogniser: PocketsphinxRecogniser) -> None:
    said = [
        "yes please",
        "cancel",
        "show me a three bedroom in oakland",
        "no thanks",
        "start over",
        "text me the details",
    ]
    found = await asyncio.gather(*(recognise(recogniser, say(words)) for words in said))
    assert [recognition.text for recognition in found] == said
    assert all(status.streams == 0 for status in recogniser.status())


async def test_one_utterance_too_many_is_refused_and_the_others_go_on(recogniser: PocketsphinxRecogniser) -> None:
    utterances = [recogniser.open(IN_HOMES, lambda _: None) for _ in range(17)]
    for utterance in utterances:
        utterance.feed(say("yes"))
    with pytest.raises(BrainError) as raised:
        await utterances[-1].finish()
    assert raised.value.code == "engine_overloaded"
    for utterance in utterances[1:-1]:
        utterance.cancel()
    assert (await utterances[0].finish()).text == "yes"


async def test_a_cancelled_utterance_is_forgotten(recogniser: PocketsphinxRecogniser) -> None:
    partials: list[str] = []
    utterance = recogniser.open(IN_HOMES, partials.append)
    utterance.feed(say(REQUEST))
    utterance.cancel()
    utterance.cancel()
    utterance.feed(say(REQUEST))
    assert (await recognise(recogniser, say("yes"))).text == "yes"
    assert partials == []
    assert all(status.streams == 0 for status in recogniser.status())


async def test_a_finish_that_is_cancelled_leaves_nothing_behind(recogniser: PocketsphinxRecogniser) -> None:
    utterance = recogniser.open(IN_HOMES, lambda _: None)
    utterance.feed(say(REQUEST))
    finishing = asyncio.create_task(utterance.finish())
    await asyncio.sleep(0)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert all(status.streams == 0 for status in recogniser.status())


@pytest.mark.parametrize("pcm", [b"", silence(20), silence(3000)])
async def test_no_speech_is_no_words(recogniser: PocketsphinxRecogniser, pcm: bytes) -> None:
    assert (await recognise(recogniser, pcm)).text == ""


@pytest.mark.parametrize("grammar", ["", "hello (", "#JSGF V1.0; grammar x; public <x> = \x01;", "x" * (2 << 20)])
async def test_a_bad_grammar_is_an_error_of_its_utterance_only(
    recogniser: PocketsphinxRecogniser, grammar: str
) -> None:
    with pytest.raises(BrainError) as raised:
        await recognise(recogniser, say("yes"), Expectation(grammar=grammar))
    assert raised.value.code == "bad_grammar"
    assert (await recognise(recogniser, say("no"), Expectation(grammar=YES_NO))).text == "no"


async def test_a_killed_engine_is_an_error_for_its_utterances_and_for_no_other() -> None:
    recogniser = PocketsphinxRecogniser(processes=2)
    await recogniser.start()
    try:
        before = recogniser.status()
        pid = before[0].pid
        assert pid is not None
        lost, fine = (recogniser.open(IN_HOMES, lambda _: None) for _ in range(2))
        speech = say(REQUEST)
        for utterance in (lost, fine):
            utterance.feed(speech[:72_000])
        os.kill(pid, signal.SIGKILL)
        for utterance in (lost, fine):
            utterance.feed(speech[72_000:])
        results = await asyncio.gather(lost.finish(), fine.finish(), return_exceptions=True)
        assert isinstance(results[0], BrainError)
        assert results[0].code == "engine_lost"
        assert isinstance(results[1], Recognition)
        assert results[1].text == REQUEST
        await until(lambda: recogniser.ready)
        after = recogniser.status()
        assert (after[0].restarts, after[1].restarts) == (1, 0)
        assert after[1].pid == before[1].pid
        found = await asyncio.gather(*(recognise(recogniser, say("yes")) for _ in range(2)))
        assert [recognition.text for recognition in found] == ["yes", "yes"]
    finally:
        await recogniser.close()


async def test_without_a_grammar_it_writes_down_english_in_a_process_of_its_own() -> None:
    recogniser = PocketsphinxRecogniser()
    await recogniser.start()
    try:
        partials: list[str] = []
        recognition = await recognise(recogniser, say("this is what i want to say"), Expectation(), partials)
        words = {"this", "is", "what", "i", "want", "to", "say"}
        assert len(words & set(recognition.text.split())) >= 4
        assert recognition.in_domain
        assert partials
        assert [status.name for status in recogniser.status()] == ["pocketsphinx", "pocketsphinx-dictation"]
    finally:
        await recogniser.close()
