"""What the hot paths cost, with room for a busy machine: a figure ten times too high is a bug, not noise."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson
import pybase64
from tests.realtime.helpers import MANUAL, Session, pcm

from perhop.realtime.effects import OutputAudio, VoiceActivity
from perhop.realtime.events import parse_client_event

FRAME = pcm(20)


def microseconds(call: Callable[[], object], repeats: int = 2_000) -> float:
    best = 1e9
    for _ in range(5):
        began = time.thread_time()
        for _ in range(repeats // 5):
            call()
        best = min(best, (time.thread_time() - began) / (repeats // 5))
    return best * 1e6


def test_parsing_a_client_event() -> None:
    append = orjson.dumps({"type": "input_audio_buffer.append", "audio": pybase64.b64encode_as_string(FRAME)})
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    create = orjson.dumps({"type": "conversation.item.create", "event_id": "e1", "item": item})
    assert microseconds(lambda: parse_client_event(append)) < 40
    assert microseconds(lambda: parse_client_event(create)) < 80


def test_a_frame_of_caller_audio_and_its_voice_activity() -> None:
    session = Session()
    server = session.server
    clock = iter(range(20, 10_000_000, 20))

    def frame() -> None:
        server.append_audio(FRAME, 0.0)
        server.receive(VoiceActivity(0.1, next(clock)), 0.0)

    assert microseconds(frame) < 40


def test_a_frame_of_model_audio() -> None:
    session = Session(MANUAL)
    session.send("response.create")
    chunk = OutputAudio(session.live, FRAME)
    assert microseconds(lambda: session.server.receive(chunk, 0.0)) < 40
