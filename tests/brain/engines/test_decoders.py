from __future__ import annotations

import pytest
from tests.brain.grammars import HOMES, YES_NO
from tests.brain.speech import VOICES, say, silence

from perhop.brain.engines.decoders import DecoderPair, Lexicon
from perhop.brain.engines.worker import JobError
from perhop.media.opus import OpusDecoder, OpusEncoder

OPENING = 33_600
FRAME = 960
"""Bytes of 20 ms."""

VISITS = """#JSGF V1.0; grammar visits;
public <visit> = show me a one bedroom in (berkeley | oakland) [on <day>] [at <hour>] | book it;
<day> = monday | tuesday | wednesday | thursday | friday;
<hour> = eight | nine | ten | eleven;
"""


@pytest.fixture(scope="module")
def pair() -> DecoderPair:
    return DecoderPair(Lexicon())


def hear(pair: DecoderPair, pcm: bytes) -> tuple[str, float]:
    pair.start(pcm[:OPENING])
    for start in range(0, len(pcm), 4800):
        pair.hear(pcm[start : start + 4800])
    return pair.finish()


def by_opus(pcm: bytes) -> bytes:
    """The same as it arrives in a WebRTC call: silence is not digital silence any more."""
    encoder, decoder = OpusEncoder(24_000, application="voip", bitrate=32_000, complexity=5), OpusDecoder(24_000)
    frames = [silence(20)] * 15 + [pcm[at : at + FRAME].ljust(FRAME, b"\0") for at in range(0, len(pcm), FRAME)]
    heard = [decoder.decode(encoder.encode(frame)) for frame in frames]
    encoder.close()
    decoder.close()
    return b"".join(heard[15:])


def partials(pair: DecoderPair, pcm: bytes) -> list[str]:
    """The words so far, every 40 ms."""
    pair.start(pcm[:OPENING])
    found = []
    for start in range(0, len(pcm), 2 * FRAME):
        pair.hear(pcm[start : start + 2 * FRAME])
        found.append(pair.partial())
    pair.abandon()
    return found


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


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("words", ["in berkeley on monday", "in oakland on friday", "in berkeley on tuesday"])
def test_the_end_of_a_voice_is_no_word(pair: DecoderPair, voice: str, words: str) -> None:
    pair.load("visits", VISITS, {})
    wanted = f"show me a one bedroom {words}"
    assert partials(pair, by_opus(say(wanted, voice=voice) + silence(200)))[-1] == wanted


@pytest.mark.parametrize("wanted", ["show me a one bedroom in oakland on friday at", "book it"])
def test_a_short_word_that_somebody_stops_at_is_one(pair: DecoderPair, wanted: str) -> None:
    pair.load("visits", VISITS, {})
    heard = [
        partials(pair, by_opus(say(wanted, voice=voice, wpm=wpm) + silence(200)))[-1]
        for voice in VOICES
        for wpm in (165, 210)
    ]
    # The synthesiser is never quite the same twice, and at 210 words a minute "it" is hardly there in some voices.
    assert heard.count(wanted) >= len(heard) - 3, heard


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("nth", ["first", "second", "third", "fifth"])
def test_ordinals_are_told_apart(pair: DecoderPair, voice: str, nth: str) -> None:
    pair.load(
        "ordinals", "#JSGF V1.0; grammar x; public <x> = book the (first|second|third|fourth|fifth|last) one;", {}
    )
    assert hear(pair, by_opus(say(f"book the {nth} one", voice=voice)))[0] == f"book the {nth} one"
