"""Frames that are not right: each gets the protocol's own error, and nothing else can come out."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import CLIENT_EVENTS, SERVER_EVENTS, parse_client_event, parse_server_event
from perhop.realtime.wire import MAX_DEPTH, MAX_VALUES

CRASHERS = sorted((Path(__file__).parent / "fixtures" / "frames").glob("*"))


def refused(frame: object) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse_client_event(frame if isinstance(frame, bytes | str) else orjson.dumps(frame))
    return caught.value


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "event_id": "e1", "session": {"type": "realtime", **session}}


def turn_detection(value: object) -> dict[str, Any]:
    return update(audio={"input": {"turn_detection": value}})


def create(item: object, **fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "event_id": "e1", "item": item, **fields}


def message(role: str, **part: Any) -> dict[str, Any]:
    return create({"type": "message", "role": role, "content": [part]})


def truncate(content_index: int, audio_end_ms: float) -> dict[str, Any]:
    fields = {"item_id": "item_1", "content_index": content_index, "audio_end_ms": audio_end_ms}
    return {"type": "conversation.item.truncate", "event_id": "e1", **fields}


def answer(**response: Any) -> dict[str, Any]:
    return {"type": "response.create", "event_id": "e1", "response": response}


VAD = "session.audio.input.turn_detection"

CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "nonsense", "event_id": "e1"}, "invalid_event", "type"),
    ({"type": "session.updated", "event_id": "e1", "session": {}}, "invalid_event", "type"),
    ({"event_id": "e1"}, "invalid_event", "type"),
    ({"type": None, "event_id": "e1"}, "invalid_event", "type"),
    ({"type": 5, "event_id": "e1"}, "invalid_event", "type"),
    ({"type": "response.cancel", "event_id": "e1", "foo": 1}, "unknown_parameter", "foo"),
    ({"type": "response.cancel", "event_id": "e1", "response_id": 1}, "invalid_type", "response_id"),
    ({"type": "input_audio_buffer.append", "event_id": "e1"}, "missing_required_parameter", "audio"),
    ({"type": "input_audio_buffer.append", "event_id": "e1", "audio": None}, "invalid_type", "audio"),
    ({"type": "session.update", "event_id": "e1"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "event_id": "e1", "session": 5}, "invalid_type", "session"),
    ({"type": "session.update", "event_id": "e1", "session": {}}, "missing_required_parameter", "session.type"),
    (update(type="other"), "invalid_value", "session.type"),
    (update(type=5), "invalid_type", "session.type"),
    (update(modalities=["text"]), "unknown_parameter", "session.modalities"),
    (update(temperature=0.8), "unknown_parameter", "session.temperature"),
    (update(instructions=5), "invalid_type", "session.instructions"),
    (update(output_modalities=["audio", "text"]), "invalid_value", "session.output_modalities"),
    (update(output_modalities=[]), "invalid_value", "session.output_modalities"),
    (update(output_modalities=["video"]), "invalid_value", "session.output_modalities[0]"),
    (update(max_output_tokens=0), "invalid_value", "session.max_output_tokens"),
    (update(max_output_tokens=4097), "invalid_value", "session.max_output_tokens"),
    (update(max_output_tokens="many"), "invalid_value", "session.max_output_tokens"),
    (update(max_output_tokens=1.5), "invalid_type", "session.max_output_tokens"),
    (update(max_output_tokens=True), "invalid_type", "session.max_output_tokens"),
    (update(truncation="sometimes"), "invalid_value", "session.truncation"),
    (update(tracing="manual"), "invalid_value", "session.tracing"),
    (update(include=["everything"]), "invalid_value", "session.include[0]"),
    (update(tools=[{"type": "function"}]), "missing_required_parameter", "session.tools[0].name"),
    (update(tools=[{"type": "function", "name": "not a name"}]), "invalid_value", "session.tools[0].name"),
    (update(tools=[{"type": "spell", "name": "a"}]), "invalid_value", "session.tools[0].type"),
    (update(tools=[{"type": "function", "name": "a", "code": "x"}]), "unknown_parameter", "session.tools[0].code"),
    (update(tools=[{"type": "mcp"}]), "missing_required_parameter", "session.tools[0].server_label"),
    (update(tools=[{"name": "a"}, {"name": "a"}]), "invalid_value", "session.tools"),
    (update(tools={"name": "a"}), "invalid_type", "session.tools"),
    (update(tool_choice="always"), "invalid_value", "session.tool_choice"),
    (update(tool_choice=5), "invalid_type", "session.tool_choice"),
    (update(tool_choice={"type": "function"}), "missing_required_parameter", "session.tool_choice.name"),
    (update(tool_choice={"type": "luck"}), "invalid_value", "session.tool_choice.type"),
    (update(tool_choice={"type": 1}), "invalid_type", "session.tool_choice.type"),
    (update(tool_choice={}), "missing_required_parameter", "session.tool_choice.type"),
    (update(audio={"input": {"format": {"type": "audio/mp3"}}}), "invalid_value", "session.audio.input.format.type"),
    (update(audio={"input": {"format": {"rate": 16_000}}}), "invalid_value", "session.audio.input.format"),
    (update(audio={"input": {"format": "pcm16"}}), "invalid_type", "session.audio.input.format"),
    (update(audio={"input": {"noise_reduction": 5}}), "invalid_type", "session.audio.input.noise_reduction"),
    (update(audio={"output": {"speed": 2}}), "invalid_value", "session.audio.output.speed"),
    (update(audio={"output": {"speed": "fast"}}), "invalid_type", "session.audio.output.speed"),
    (update(audio={"output": {"voice": 5}}), "invalid_type", "session.audio.output.voice"),
    (update(audio={"output": {"volume": 5}}), "unknown_parameter", "session.audio.output.volume"),
    (turn_detection({"type": "psychic_vad"}), "invalid_value", f"{VAD}.type"),
    (turn_detection(5), "invalid_type", VAD),
    (turn_detection({"type": "server_vad", "threshold": 1.1}), "invalid_value", f"{VAD}.threshold"),
    (turn_detection({"type": "server_vad", "idle_timeout_ms": 4_999}), "invalid_value", f"{VAD}.idle_timeout_ms"),
    (turn_detection({"type": "server_vad", "idle_timeout_ms": 30_001}), "invalid_value", f"{VAD}.idle_timeout_ms"),
    (turn_detection({"type": "server_vad", "silence_duration_ms": -1}), "invalid_value", f"{VAD}.silence_duration_ms"),
    (turn_detection({"type": "server_vad", "create_response": "yes"}), "invalid_type", f"{VAD}.create_response"),
    (turn_detection({"type": "semantic_vad", "threshold": 0.5}), "unknown_parameter", f"{VAD}.threshold"),
    (turn_detection({"type": "semantic_vad", "eagerness": "keen"}), "invalid_value", f"{VAD}.eagerness"),
    (update(type="transcription", instructions="x"), "unknown_parameter", "session.instructions"),
    (update(type="transcription", audio={"output": {}}), "unknown_parameter", "session.audio.output"),
    (create(5), "invalid_type", "item"),
    (create({}), "missing_required_parameter", "item.type"),
    (create({"type": "hologram"}), "invalid_value", "item.type"),
    (create({"type": 5}), "invalid_type", "item.type"),
    (create({"type": "message", "content": []}), "missing_required_parameter", "item.role"),
    (create({"type": "message", "role": "tool", "content": []}), "invalid_value", "item.role"),
    (create({"type": "message", "role": "user"}), "missing_required_parameter", "item.content"),
    (create({"type": "message", "role": "user", "content": "hi"}), "invalid_type", "item.content"),
    (create({"type": "message", "role": "user", "content": [], "mood": 1}), "unknown_parameter", "item.mood"),
    (create({"type": "function_call_output", "output": "1"}), "missing_required_parameter", "item.call_id"),
    (create({"type": "function_call_output", "call_id": "c", "output": {}}), "invalid_type", "item.output"),
    (create({"type": "item_reference", "id": "item_1"}), "invalid_value", "item.type"),
    (create({"type": "message", "role": "user", "content": [], "id": "x" * 33}), "invalid_value", "item.id"),
    (create({"type": "message", "role": "user", "content": [], "id": ""}), "invalid_value", "item.id"),
    (message("user"), "missing_required_parameter", "item.content[0].type"),
    (message("user", type="text", text="x"), "invalid_value", "item.content[0].type"),
    (message("user", type="output_text", text="x"), "invalid_value", "item.content[0].type"),
    (message("system", type="input_audio", audio=""), "invalid_value", "item.content[0].type"),
    (message("user", type="input_text"), "missing_required_parameter", "item.content[0].text"),
    (message("user", type="input_text", text="x", audio="AAAA"), "invalid_value", "item.content[0].audio"),
    (message("user", type="input_text", text="x", font="y"), "unknown_parameter", "item.content[0].font"),
    (message("user", type="input_image", image_url="data:", detail="huge"), "invalid_value", "item.content[0].detail"),
    (message("assistant", type="output_audio", transcript="x", audio="AA=="), "invalid_value", "item.content[0].audio"),
    (answer(input=[{"type": "item_reference"}]), "missing_required_parameter", "response.input[0].id"),
    (answer(input=[{"type": "item_reference", "id": ""}]), "invalid_value", "response.input[0].id"),
    (answer(input=[message("user", type="text")["item"]]), "invalid_value", "response.input[0].content[0].type"),
    (answer(conversation="conv_1"), "invalid_value", "response.conversation"),
    (answer(metadata={"k": 5}), "invalid_type", "response.metadata.k"),
    (answer(metadata={"k" * 65: "v"}), "invalid_value", "response.metadata." + "k" * 64 + "…"),
    (answer(metadata={"k": "v" * 513}), "invalid_value", "response.metadata.k"),
    (answer(metadata={str(i): "v" for i in range(17)}), "invalid_value", "response.metadata"),
    (answer(voice="ash"), "unknown_parameter", "response.voice"),
    (truncate(0, 1.5), "invalid_type", "audio_end_ms"),
    (truncate(0, -1), "invalid_value", "audio_end_ms"),
    (truncate(-1, 1), "invalid_value", "content_index"),
]


@pytest.mark.parametrize(("frame", "code", "param"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_event_is_refused(frame: dict[str, Any], code: str, param: str) -> None:
    error = refused(frame)
    assert (error.code, error.param, error.event_id) == (code, param, "e1")
    assert error.type == "invalid_request_error"
    assert error.message.endswith(".")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"type":"response.create","x":NaN}', "invalid_json"),
        (b'{"type":"response.create","x":1e999}', "invalid_json"),
        (b'{"type":"response.create","event_id":"\\ud800"}', "invalid_json"),
        ('{"type":"response.create","event_id":"\ud800"}', "invalid_json"),
        (b'{"type":"response.create"} trailing', "invalid_json"),
        (b"[]", "invalid_event"),
        (b"null", "invalid_event"),
        (b'"session.update"', "invalid_event"),
    ],
)
def test_a_frame_that_is_no_event_is_refused(frame: bytes | str, code: str) -> None:
    assert refused(frame).code == code


def test_an_event_id_must_be_a_short_string() -> None:
    assert refused({"type": "response.create", "event_id": 5}).code == "invalid_type"
    assert refused({"type": "response.create", "event_id": "x" * 513}).code == "invalid_value"
    assert parse_client_event(orjson.dumps({"type": "response.create", "event_id": "x" * 512})).event_id == "x" * 512
    assert parse_client_event(b'{"type":"response.create","event_id":null}').event_id is None


def test_an_error_never_repeats_more_than_a_little_of_what_the_client_sent() -> None:
    long = "k" * 100_000
    for frame in (
        {"type": long},
        {"type": "response.create", long: 1},
        update(**{long: 1}),
        create({"type": long}),
        update(type="transcription", **{long: 1}),
        update(tools=[{"type": long, "name": "a"}]),
    ):
        error = refused(frame)
        assert len(error.message) + len(error.param or "") < 500


def test_nesting_is_bounded() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(levels):
            value = {"a": value}
        return update(tools=[{"type": "function", "name": "f", "parameters": value}])

    parse_client_event(orjson.dumps(nested(MAX_DEPTH - 5)))
    error = refused(nested(MAX_DEPTH + 5))
    assert (error.code, error.event_id) == ("invalid_json", "e1")
    assert "deeper" in error.message
    assert refused(b'{"type":"response.create","a":' + b"[" * 100_000).code == "invalid_json"


def test_the_number_of_values_is_bounded() -> None:
    wide = create({"type": "message", "role": "user", "content": [1] * (MAX_VALUES + 1)})
    error = refused(wide)
    assert (error.code, error.event_id) == ("invalid_json", "e1")
    prose = "one, two, three, " * MAX_VALUES
    parse_client_event(orjson.dumps(message("user", type="input_text", text=prose)))


@pytest.mark.parametrize("junk", ["{},", "[],", "1,", "[[[]]],", '{"a":{}},'])
@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_tree_that_is_far_too_large_is_never_built(junk: str, encode: Callable[[str], str | bytes]) -> None:
    frame = encode(f'{{"type":"response.cancel","x":[{junk * 600_000}[]]}}')
    tracemalloc.start()
    try:
        assert refused(frame).code == "invalid_json"
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b'{"type":"input_audio_buffer.append","audio":"' + b"A" * n + b'"}',
        lambda n: b'{"type":"response.create",' + b'"a":1,' * (n // 6) + b'"b":1}',
        lambda n: b'{"type":"response.create","x":[' + b"[],[" * (n // 4) + b"]" * (n // 4) + b"]}",
        lambda n: b"[" * n,
        lambda n: b'{"' + b"a" * n + b'":1}',
    ],
)
def test_a_large_frame_costs_time_linear_in_its_size(make: Any) -> None:
    def cost(size: int) -> float:
        frame, best = make(size), 1e9
        for _ in range(3):
            began = time.thread_time()
            with contextlib.suppress(ProtocolError):
                parse_client_event(frame)
            best = min(best, time.thread_time() - began)
        return best

    assert cost(4_000_000) < 40 * cost(400_000) + 0.005


# -- nothing else can come out ----------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["realtime", "server_vad", "message", "user", "input_audio", "AAAA", "audio/pcm", "function", "auto"]
    ),
)
KEYS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["type", "event_id", "session", "item", "response", "audio", "input", "output", "content", "role", "tools",
         "turn_detection", "format", "voice", "id", "item_id", "tool_choice", "input", "metadata", "truncation"]
    ),
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=8
)
EVENTS = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(sorted(CLIENT_EVENTS)),
    st.dictionaries(KEYS, JSON, max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_any_object_parses_or_is_refused(obj: dict[str, Any]) -> None:
    try:
        event = parse_client_event(orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS))
    except ProtocolError as error:
        assert error.code
        error.to_event("event_1").to_json()
        if isinstance(obj.get("event_id"), str):
            assert error.event_id == obj["event_id"]
    else:
        assert event.type == obj["type"]
        assert parse_client_event(event.to_json()).to_json() == event.to_json()


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_bytes_parse_or_are_refused(frame: bytes | str) -> None:
    for parse in (parse_client_event, parse_server_event):
        try:
            parse(frame)
        except ProtocolError as error:
            assert error.code


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SERVER_EVENTS)), st.dictionaries(KEYS, JSON, max_size=6))
def test_any_server_object_survives(kind: str, fields: dict[str, Any]) -> None:
    obj = {**fields, "type": kind}
    event = parse_server_event(orjson.dumps(obj))
    assert orjson.loads(event.to_json()) == orjson.loads(orjson.dumps(obj))


@pytest.mark.parametrize("path", CRASHERS, ids=lambda path: path.stem)
def test_frames_that_once_crashed_something_are_refused(path: Path) -> None:
    assert refused(path.read_bytes()).code
