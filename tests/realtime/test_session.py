"""The session's configuration: defaults, the merge of updates, and what clients are shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.realtime.errors import ProtocolError
from perhop.realtime.session import DEFAULT_INSTRUCTIONS, SessionConfig, parse_session
from perhop.realtime.session_fields import SemanticVad, ServerVad

FIND = {"type": "function", "name": "find", "description": "Finds.", "parameters": {"type": "object", "x-say": "{n}"}}


def merged(*updates: dict[str, Any], kind: str = "realtime") -> SessionConfig:
    config = SessionConfig.default(kind="transcription" if kind == "transcription" else "realtime")
    for update in updates:
        config = config.merged({"type": kind, **update})
    return config


def shown(config: SessionConfig) -> dict[str, Any]:
    return config.to_wire("sess_1", 1_790_000_000)


def heard(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


def test_the_defaults_are_the_documented_ones() -> None:
    assert shown(SessionConfig.default(model="m")) == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "expires_at": 1_790_000_000,
        "model": "m",
        "output_modalities": ["audio"],
        "instructions": DEFAULT_INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 200,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
        },
        "include": None,
    }


def test_a_transcription_session_shows_only_what_it_has() -> None:
    config = merged(heard(transcription={"model": "any"}), kind="transcription")
    wire = shown(config)
    assert set(wire) == {"type", "object", "id", "expires_at", "audio", "include"}
    assert wire["object"] == "realtime.transcription_session"
    assert set(wire["audio"]) == {"input"}


def test_only_keys_that_are_present_change() -> None:
    config = merged(
        {"instructions": "x", "tools": [FIND]}, {"tool_choice": "none"}, {"audio": {"output": {"speed": 1.2}}}
    )
    wire = shown(config)
    assert (wire["instructions"], wire["tools"], wire["tool_choice"]) == ("x", [FIND], "none")
    assert wire["audio"]["output"] == {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.2}
    assert wire["audio"]["input"]["turn_detection"]["threshold"] == 0.5


def test_lists_and_choices_replace() -> None:
    other = {"type": "function", "name": "other"}
    choice = {"type": "function", "name": "other"}
    config = merged({"tools": [FIND]}, {"tools": [other], "tool_choice": choice})
    assert shown(config)["tools"] == [other]
    assert config.tool_choice_wire == choice
    assert shown(merged({"tools": [FIND]}, {"tools": []}))["tools"] == []


@pytest.mark.parametrize("cleared", [None, ""])
def test_instructions_can_be_cleared(cleared: str | None) -> None:
    config = merged({"instructions": "x"}, {"instructions": cleared})
    assert config.instructions == (DEFAULT_INSTRUCTIONS if cleared is None else "")


def test_null_sets_back_or_switches_off() -> None:
    config = merged(
        {"tools": [FIND], "max_output_tokens": 5, "tool_choice": "none", "tracing": "auto", "prompt": {"id": "p"}},
        heard(transcription={"model": "x"}, noise_reduction={"type": "far_field"}),
        {"audio": {"output": {"voice": "ash", "speed": 0.5}}},
        {"tools": None, "max_output_tokens": None, "tool_choice": None, "tracing": None, "prompt": None},
        heard(transcription=None, noise_reduction=None, format=None),
        {"audio": {"output": {"voice": None, "speed": None}}},
    )
    assert shown(config) == shown(SessionConfig.default())


def test_a_null_object_of_audio_changes_nothing() -> None:
    config = merged(heard(turn_detection=None), {"audio": None}, {"audio": {"input": None, "output": None}})
    assert config.audio.input.turn_detection is None


def test_manual_turns_and_back() -> None:
    manual = merged(heard(turn_detection=None))
    assert manual.audio.input.turn_detection is None
    assert manual.merged({"type": "realtime", **heard(turn_detection={})}).audio.input.turn_detection == ServerVad()


def test_turn_detection_merges_while_its_type_stays() -> None:
    config = merged(
        heard(turn_detection={"type": "server_vad", "threshold": 0.7, "idle_timeout_ms": 6000}),
        heard(turn_detection={"type": "server_vad", "silence_duration_ms": 500}),
        heard(turn_detection={"interrupt_response": False}),
    )
    detection = config.audio.input.turn_detection
    assert isinstance(detection, ServerVad)
    assert detection.model_dump() == {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": 6000,
        "create_response": True,
        "interrupt_response": False,
    }


def test_turn_detection_of_another_type_starts_from_its_defaults() -> None:
    config = merged(
        heard(turn_detection={"type": "server_vad", "create_response": False}),
        heard(turn_detection={"type": "semantic_vad", "eagerness": "low"}),
    )
    detection = config.audio.input.turn_detection
    assert isinstance(detection, SemanticVad)
    assert (detection.eagerness, detection.create_response, detection.interrupt_response) == ("low", True, True)


def test_transcription_and_noise_reduction_merge() -> None:
    config = merged(
        heard(transcription={"model": "a", "language": "en"}, noise_reduction={"type": "near_field", "strength": 0.5}),
        heard(transcription={"language": "de"}, noise_reduction={"type": "far_field"}),
    )
    assert shown(config)["audio"]["input"]["transcription"] == {"model": "a", "language": "de"}
    assert shown(config)["audio"]["input"]["noise_reduction"] == {"type": "far_field", "strength": 0.5}


def test_the_model_is_fixed_but_naming_another_is_no_error() -> None:
    assert merged({"model": "another"}).model == "gpt-realtime"


def test_a_custom_voice_is_shown_as_a_string() -> None:
    config = merged({"audio": {"output": {"voice": {"id": "voice_7"}}}})
    assert shown(config)["audio"]["output"]["voice"] == "voice_7"


def test_formats() -> None:
    config = merged(
        {
            "audio": {
                "input": {"format": {"type": "audio/pcmu"}},
                "output": {"format": {"type": "audio/pcma", "rate": 8000}},
            }
        }
    )
    assert config.audio.input.format.bytes_per_ms == 8
    assert shown(config)["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert shown(config)["audio"]["output"]["format"] == {"type": "audio/pcma"}


def test_settings_of_newer_models_show_once_they_are_set() -> None:
    assert "reasoning" not in shown(SessionConfig.default())
    config = merged({"reasoning": {"effort": "low"}, "parallel_tool_calls": True})
    assert (shown(config)["reasoning"], shown(config)["parallel_tool_calls"]) == ({"effort": "low"}, True)


@pytest.mark.parametrize(("kind", "other"), [("realtime", "transcription"), ("transcription", "realtime")])
def test_a_session_keeps_its_type(kind: str, other: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        merged(kind=kind).merged({"type": other})
    assert (caught.value.code, caught.value.param) == ("invalid_value", "session.type")


def test_a_refused_update_changes_nothing() -> None:
    config = merged({"instructions": "x"})
    with pytest.raises(ProtocolError):
        config.merged({"type": "realtime", "instructions": "y", "audio": {"output": {"speed": 9}}})
    assert config.instructions == "x"


def test_parse_session_returns_what_was_given() -> None:
    given = {
        "type": "realtime",
        "instructions": "x",
        "audio": {"input": {"turn_detection": None}, "output": {"voice": "ash"}},
        "tools": [FIND],
    }
    assert parse_session(given) == given
    assert parse_session({"type": "realtime", "instructions": None}) == {
        "type": "realtime",
        "instructions": DEFAULT_INSTRUCTIONS,
    }


def test_parse_session_wants_a_type() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_session({"instructions": "x"})
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "session.type")


UPDATES = st.fixed_dictionaries(
    {"type": st.just("realtime")},
    optional={
        "instructions": st.text(max_size=5),
        "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "name": "find"}]),
        "tools": st.sampled_from([[], [FIND]]),
        "max_output_tokens": st.sampled_from(["inf", 1, 4096]),
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "turn_detection": st.sampled_from(
                            [None, {"type": "semantic_vad"}, {"type": "server_vad", "threshold": 0.9}]
                        ),
                        "transcription": st.sampled_from([None, {"model": "a"}, {"language": "de"}]),
                    },
                ),
                "output": st.fixed_dictionaries({}, optional={"speed": st.floats(0.25, 1.5)}),
            },
        ),
    },
)


@given(UPDATES, UPDATES)
def test_merging_twice_is_merging_once_and_leaves_the_rest_alone(first: dict[str, Any], second: dict[str, Any]) -> None:
    before = SessionConfig.default().merged(first)
    after = before.merged(second)
    assert after.merged(second) == after
    untouched = set(shown(before)) - set(second)
    assert {key: shown(after)[key] for key in untouched} == {key: shown(before)[key] for key in untouched}
    assert shown(SessionConfig.default().merged(parse_session(first))) == shown(before)
