"""Audio inside events: clients have it in the session's formats, the model in PCM."""

from __future__ import annotations

from typing import Any

import pybase64
import pytest

from perhop.call.event_audio import CLIPS_MAX_S, EventAudio
from perhop.media.transcode import FromWire, clip_from_wire, clip_to_wire
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemRetrieved,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    ResponseCreate,
    ResponseParams,
)
from perhop.realtime.items import ContentPart, FunctionCallOutputItem, ItemReference, MessageItem

CLIP = bytes(range(256)) * 8


def b64(audio: bytes) -> str:
    return pybase64.b64encode_as_string(audio)


def session(heard: str, said: str = "audio/pcm") -> dict[str, Any]:
    return {"audio": {"input": {"format": {"type": heard}}, "output": {"format": {"type": said}}}}


def spoken(audio: str, role: str = "user") -> MessageItem:
    kind = "input_audio" if role == "user" else "output_audio"
    words = ContentPart(type="input_text", text="hi")
    return MessageItem.model_validate({"role": role, "content": [words, ContentPart(type=kind, audio=audio)]})


def on_the_telephone() -> EventAudio:
    audio = EventAudio()
    audio.put_in_force(session("audio/pcmu", "audio/pcma"))
    return audio


def audio_of(item: object) -> bytes:
    assert isinstance(item, MessageItem)
    return pybase64.b64decode(item.content[1].audio or "")


def test_with_pcm_everything_passes_untouched() -> None:
    audio = EventAudio()
    create = ConversationItemCreate(item=spoken("not even base64"))
    retrieved = ConversationItemRetrieved(event_id="e", item=spoken(b64(CLIP)))
    assert audio.to_model(create) is create
    assert audio.to_clients(retrieved) is retrieved
    assert audio.appended(InputAudioBufferAppend(audio=b64(CLIP))) == CLIP


def test_a_clip_in_an_item_reaches_the_model_as_pcm() -> None:
    event = on_the_telephone().to_model(ConversationItemCreate(event_id="mine", item=spoken(b64(CLIP))))
    assert isinstance(event, ConversationItemCreate)
    assert event.event_id == "mine"
    assert isinstance(event.item, MessageItem)
    assert event.item.content[0].text == "hi"
    assert audio_of(event.item) == clip_from_wire("audio/pcmu", CLIP)


def test_clips_in_the_input_of_a_response_too() -> None:
    given = [ItemReference(id="item_1"), spoken(b64(CLIP))]
    event = on_the_telephone().to_model(ResponseCreate(response=ResponseParams(conversation="none", input=given)))
    assert isinstance(event, ResponseCreate)
    assert event.response is not None
    assert event.response.input is not None
    assert event.response.conversation == "none"
    assert event.response.input[0] == given[0]
    assert audio_of(event.response.input[1]) == clip_from_wire("audio/pcmu", CLIP)


@pytest.mark.parametrize(
    "event",
    [
        ConversationItemCreate(item=FunctionCallOutputItem(call_id="c", output="1")),
        ConversationItemCreate(item=MessageItem(role="user", content=[ContentPart(type="input_text", text="x")])),
        ResponseCreate(),
        ResponseCreate(response=ResponseParams(instructions="x")),
    ],
    ids=lambda event: event.type,
)
def test_what_has_no_clip_stays_as_it_is(event: ClientEvent) -> None:
    assert on_the_telephone().to_model(event) == event


@pytest.mark.parametrize(
    ("event", "param"),
    [
        (ConversationItemCreate(item=spoken("???")), "item.content[1].audio"),
        (ConversationItemCreate(item=spoken(b64(bytes(3_000_000)))), "item.content[1].audio"),
        (ResponseCreate(response=ResponseParams(input=[spoken("???")])), "response.input[0].content[1].audio"),
    ],
)
def test_a_clip_that_cannot_be_used_is_refused(event: ClientEvent, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        on_the_telephone().to_model(event)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


@pytest.mark.parametrize("is_input", [False, True])
def test_all_clips_of_an_event_together_are_bounded(is_input: bool) -> None:
    def event(*seconds: int) -> ClientEvent:
        items = [spoken(b64(bytes(8000 * count))) for count in seconds]
        if is_input:
            return ResponseCreate(response=ResponseParams(input=[*items]))
        content = [part for item in items for part in item.content]
        return ConversationItemCreate(item=MessageItem(role="user", content=content))

    audio = on_the_telephone()
    audio.to_model(event(CLIPS_MAX_S // 2, CLIPS_MAX_S // 2))
    with pytest.raises(ProtocolError) as caught:
        audio.to_model(event(CLIPS_MAX_S // 2, CLIPS_MAX_S // 2, 1))
    assert caught.value.code == "invalid_value"
    assert caught.value.param == ("response.input[2].content[1].audio" if is_input else "item.content[5].audio")
    in_pcm = EventAudio()
    assert in_pcm.to_model(event(CLIPS_MAX_S, CLIPS_MAX_S)) == event(CLIPS_MAX_S, CLIPS_MAX_S)


def test_a_retrieved_item_has_the_format_of_whoever_speaks() -> None:
    audio = on_the_telephone()
    for role, kind in (("user", "audio/pcmu"), ("assistant", "audio/pcma")):
        event = audio.to_clients(ConversationItemRetrieved(event_id="e", item=spoken(b64(CLIP), role)))
        assert audio_of(event.item) == clip_to_wire(kind, CLIP)  # type: ignore[arg-type]


def test_appends_that_come_as_events_are_one_stream() -> None:
    audio = on_the_telephone()
    pieces = [audio.appended(InputAudioBufferAppend(audio=b64(CLIP[a : a + 100]))) for a in range(0, 400, 100)]
    assert b"".join(pieces) == FromWire("audio/pcmu").push(CLIP[:400])
    clear = InputAudioBufferClear()
    assert audio.to_model(clear) is clear
    again = audio.appended(InputAudioBufferAppend(audio=b64(CLIP[:100])))
    assert again == FromWire("audio/pcmu").push(CLIP[:100])


def test_a_session_that_says_nothing_of_formats_changes_none() -> None:
    audio = on_the_telephone()
    audio.put_in_force({"audio": {"input": None}})
    assert len(audio.appended(InputAudioBufferAppend(audio=b64(CLIP)))) == 6 * len(CLIP)
