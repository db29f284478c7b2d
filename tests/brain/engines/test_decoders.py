from __future__ import annotations

import pytest
from tests.brain.grammars import HOMES, YES_NO
from tests.brain.speech import say, silence

from perhop.brain.engines.decoders import DecoderPair, Lexicon
from perhop.brain.engines.worker import JobError

OPENING = 33_600


@pytest.fixture(scope="module")
def pair() -> DecoderPair:
    return DecoderPair(Lexicon())


def hear(pair: DecoderPair, pcm: bytes) -> tuple[str, float]:
    pair.start(pcm[:OPENING])
    for start in range(0, len(pcm), 4800):
        pair.hear(pcm[start : start + 4800])
    return pair.finish()


def test_what_was_heard_before_changes_nothing(pair: DecoderPair) -> None:
    pair.load("homes", HOMES, {})
    wanted = say("show me a two bedroom in fremont")
    first = hear(pair, wanted)
    hear(pair, say("yes", voice="en-us+m6"))
    hear(pair, silence(1000))
    assert hear(pair, wanted) == first
    assert first[0] == "show me a two bedroom in fremont"


def test_the_grammar_decides_what_can_be_heard(pair: DecoderPair) -> None:
    pair.load("answers", YES_NO, {})
    assert hear(pair, say("maybe later"))[0] == "maybe later"
    pair.load("homes", HOMES, {})
    assert hear(pair, say("book a viewing on friday at ten"))[0] == "book a viewing on friday at ten"


def test_words_of_no_dictionary_are_heard_by_given_and_by_guessed_sounds(pair: DecoderPair) -> None:
    grammar = "#JSGF V1.0; grammar x; public <x> = go to (temescal | xq | rockridge);"
    pair.load("places", grammar, {"xq": ("Z IY N IH TH",)})
    assert hear(pair, say("go to zenith"))[0] == "go to xq"
    assert hear(pair, say("go to temescal"))[0] == "go to temescal"


def test_comments_weights_and_tags_are_not_words(pair: DecoderPair) -> None:
    grammar = """#JSGF V1.0 UTF-8 en;
    grammar perhop.test; // a qqword
    /* another qqword
    over two lines */
    public <x> = /10.0/ yes {tag} | /1/ <no_2>; <no_2> = no <NULL>;
    """
    pair.load("noisy", grammar, {})
    assert hear(pair, say("yes"))[0] == "yes"


@pytest.mark.parametrize(
    "grammar", ["", "nonsense", "#JSGF V1.0; grammar x; public <a> = hello (;", "#JSGF V1.0; grammar x; <a> = hello;"]
)
def test_a_grammar_that_is_none_is_refused_and_the_decoder_goes_on(pair: DecoderPair, grammar: str) -> None:
    with pytest.raises(JobError) as raised:
        pair.load("broken", grammar, {})
    assert raised.value.code == "bad_grammar"
    pair.load("answers", YES_NO, {})
    assert hear(pair, say("no"))[0] == "no"


def test_phones_the_model_does_not_have_are_refused(pair: DecoderPair) -> None:
    with pytest.raises(JobError, match="not phones"):
        pair.load("phones", "#JSGF V1.0; grammar x; public <a> = xyzzy;", {"xyzzy": ("Q Q",)})


def test_old_grammars_make_room_for_new_ones(pair: DecoderPair) -> None:
    for number in range(6):
        pair.load(f"n{number}", YES_NO, {})
    assert [pair.has(f"n{number}") for number in range(6)] == [False, False, True, True, True, True]


def test_silence_gives_no_words(pair: DecoderPair) -> None:
    pair.load("answers", YES_NO, {})
    text, score = hear(pair, silence(800))
    assert text == "" or score < -4.5
