from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perhop.brain.espeak import _pieces


@given(st.text(max_size=2000))
def test_pieces_are_short_and_hold_every_word(text: str) -> None:
    pieces = _pieces(text)
    assert all(0 < len(piece) <= 240 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_pieces_end_where_sentences_do() -> None:
    sentence = "This is one sentence of about fifty characters, no more. "
    assert _pieces(sentence) == [sentence.strip()]
    pieces = _pieces(sentence * 10)
    assert len(pieces) == 3
    assert all(piece.endswith((".", ",")) for piece in pieces)
