"""The grammar: what can be said in it, and that the recogniser takes it, quickly."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import pytest
from pocketsphinx import Decoder, get_model_path
from tests.brain.dialogue.agents import ONEROOF, RECEPTION, function

from perhop.brain.grammar import Domain, Grammar, build_grammar
from perhop.brain.grammar.spoken_rules import speakable

HOMES, CLINIC = Domain(ONEROOF), Domain(RECEPTION)


@cache
def decoder() -> Any:
    model = get_model_path("en-us/en-us")
    return Decoder(
        hmm=model, dict=get_model_path("en-us/cmudict-en-us.dict"), lm=None, samprate=16_000, loglevel="FATAL"
    )


class Known:
    """The recogniser's dictionary as a container."""

    def __contains__(self, word: object) -> bool:
        return decoder().lookup_word(word) is not None


def states(domain: Domain) -> list[tuple[str, Grammar]]:
    """Every grammar a dialogue over these tools can ask for."""
    found = [("open", build_grammar(domain))]
    for tool in domain.tools.values():
        found.append((tool.name, build_grammar(domain, tool=tool)))
        for slot in tool.slots.values():
            found.append((f"{tool.name}.{slot.name}", build_grammar(domain, tool=tool, asked=slot)))
            found.append((f"{tool.name}.{slot.name} again", build_grammar(domain, tool=tool, asked=slot, again=True)))
    return found


STATES = [
    pytest.param(grammar, id=f"{agent} {name}")
    for agent, domain in (("oneroof", HOMES), ("reception", CLINIC))
    for name, grammar in states(domain)
]


def accepts(grammar: Grammar, sentence: str) -> bool:
    """Whether the compiled grammar has a path for a sentence: walks the recogniser's own automaton."""
    decoder().add_jsgf_string("test", grammar.text)
    return _walk(_automaton(decoder().get_fsg("test")), sentence.split())


def _automaton(fsg: Any) -> tuple[int, int, dict[int, list[tuple[int, str]]]]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grammar.fsg"
        fsg.writefile(str(path))
        edges: dict[int, list[tuple[int, str]]] = {}
        start = final = 0
        for line in path.read_text().splitlines():
            parts = line.split()
            match parts[:1]:
                case ["START_STATE"]:
                    start = int(parts[1])
                case ["FINAL_STATE"]:
                    final = int(parts[1])
                case ["TRANSITION"]:
                    edges.setdefault(int(parts[1]), []).append((int(parts[2]), parts[4] if len(parts) > 4 else ""))
    return start, final, edges


def _walk(automaton: tuple[int, int, dict[int, list[tuple[int, str]]]], words: list[str]) -> bool:
    start, final, edges = automaton

    def closure(states: set[int]) -> set[int]:
        todo = list(states)
        while todo:
            for target, word in edges.get(todo.pop(), ()):
                if not word and target not in states:
                    states.add(target)
                    todo.append(target)
        return states

    here = closure({start})
    for spoken in words:
        here = closure({target for state in here for target, word in edges.get(state, ()) if word == spoken})
    return final in here


@pytest.mark.parametrize("grammar", STATES)
def test_the_recogniser_knows_every_word_and_compiles_it_quickly(grammar: Grammar) -> None:
    assert grammar.missing(Known()) == frozenset()
    started = time.process_time()
    decoder().add_jsgf_string("test", grammar.text)
    decoder().activate_search("test")
    assert time.process_time() - started < 0.2, "usually 20 ms; the limit leaves room for a busy machine"


@pytest.mark.parametrize(
    "sentence",
    [
        "i'd like to see a two bedroom in oakland on friday",
        "please show me three bedroom apartments in san leandro under three thousand dollars",
        "two bedroom in berkeley next tuesday",
        "what about alameda",
        "at half past three on friday",
        "i'm looking for a home in oakland",
        "book a viewing",
        "can you book the first one on friday at two thirty p m",
        "book it at half past three tomorrow",
        "send me the details",
        "text me the details of the second one",
        "say that again please",
        "can i speak to a person",
        "start over",
        "yes please",
        "thank you",
    ],
)
def test_whole_sentences_can_be_said_at_any_time(sentence: str) -> None:
    assert accepts(build_grammar(HOMES), sentence)
    tool = HOMES.tools["book_viewing"]
    assert accepts(build_grammar(HOMES, tool=tool), sentence)
    assert accepts(build_grammar(HOMES, tool=tool, asked=tool.slots["name"]), sentence)


