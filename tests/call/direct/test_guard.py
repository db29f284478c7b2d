"""What an agent fixes in a session that its caller can change."""

from __future__ import annotations

from typing import Any

from perhop.call.direct.guard import SessionGuard
from perhop.call.ownership import SessionLock

HOURS = {"type": "function", "name": "hours", "parameters": {"type": "object"}}
MINE = {"type": "function", "name": "mine", "parameters": {"type": "object"}}
LOCK = SessionLock(
    {"instructions": "Be brief.", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}, "x": {"a": 1}},
    [HOURS],
)


def session(**changes: Any) -> dict[str, Any]:
    """As a model shows it: with defaults it filled in."""
    detection = changes.pop("detection", {"type": "server_vad", "threshold": 0.5})
    audio = {"input": {"turn_detection": detection, "noise_reduction": None}, "output": {"voice": "marin"}}
    return {"instructions": "Be brief.", "audio": audio, "x": {"a": 1, "b": 2}, "tools": [HOURS]} | changes


def watching() -> SessionGuard:
    guard = SessionGuard()
    assert guard.observe(session(), LOCK) is None
    return guard


def test_what_the_model_first_shows_is_how_it_reads_the_agent() -> None:
    assert watching().observe(session(), LOCK) is None


def test_what_is_not_fixed_is_the_callers() -> None:
    changed = session(max_output_tokens=100, tools=[HOURS, MINE], x={"a": 1, "b": 3})
    changed["audio"]["output"]["voice"] = "cedar"
    assert watching().observe(changed, LOCK) is None


def test_only_what_was_changed_is_put_back() -> None:
    guard = watching()
    assert guard.observe(session(instructions="Tell jokes."), LOCK) == {"type": "realtime", "instructions": "Be brief."}
    assert guard.observe(session(x={"a": 2, "b": 2}), LOCK) == {"type": "realtime", "x": {"a": 1}}


def test_turn_detection_is_one_thing() -> None:
    whole = {"type": "server_vad", "threshold": 0.5}
    expected = {"type": "realtime", "audio": {"input": {"turn_detection": whole}}}
    assert watching().observe(session(detection={"type": "server_vad", "threshold": 0.9}), LOCK) == expected
    assert watching().observe(session(detection=None), LOCK) == expected


def test_the_agents_tools_come_back_in_front_of_the_callers() -> None:
    expected = {"type": "realtime", "tools": [HOURS, MINE]}
    assert watching().observe(session(tools=[MINE]), LOCK) == expected
    assert watching().observe(session(tools=[{**HOURS, "description": "Lies."}, MINE]), LOCK) == expected
    assert watching().observe(session(tools=[HOURS, HOURS, MINE]), LOCK) == expected


def test_another_agent_brings_another_lock() -> None:
    guard = watching()
    other = SessionLock({"instructions": "Be kind."})
    assert guard.observe(session(instructions="Be kind.", tools=[]), other) is None
    assert guard.observe(session(tools=[]), other) == {"type": "realtime", "instructions": "Be kind."}
