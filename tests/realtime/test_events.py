"""Every event of the protocol, both ways through the parsers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter
from tests.realtime.helpers import OFFICIAL

from perhop.realtime import events
from perhop.realtime.audio import AudioChunk
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    InputAudioBufferAppend,
    ResponseCreate,
    ResponseOutputAudioDelta,
    SessionUpdate,
    UnknownClientEvent,
    UnknownServerEvent,
    decode_audio,
    parse_client_event,
    parse_server_event,
)
from perhop.realtime.items import FunctionCallOutputItem, ItemReference, MessageItem, UnknownItem

EXAMPLES: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "fixtures" / "events.json").read_text())
OFFICIAL_CLIENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)


def camel(type_: str) -> str:
    return "".join(word.capitalize() for word in type_.replace(".", "_").split("_"))


def by_type(example: dict[str, Any]) -> str:
    name: str = example["type"]
    return name


def test_all_eleven_client_and_forty_six_server_events_are_known() -> None:
    assert sorted(CLIENT_EVENTS) == sorted(map(by_type, EXAMPLES["client"]))
    assert sorted(SERVER_EVENTS) == sorted(map(by_type, EXAMPLES["server"]))
    assert (len(CLIENT_EVENTS), len(SERVER_EVENTS)) == (11, 46)


@pytest.mark.parametrize("name", events.__all__)
def test_the_package_exports_what_it_says(name: str) -> None:
    assert hasattr(events, name)


@pytest.mark.parametrize("example", EXAMPLES["client"], ids=by_type)
def test_a_client_event_survives_the_round_trip(example: dict[str, Any]) -> None:
    event = parse_client_event(orjson.dumps(example))
    assert type(event).__name__ == camel(example["type"])
    assert orjson.loads(event.to_json()) == example
    assert parse_client_event(event.to_json()) == event


@pytest.mark.parametrize("example", EXAMPLES["server"], ids=by_type)
def test_a_server_event_survives_the_round_trip(example: dict[str, Any]) -> None:
    event = parse_server_event(orjson.dumps(example))
    expected = "ErrorEvent" if example["type"] == "error" else camel(example["type"])
    assert type(event).__name__ == expected
    assert orjson.loads(event.to_json()) == example
    assert parse_server_event(event.to_json()) == event


@pytest.mark.parametrize("example", EXAMPLES["server"], ids=by_type)
def test_the_examples_are_what_the_official_client_expects(example: dict[str, Any]) -> None:
    OFFICIAL.validate_python(example)


@pytest.mark.parametrize("example", EXAMPLES["client"], ids=by_type)
def test_the_examples_are_what_the_official_client_sends(example: dict[str, Any]) -> None:
    if "item_reference" not in json.dumps(example):  # the official *event* type cannot say it; the official params can
        OFFICIAL_CLIENT.validate_python(example)


@pytest.mark.parametrize("example", EXAMPLES["client"], ids=by_type)
def test_a_client_event_may_come_without_an_event_id(example: dict[str, Any]) -> None:
    bare = {key: value for key, value in example.items() if key != "event_id"}
    assert orjson.loads(parse_client_event(orjson.dumps(bare)).to_json()) == bare


@pytest.mark.parametrize("example", EXAMPLES["server"], ids=by_type)
def test_fields_of_newer_servers_survive(example: dict[str, Any]) -> None:
    newer = {**example, "brand_new": {"a": [1, None, "x"]}}
    assert orjson.loads(parse_server_event(orjson.dumps(newer)).to_json()) == newer


def test_a_server_event_of_unknown_type_survives() -> None:
    frame = {"type": "response.hologram.delta", "event_id": "event_1", "depth": [1, 2.5, None, {"x": "y"}]}
    event = parse_server_event(orjson.dumps(frame))
    assert isinstance(event, UnknownServerEvent)
    assert event.type == "response.hologram.delta"
    assert orjson.loads(event.to_json()) == frame


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "response.done", "event_id": 7, "response": "gone"},
        {"type": "error", "error": None},
        {"type": "conversation.item.added", "item": {"role": "user"}},
    ],
)
def test_a_server_event_of_unexpected_shape_survives(frame: dict[str, Any]) -> None:
    event = parse_server_event(orjson.dumps(frame))
    assert isinstance(event, UnknownServerEvent)
    assert event.type == frame["type"]
    assert orjson.loads(event.to_json()) == frame


def test_an_item_of_unknown_type_survives_inside_a_known_event() -> None:
    frame = {"type": "conversation.item.added", "event_id": "e", "item": {"type": "hologram", "id": "item_1", "z": 1}}
    event = parse_server_event(orjson.dumps(frame))
    assert isinstance(event, events.ConversationItemAdded)
    assert isinstance(event.item, UnknownItem)
    assert orjson.loads(event.to_json()) == frame


def test_only_what_was_set_is_written() -> None:
    item = MessageItem(id="item_1", role="user", content=[])
    event = events.ConversationItemAdded(event_id="event_1", previous_item_id=None, item=item)
    assert orjson.loads(event.to_json()) == {
        "type": "conversation.item.added",
        "event_id": "event_1",
        "previous_item_id": None,
        "item": {"type": "message", "id": "item_1", "role": "user", "content": []},
    }
    assert b"previous_item_id" not in events.ConversationItemAdded(event_id="event_1", item=item).to_json()


def test_events_are_values() -> None:
    event = parse_client_event(b'{"type":"response.cancel","response_id":"resp_1"}')
    changed = event.model_copy(update={"event_id": "e9"})
    assert orjson.loads(changed.to_json()) == {
        "type": "response.cancel",
        "event_id": "e9",
        "response_id": "resp_1",
    }
    with pytest.raises(ValueError, match="frozen"):
        event.event_id = "e9"


def test_a_gateway_can_let_newer_client_events_through() -> None:
    frame = {"type": "response.rewind", "event_id": "e1", "to": 3}
    event = parse_client_event(orjson.dumps(frame), allow_unknown=True)
    assert isinstance(event, UnknownClientEvent)
    assert orjson.loads(event.to_json()) == frame
    newer = {"type": "session.update", "session": {"type": "realtime", "hologram": True}, "x": 1}
    event = parse_client_event(orjson.dumps(newer), allow_unknown=True)
    assert isinstance(event, SessionUpdate)
    assert orjson.loads(event.to_json()) == newer


def test_input_of_a_response_may_refer_to_items() -> None:
    frame = {
        "type": "response.create",
        "response": {
            "input": [
                {"type": "item_reference", "id": "item_1"},
                {"type": "function_call_output", "call_id": "c", "output": "1"},
            ]
        },
    }
    event = parse_client_event(orjson.dumps(frame))
    assert isinstance(event, ResponseCreate)
    assert event.response is not None
    assert [type(item) for item in event.response.input or ()] == [ItemReference, FunctionCallOutputItem]


def test_audio_is_decoded() -> None:
    event = parse_client_event(b'{"type":"input_audio_buffer.append","audio":"AAECAw=="}')
    assert isinstance(event, InputAudioBufferAppend)
    assert event.decoded() == bytes(range(4))
    delta = ResponseOutputAudioDelta(
        event_id="e", response_id="r", item_id="i", output_index=1, content_index=0, delta="AAECAw=="
    )
    assert delta.chunk() == AudioChunk("r", "i", 1, 0, bytes(range(4)))


@pytest.mark.parametrize("bad", ["AAECAw=", "AA ECAw==", "AAEC*w==", "AAECAw==\n", "ÄÄÄÄ", "A"])
def test_audio_that_is_not_base64_is_refused(bad: str) -> None:
    event = parse_client_event(orjson.dumps({"type": "input_audio_buffer.append", "event_id": "e1", "audio": bad}))
    assert isinstance(event, InputAudioBufferAppend)
    with pytest.raises(ProtocolError) as caught:
        event.decoded()
    assert (caught.value.code, caught.value.param, caught.value.event_id) == ("invalid_value", "audio", "e1")


def test_an_append_carries_fifteen_mebibytes_at_most() -> None:
    limit = events.APPEND_MAX_BYTES
    assert len(decode_audio("AAAA" * (limit // 3), param="audio")) == limit
    with pytest.raises(ProtocolError, match="more than"):
        decode_audio("AAAA" * (limit // 3 + 1), param="audio")
