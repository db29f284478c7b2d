"""Create, delete, retrieve, truncate."""

from __future__ import annotations

from typing import Any

import pybase64
import pytest
from tests.realtime.helpers import LOUD, QUIET, TEXT_ONLY, Session, error_of, pcm, types

from perhop.realtime.effects import OutputAudio, OutputDone, Transcribe, Transcript
from perhop.realtime.server import ServerLimits


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}], **fields}


def create(session: Session, item: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return session.send("conversation.item.create", item=item, **fields)


def order(session: Session) -> list[str | None]:
    return [item.id for item in session.server.items]


def spoken(session: Session, audio_ms: int = 1_000) -> str:
    """A finished spoken answer; returns its item's id."""
    session.send("response.create")
    session.answer("Once upon a time", audio_ms)
    item_id: str = session.last("response.output_item.done")["item"]["id"]
    return item_id


# -- create -----------------------------------------------------------------------------------------------------------


def test_items_go_where_the_client_wants_them() -> None:
    session = Session()
    frames = create(session, text("a", id="a"))
    assert frames[0]["previous_item_id"] is None
    frames = create(session, text("b", id="b"))
    assert [f["previous_item_id"] for f in frames] == ["a", "a"]
    create(session, text("front", id="front"), previous_item_id="root")
    frames = create(session, text("between", id="between"), previous_item_id="a")
    assert frames[0]["previous_item_id"] == "a"
    create(session, text("end", id="end"), previous_item_id=None)
    assert order(session) == ["front", "a", "between", "b", "end"]


def test_an_unknown_predecessor_is_refused_and_nothing_is_inserted() -> None:
    session = Session()
    error = error_of(create(session, text("x"), previous_item_id="nobody", event_id="e1"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "previous_item_id", "e1")
    assert order(session) == []


def test_an_id_is_used_once() -> None:
    session = Session()
    create(session, text("x", id="mine"))
    assert error_of(create(session, text("y", id="mine")))["param"] == "item.id"


def test_a_created_item_is_shown_without_nulls() -> None:
    session = Session()
    part = {"type": "input_text", "text": "x", "audio": None, "transcript": None}
    item = {"type": "message", "role": "user", "status": None, "id": None, "object": None, "content": [part]}
    [added, _] = create(session, item)
    assert added["item"] == {
        "type": "message",
        "id": "item_1",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "x"}],
    }


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "be kind"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "hi"}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,"}],
        },
        {"type": "function_call", "name": "f", "call_id": "c1", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
    ],
    ids=lambda item: f"{item['type']}-{item.get('role', '')}",
)
def test_every_kind_of_item_can_be_created(item: dict[str, Any]) -> None:
    session = Session()
    frames = create(session, item)
    assert types(frames) == ["conversation.item.added", "conversation.item.done"]
    assert item.items() <= frames[0]["item"].items()


def test_an_mcp_call_always_shows_its_output() -> None:
    session = Session()
    call = {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}"}
    assert create(session, call)[0]["item"]["output"] is None


def test_audio_in_an_item_is_recognised_kept_and_not_echoed() -> None:
    session = Session()
    audio = pcm(500)
    part = {"type": "input_audio", "audio": pybase64.b64encode_as_string(audio)}
    [added, _] = create(session, {"type": "message", "role": "user", "content": [part]})
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert session.effects == [Transcribe("item_1", audio)]
    session.send("response.create", response=TEXT_ONLY)
    assert session.started == []
    session.give(Transcript("item_1", "hello"))
    assert [item.text() for item in session.started[0].context] == ["hello"]
    [retrieved] = session.send("conversation.item.retrieve", item_id="item_1")
    assert retrieved["item"]["content"] == [{**part, "transcript": None}]


def test_audio_that_came_with_its_words_needs_no_recognition() -> None:
    session = Session()
    part = {"type": "input_audio", "audio": "AAAA", "transcript": "hello"}
    [added, _] = create(session, {"type": "message", "role": "user", "content": [part]})
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": "hello"}]
    assert session.effects == []


