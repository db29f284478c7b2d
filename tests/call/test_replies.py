"""Whose event an error answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perhop.call.replies import MAX_OPEN, Replies
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ErrorEvent,
    InputAudioBufferCommit,
    ResponseCreate,
    ServerEvent,
    UnknownClientEvent,
)


def to_one(_: ServerEvent) -> None: ...


def to_another(_: ServerEvent) -> None: ...


def error(event_id: str | None) -> ErrorEvent:
    return ProtocolError("invalid_value", "No.", event_id=event_id).to_event("event_e")


def test_an_answer_finds_its_sender_and_the_senders_own_id() -> None:
    replies = Replies()
    signed = replies.sign(ResponseCreate(event_id="mine"), to_one)
    assert signed.event_id not in (None, "mine")
    found = replies.answer(error(signed.event_id))
    assert found == (to_one, error("mine"))


def test_an_event_is_answered_once() -> None:
    replies = Replies()
    signed = replies.sign(ResponseCreate(), to_one)
    assert replies.answer(error(signed.event_id)) == (to_one, error(None))
    assert replies.answer(error(signed.event_id)) is None


def test_an_error_about_nothing_answers_nobody() -> None:
    replies = Replies()
    replies.sign(ResponseCreate(event_id="mine"), to_one)
    assert replies.answer(error(None)) is None
    assert replies.answer(error("mine")) is None, "ids of clients are not ids of the call"


def test_an_event_of_perhop_has_nobody_to_answer_to() -> None:
    replies = Replies()
    signed = replies.sign(ResponseCreate(), None)
    found = replies.answer(error(signed.event_id))
    assert found is not None
    assert found[0] is None


def test_nothing_but_the_id_changes() -> None:
    replies = Replies()
    signed = replies.sign(InputAudioBufferCommit(event_id="mine"), to_one)
    assert signed == InputAudioBufferCommit(event_id=signed.event_id)
    unknown = UnknownClientEvent.of({"type": "new.thing", "event_id": "mine", "field": [1, 2]})
    assert replies.sign(unknown, to_one).to_dict()["field"] == [1, 2]


@given(st.lists(st.tuples(st.sampled_from([to_one, to_another]), st.sampled_from(["a", "b", None])), max_size=30))
def test_senders_are_never_mixed_up(sent: list[tuple[object, str | None]]) -> None:
    replies = Replies()
    signed = [replies.sign(ResponseCreate(event_id=event_id), reply).event_id for reply, event_id in sent]  # type: ignore[arg-type]
    for (reply, event_id), signed_id in reversed(list(zip(sent, signed, strict=True))):
        assert replies.answer(error(signed_id)) == (reply, error(event_id))


def test_what_is_remembered_is_bounded() -> None:
    replies = Replies()
    first = replies.sign(ResponseCreate(), to_one)
    second = replies.sign(ResponseCreate(), to_one)
    for _ in range(MAX_OPEN - 1):
        replies.sign(ResponseCreate(), to_one)
    assert replies.answer(error(first.event_id)) is None
    assert replies.answer(error(second.event_id)) is not None
