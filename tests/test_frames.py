"""The inspector of frames sees what it should, and lets through what it may."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.websockets import WebSocket
from tests.frames import UNKNOWN_FIELDS, Inspector, offence

from perhop.edges.webrtc.sctp import Channel
from perhop.realtime.events import SERVER_EVENTS

COMMITTED = {"type": "input_audio_buffer.committed", "event_id": "event_1", "item_id": "item_1"}


def wrong(**event: Any) -> str:
    return offence(json.dumps(event)) or ""


def test_a_proper_frame_is_none() -> None:
    assert wrong(**COMMITTED) == ""
    assert wrong(**COMMITTED, previous_item_id=None) == ""


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ("hello", "not JSON"),
        ("[1]", "not an event"),
        ('{"type":7}', "not an event"),
        ('{"type":"response.audio.delta"}', "response.audio.delta: no event the package knows"),
        ('{"type":"input_audio_buffer.committed","event_id":"e"}', "item_id: Field required"),
        ('{"type":"input_audio_buffer.committed","event_id":"e","item_id":7}', "item_id: Input should be a valid str"),
    ],
)
def test_an_offence_names_what_is_wrong(frame: str, complaint: str) -> None:
    assert complaint in (offence(frame) or "")


def test_fields_the_package_does_not_know_are_found_at_any_depth() -> None:
    assert wrong(**COMMITTED, mood="good") == "input_audio_buffer.committed: the package does not know mood"
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi", "mood": "good"}]}
    assert "item.content[].mood" in wrong(type="conversation.item.added", event_id="e", item=item)


def test_the_package_knows_every_event_there_is() -> None:
    assert not [kind for kind in SERVER_EVENTS if "no event the package knows" in wrong(type=kind)]
    assert {kind for kind, _ in UNKNOWN_FIELDS} <= set(SERVER_EVENTS)


@pytest.mark.any_frames("it sends some on purpose")
def test_websockets_of_the_protocol_are_looked_at_and_no_others(inspector: Inspector) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def nowhere(_: Any) -> None: ...

    async def send(path: str) -> None:
        socket = WebSocket({"type": "websocket", "path": path}, receive, nowhere)
        await socket.accept()
        await socket.send_text('{"type":"nonsense"}')

    inspector.take()
    asyncio.run(send("/media"))
    assert inspector.take() == []
    asyncio.run(send("/v1/realtime"))
    [found] = inspector.take()
    assert found.startswith("nonsense: no event the package knows")


@pytest.mark.any_frames("it sends some on purpose")
def test_so_is_the_data_channel_for_events_and_no_other(inspector: Inspector) -> None:
    def send(label: str) -> None:
        far_end: Any = SimpleNamespace(label=label, readyState="open", send=lambda _: None)
        assert Channel(far_end, 1).send('{"type":"nonsense"}')

    inspector.take()
    send("chat")
    assert inspector.take() == []
    send("oai-events")
    [found] = inspector.take()
    assert found.startswith("nonsense: no event the package knows")


def test_what_a_server_of_its_own_reports_counts_once(tmp_path: Path) -> None:
    report = tmp_path / "offences"
    inspector = Inspector()
    inspector.follow(report)
    assert inspector.take() == []
    report.write_text('"first"\n')
    assert inspector.take() == ["first"]
    with report.open("a") as file:
        file.write('"second"\n')
    assert inspector.take() == ["second"]
    assert inspector.take() == []
