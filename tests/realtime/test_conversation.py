"""Items in order, bounded, and what of them is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perhop.realtime.conversation import Conversation, Entry
from perhop.realtime.items import ContentPart, FunctionCallItem, FunctionCallOutputItem, MessageItem


def conversation(max_items: int = 100, max_audio: int = 1_000) -> Conversation:
    return Conversation("conv_1", max_items=max_items, max_audio=max_audio)


def heard(item_id: str, audio: bytes = b"") -> Entry:
    item = MessageItem(id=item_id, role="user", content=[ContentPart(type="input_audio", transcript=None)])
    return Entry(item=item, known=item, audio=audio)


def said(item_id: str, audio_ms: int = 1_000) -> Entry:
    item = MessageItem(
        id=item_id, role="assistant", content=[ContentPart(type="output_audio", transcript="Once upon a time")]
    )
    return Entry(item=item, known=item, audio_ms=audio_ms)


def test_items_know_what_came_before_them() -> None:
    talk = conversation()
    first, second, between = heard("a"), heard("b"), heard("c")
    talk.add(first)
    talk.add(second)
    talk.add(between, position=talk.position_after("a"))
    assert [entry.id for entry in talk] == ["a", "c", "b"]
    assert (first.previous_id, second.previous_id, between.previous_id) == (None, "a", "a")
    assert talk.position_after("nobody") is None
    assert (talk.tail_id, len(talk), "c" in talk, "z" in talk) == ("b", 3, True, False)


def test_the_model_knows_words_the_client_was_not_told() -> None:
    entry = heard("a")
    entry.understood("hello", shown=False)
    assert (entry.known.text(), entry.item.text()) == ("hello", "")
    entry.understood("hello", shown=True)
    assert entry.item.text() == "hello"


def test_words_go_to_the_first_audio_part() -> None:
    parts = [ContentPart(type="input_text", text="see"), ContentPart(type="input_audio", transcript=None)]
    item = MessageItem(id="a", role="user", content=parts)
    entry = Entry(item=item, known=item)
    entry.understood("hello", shown=False)
    assert entry.known.text() == "see hello"
    assert entry.audio_index == 1


def test_truncation_forgets_words_and_survives_the_end_of_production() -> None:
    entry = said("a")
    final = entry.item
    entry.truncate(300)
    assert (entry.audio_ms, entry.known.text(), entry.item.text()) == (300, "", "")
    entry.audio_ms = 2_000
    entry.finished(final)
    assert (entry.audio_ms, entry.known.text()) == (300, "")


def test_sizes_count_and_are_given_back() -> None:
    talk = conversation()
    call = FunctionCallItem(id="f", name="find", call_id="c", arguments="{}")
    output = FunctionCallOutputItem(id="o", call_id="c", output="12345")
    talk.add(Entry(item=call, known=call))
    talk.add(Entry(item=output, known=output))
    talk.add(said("a"))
    assert talk.size == 2 + 5 + 16
    for item_id in ("f", "o", "a"):
        talk.remove(item_id)
    assert talk.size == 0


def test_an_item_in_progress_never_falls_off() -> None:
    talk = conversation(max_items=2)
    live = said("live")
    live.in_progress = True
    talk.add(live)
    talk.add(heard("a"))
    assert talk.add(heard("b")) == ["a"]
    assert [entry.id for entry in talk] == ["live", "b"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 600)), max_size=40))
def test_items_and_audio_stay_within_their_bounds(steps: list[tuple[int, int]]) -> None:
    talk = conversation(max_items=6, max_audio=1_000)
    for name, size in steps:
        if str(name) in talk:
            talk.remove(str(name))
        else:
            talk.add(heard(str(name), bytes(size)))
        kept = [entry.audio for entry in talk]
        assert len(kept) <= 6
        assert sum(map(len, kept)) <= 1_000
