"""How what was recognised is written."""

from __future__ import annotations

from tests.brain.dialogue.agents import ONEROOF, RECEPTION, function

from perhop.brain.grammar import Domain
from perhop.brain.grammar.spelling import spellings


def test_names_are_written_as_the_tool_wrote_them() -> None:
    written = spellings(Domain(ONEROOF))
    assert written["oakland"] == "Oakland"
    assert (written["san"], written["leandro"]) == ("San", "Leandro")
    assert (written["friday"], written["march"], written["i'd"]) == ("Friday", "March", "I'd")
    assert not {"bedroom", "studio", "a", "the"} & written.keys()


def test_words_that_are_no_names_stay_lower_case() -> None:
    assert "checkup" not in spellings(Domain(RECEPTION))


def test_a_word_that_is_written_in_both_ways_is_left_alone() -> None:
    grand = {"type": "string", "x-values": ["Grand Lake", "a grand house"]}
    written = spellings(Domain([function("find", {"area": grand}, samples=["find a house by {area}"])]))
    assert written["lake"] == "Lake"
    assert not {"grand", "house"} & written.keys()