@pytest.mark.parametrize(
    ("asked", "again", "answer"),
    [
        ("time", False, "two thirty"),
        ("time", False, "quarter to three in the afternoon"),
        ("day", False, "friday"),
        ("day", False, "the fifth"),
        ("day", False, "on friday november twenty seventh"),
        ("name", False, "my name is jennifer garcia"),
        ("name", True, "b as in bravo r o w n"),
        ("listing_id", False, "the second one"),
    ],
)
def test_what_was_asked_for_can_be_said_bare(asked: str, again: bool, answer: str) -> None:
    tool = HOMES.tools["book_viewing"]
    assert accepts(build_grammar(HOMES, tool=tool, asked=tool.slots[asked], again=again), answer)


def test_a_phone_number_needs_its_cue_until_it_is_asked_for() -> None:
    tool = HOMES.tools["send_details"]
    number = "five one oh double five five oh one three four"
    assert not accepts(build_grammar(HOMES), number)
    assert accepts(build_grammar(HOMES), f"send me the details my number is {number}")
    assert accepts(build_grammar(HOMES, tool=tool, asked=tool.slots["phone"]), number)


def test_a_read_back_can_be_corrected_in_the_same_breath() -> None:
    grammar = build_grammar(HOMES, tool=HOMES.tools["book_viewing"])
    for sentence in ("no make it saturday", "no at four p m", "change the time", "yes"):
        assert accepts(grammar, sentence), sentence
    assert not accepts(grammar, "banana")


def test_equal_tools_and_state_give_equal_text() -> None:
    assert build_grammar(Domain(ONEROOF)).text == build_grammar(HOMES).text
    assert build_grammar(HOMES).text != build_grammar(HOMES, tool=HOMES.tools["book_viewing"]).text


def test_missing_words_are_told_unless_they_have_a_pronunciation() -> None:
    places = {"type": "string", "enum": ["Alviso", "Xyzzyqua"], "x-pronounce": {"Alviso": ["AE L V IY S OW"]}}
    grammar = build_grammar(Domain([function("go", {"place": places}, samples=["go to {place}"])]))
    assert grammar.missing({"go", "to", "place", "the"} | (grammar.words() - {"alviso", "xyzzyqua"})) == {"xyzzyqua"}
    assert grammar.pronunciations == {"alviso": ("AE L V IY S OW",)}


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("2nd Street", "second street"),
        ("SMS", "s m s"),
        ("Café 24", "cafe twenty four"),
        ("B2B", "b two b"),
        ("007", "zero zero seven"),
        ("日本", ""),
        ("what's up?", "what's up"),
    ],
)
def test_phrases_are_made_speakable(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


def test_an_identifier_with_names_of_its_own_is_said_by_name_or_pointed_at() -> None:
    doctor = {"type": "string", "enum": ["d1", "d2"], "x-values": {"d1": ["Doctor Lee"], "d2": ["Doctor Brown"]}}
    spec = function("book_visit", {"resource_id": doctor}, samples=["book a visit with {resource_id}"])
    grammar = build_grammar(Domain([spec]))
    assert accepts(grammar, "book a visit with doctor lee")
    assert accepts(grammar, "book the first one")


@pytest.mark.parametrize("said", ["do you have a studio in berkeley", "a studio in oakland please", "studio"])
def test_a_number_that_has_a_name_is_said_by_it(said: str) -> None:
    assert accepts(build_grammar(HOMES), said)
    tool = HOMES.tools["search_listings"]
    assert accepts(build_grammar(HOMES, tool=tool, asked=tool.slots["bedrooms"]), said)


@pytest.mark.parametrize("said", ["stop", "wait stop", "wait never mind", "stop talking", "wait"])
def test_an_agent_that_talks_can_be_stopped_at_any_time(said: str) -> None:
    assert accepts(build_grammar(HOMES), said)
    tool = HOMES.tools["search_listings"]
    assert accepts(build_grammar(HOMES, tool=tool, asked=tool.slots["city"]), said)