def test_audio_in_an_item_must_be_base64() -> None:
    session = Session()
    part = {"type": "input_audio", "audio": "???"}
    error = error_of(create(session, {"type": "message", "role": "user", "content": [part]}, event_id="e1"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "item.content[0].audio", "e1")
    assert order(session) == []


def test_beyond_the_most_items_the_oldest_fall_off() -> None:
    session = Session(limits=ServerLimits(max_items=3))
    for name in "abc":
        assert types(create(session, text(name, id=name))) == ["conversation.item.added", "conversation.item.done"]
    frames = create(session, text("d", id="d"))
    assert types(frames) == ["conversation.item.added", "conversation.item.deleted", "conversation.item.done"]
    assert frames[1]["item_id"] == "a"
    assert order(session) == ["b", "c", "d"]


def test_a_conversation_has_a_size_it_cannot_grow_beyond() -> None:
    session = Session(limits=ServerLimits(max_content=10))
    create(session, text("12345678", id="a"))
    assert error_of(create(session, text("901", id="b")))["param"] == "item"
    session.send("conversation.item.delete", item_id="a")
    assert types(create(session, text("901", id="b")))[0] == "conversation.item.added"


# -- delete -----------------------------------------------------------------------------------------------------------


def test_a_deleted_item_is_gone() -> None:
    session = Session()
    create(session, text("x", id="a"))
    assert session.send("conversation.item.delete", item_id="a")[0]["item_id"] == "a"
    assert order(session) == []


@pytest.mark.parametrize("verb", ["delete", "retrieve", "truncate"])
def test_an_unknown_item_has_its_own_error(verb: str) -> None:
    session = Session()
    fields = {"content_index": 0, "audio_end_ms": 0} if verb == "truncate" else {}
    error = error_of(session.send(f"conversation.item.{verb}", event_id="e1", item_id="nobody", **fields))
    assert error["code"] == f"item_{verb}_invalid_item_id"
    assert (error["param"], error["event_id"]) == ("item_id", "e1")


def test_a_response_does_not_wait_for_the_words_of_a_deleted_item() -> None:
    session = Session()
    session.hear(LOUD, 320)
    session.hear(QUIET, 256)
    assert session.started == []
    session.send("conversation.item.delete", item_id="item_1")
    assert [effect.context for effect in session.started] == [()]


def test_an_item_deleted_while_it_is_produced_leaves_the_conversation_at_once() -> None:
    session = Session()
    session.send("response.create")
    response_id = session.live
    session.answer("Once", 100, done=False)
    assert types(session.send("conversation.item.delete", item_id="item_1")) == ["conversation.item.deleted"]
    session.give(OutputAudio(response_id, pcm(100)))
    frames = session.give(OutputDone(response_id))
    assert "conversation.item.done" not in types(frames)
    assert types(frames)[-2:] == ["response.output_item.done", "response.done"]
    assert order(session) == []


# -- truncate ---------------------------------------------------------------------------------------------------------


def truncate(session: Session, item_id: str, audio_end_ms: int, content_index: int = 0) -> list[dict[str, Any]]:
    return session.send(
        "conversation.item.truncate",
        event_id="e1",
        item_id=item_id,
        content_index=content_index,
        audio_end_ms=audio_end_ms,
    )


def test_truncation_takes_the_words_out_of_the_context() -> None:
    session = Session()
    item_id = spoken(session)
    [frame] = truncate(session, item_id, 1_000)
    assert (frame["type"], frame["audio_end_ms"]) == ("conversation.item.truncated", 1_000)
    session.send("response.create")
    assert [item.text() for item in session.started[-1].context] == [""]
    assert session.started[-1].context[0].id == item_id


def test_nothing_can_be_heard_beyond_what_was_generated() -> None:
    session = Session()
    item_id = spoken(session)
    error = error_of(truncate(session, item_id, 1_001))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "audio_end_ms", "e1")
    assert [item.text() for item in session.server.items] == ["Once upon a time"]


def test_truncating_again_can_only_shorten() -> None:
    session = Session()
    item_id = spoken(session)
    truncate(session, item_id, 500)
    assert error_of(truncate(session, item_id, 501))["code"] == "invalid_value"
    assert types(truncate(session, item_id, 0)) == ["conversation.item.truncated"]


def test_truncation_of_what_cannot_be_truncated() -> None:
    session = Session()
    create(session, text("x", id="mine"))
    assert error_of(truncate(session, "mine", 0))["param"] == "item_id"
    assert error_of(truncate(session, spoken(session), 0, content_index=1))["param"] == "content_index"


def test_truncation_while_the_response_goes_on() -> None:
    session = Session()
    session.send("response.create")
    session.answer("Once", 400, done=False)
    assert error_of(truncate(session, "item_1", 401))["param"] == "audio_end_ms"
    truncate(session, "item_1", 300)
    session.answer(" upon", 400)
    assert [item.text() for item in session.server.items] == [""]
    assert session.last("response.done")["response"]["output"][0]["content"][0]["transcript"] == "Once upon"
    session.send("response.create")
    session.give(OutputDone(session.live))
    assert session.last("response.done")["response"]["usage"]["input_token_details"]["audio_tokens"] == 6


def test_the_transcript_a_client_was_told_is_in_what_it_retrieves() -> None:
    session = Session({"audio": {"input": {"transcription": {"model": "any"}}}})
    item_id = session.say("hello")
    [frame] = session.send("conversation.item.retrieve", item_id=item_id)
    assert frame["item"]["content"][0]["transcript"] == "hello"
    assert len(frame["item"]["content"][0]["audio"]) > 1_000
