"""Messages that are far larger decoded than they are on the wire."""

from __future__ import annotations

import tracemalloc

import pytest
from tests.edges.test_websocket import Line, append, on_a_line, said, settle

pytestmark = pytest.mark.any_frames("hostile")


@pytest.mark.parametrize("kind", ["session.update", "input_audio_buffer.append", "nonsense"])
@pytest.mark.parametrize("junk", ["{},", "[],", "[[]],"])
def test_a_message_of_nothing_but_brackets_is_refused_before_it_is_built(kind: str, junk: str) -> None:
    text = f'{{"type":"{kind}","audio":"","x":[{junk * (1 << 19)}[]]}}'
    peaks = []

    async def test(line: Line) -> None:
        tracemalloc.start()
        try:
            line.wire.say(text)
            await settle()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    (error,) = on_a_line(test).wire.errors()
    assert error["code"] == "invalid_json"
    assert "values" in error["message"]
    assert peaks[0] < len(text)


def test_junk_beside_audio_is_bounded_as_in_every_event() -> None:
    wide, deep = [1] * 30_000, "[" * 100 + "]" * 100
    line = said(
        append(b"ab", event_id="wide", x=wide),
        f'{{"type":"input_audio_buffer.append","event_id":"deep","audio":"YWI=","x":{deep}}}',
        append(b"ab", event_id="keys", **{f"key{number}": 1 for number in range(30_000)}),
        append(b"ab", event_id="mine", x=[[1, 2], {"a": "b"}]),
    )
    assert [(error["code"], error["event_id"]) for error in line.wire.errors()] == [
        ("invalid_json", "wide"),
        ("invalid_json", "deep"),
        ("invalid_json", "keys"),
    ]
    assert line.sink.audio == [b"ab"]


def test_a_long_append_is_not_taken_for_junk() -> None:
    assert said(append(bytes(3 << 20))).sink.audio == [bytes(3 << 20)]
