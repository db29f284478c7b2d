"""Items with their audio, on request; and images, which not every model can see."""

from __future__ import annotations

from typing import Any

import pybase64
import pytest
from tests.realtime.helpers import MANUAL, Session, error_of, pcm

from perhop.realtime.effects import OutputAudio, OutputDone, OutputText, Transcribe
from perhop.realtime.server import ServerLimits


def audio_of(session: Session, item_id: str) -> bytes | None:
    """The audio of an item as a client gets it; None when it is not kept."""
    [frame] = session.send("conversation.item.retrieve", item_id=item_id)
    [part] = frame["item"]["content"]
    return pybase64.b64decode(part["audio"]) if "audio" in part else None


def say(session: Session, *pieces: bytes, done: bool = True) -> str:
    """One spoken answer; returns its item."""
    session.send("response.create")
    response_id = session.live
    session.give(OutputText(response_id, "Once upon a time"))
    for piece in pieces:
        session.give(OutputAudio(response_id, piece))
    if done:
        session.give(OutputDone(response_id))
    item_id: str = session.last("response.output_item.added")["item"]["id"]
    return item_id


def test_what_the_model_said() -> None:
    session = Session(MANUAL)
    assert audio_of(session, say(session, pcm(300), pcm(200))) == pcm(300) + pcm(200)


def test_not_while_it_is_still_saying_it() -> None:
    session = Session(MANUAL)
    item_id = say(session, pcm(300), done=False)
    [frame] = session.send("conversation.item.retrieve", item_id=item_id)
    assert frame["item"]["content"] == []


def test_only_what_was_heard_of_it() -> None:
    session = Session(MANUAL)
    item_id = say(session, pcm(1_000))
    for heard_ms, expected_ms in ((700, 700), (300, 300)):
        session.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=heard_ms)
        assert audio_of(session, item_id) == pcm(1_000)[: expected_ms * 48]


def test_also_when_it_was_cut_before_it_was_complete() -> None:
    session = Session(MANUAL)
    item_id = say(session, pcm(1_000), done=False)
    session.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=400)
    session.send("response.cancel")
    assert audio_of(session, item_id) == pcm(1_000)[: 400 * 48]


def test_in_the_format_of_its_response() -> None:
    session = Session(
        {**MANUAL, "audio": {"input": {"turn_detection": None}, "output": {"format": {"type": "audio/pcmu"}}}}
    )
    item_id = say(session, bytes(range(80)) * 10)
    session.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=60)
    assert audio_of(session, item_id) == (bytes(range(80)) * 10)[:480]


def test_the_oldest_audio_gives_way_to_the_newest_on_either_side() -> None:
    session = Session(limits=ServerLimits(max_item_audio=len(pcm(2_000))))
    user = session.say()
    session.send("response.cancel")
    first, second = say(session, pcm(800)), say(session, pcm(900))
    assert audio_of(session, user) is None
    assert audio_of(session, first) is not None
    third = say(session, pcm(1_200))
    assert audio_of(session, first) is None
    assert audio_of(session, second) is None
    assert audio_of(session, third) == pcm(1_200)


def test_an_answer_longer_than_all_that_is_kept_is_not_kept_and_drives_nothing_out() -> None:
    session = Session(MANUAL, limits=ServerLimits(max_item_audio=len(pcm(1_000))))
    short = say(session, pcm(500))
    long = say(session, *[pcm(600)] * 5)
    assert audio_of(session, long) is None
    assert audio_of(session, short) == pcm(500)


def test_truncation_makes_room() -> None:
    session = Session(MANUAL, limits=ServerLimits(max_item_audio=len(pcm(2_000))))
    first = say(session, pcm(1_800))
    session.send("conversation.item.truncate", item_id=first, content_index=0, audio_end_ms=500)
    second = say(session, pcm(1_200))
    assert audio_of(session, first) == pcm(1_800)[: 500 * 48]
    assert audio_of(session, second) == pcm(1_200)


def test_a_clip_that_is_too_long_to_keep_is_recognised_all_the_same() -> None:
    session = Session(limits=ServerLimits(max_item_audio=len(pcm(1_000))))
    part = {"type": "input_audio", "audio": pybase64.b64encode_as_string(pcm(3_000))}
    session.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    assert session.effects == [Transcribe("item_1", pcm(3_000))]
    assert audio_of(session, "item_1") is None


# -- images -----------------------------------------------------------------------------------------------------------

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}


def picture(*before: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [*before, IMAGE]}


@pytest.mark.parametrize(
    ("type_", "fields", "param"),
    [
        ("conversation.item.create", {"item": picture()}, "item.content[0].type"),
        (
            "conversation.item.create",
            {"item": picture({"type": "input_text", "text": "See:"})},
            "item.content[1].type",
        ),
        ("response.create", {"response": {"input": [picture()]}}, "response.input[0].content[0].type"),
    ],
)
def test_a_model_that_cannot_see_says_so(type_: str, fields: dict[str, Any], param: str) -> None:
    session = Session(sighted=False)
    error = error_of(session.send(type_, event_id="e1", **fields))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", param, "e1")
    assert "cannot see images" in error["message"]
    assert session.server.items == ()
    assert session.server.live_response_id is None


def test_a_model_that_can_see_is_shown_the_image() -> None:
    session = Session()
    session.send("conversation.item.create", item=picture())
    session.send("response.create")
    [item] = session.started[0].context
    assert item.content[0].image_url == IMAGE["image_url"]  # type: ignore[attr-defined]
