"""What an agent fixes stays fixed; everything else is the client's."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perhop.call.ownership import SessionLock, turn_detection

AGENT = {
    "instructions": "Be kind.",
    "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}, "output": {"voice": "sage"}},
}
TOOL = {"type": "function", "name": "search", "parameters": {}}


def test_locked_fields_are_taken_out_of_an_update() -> None:
    update = {"type": "realtime", "instructions": "Be rude.", "audio": {"output": {"voice": "ash", "speed": 1.2}}}
    assert SessionLock(AGENT).apply(update) == {"type": "realtime", "audio": {"output": {"speed": 1.2}}}


def test_turn_detection_is_locked_as_a_whole_so_that_no_half_of_the_clients_remains() -> None:
    update = {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.9}}}}
    assert SessionLock(AGENT).apply(update) == {}


def test_a_client_cannot_switch_a_locked_object_off() -> None:
    assert SessionLock(AGENT).apply({"audio": {"input": {"turn_detection": None}}}) == {}
    assert SessionLock(AGENT).apply({"audio": None}) == {}


def test_tools_of_the_client_join_those_of_the_agent() -> None:
    mine = {"type": "function", "name": "mine", "parameters": {}}
    assert SessionLock({}, [TOOL]).apply({"tools": [mine]}) == {"tools": [TOOL, mine]}


def test_a_client_cannot_take_the_name_of_an_agents_tool() -> None:
    impostor = {**TOOL, "description": "not the agent's"}
    assert SessionLock({}, [TOOL]).apply({"tools": [impostor]}) == {"tools": [TOOL]}


def test_a_client_cannot_take_the_agents_tools_away() -> None:
    assert SessionLock({}, [TOOL]).apply({"tools": []}) == {"tools": [TOOL]}
    assert SessionLock({}, [TOOL]).apply({"tools": None}) == {"tools": [TOOL]}


def test_without_an_agent_everything_is_the_clients() -> None:
    update = {"type": "realtime", "instructions": "x", "tools": [TOOL], "audio": {"output": {"voice": "ash"}}}
    assert SessionLock({}).apply(update) == update


def test_turn_detection_is_found_or_absent_but_never_an_error() -> None:
    assert turn_detection(AGENT) == {"type": "semantic_vad"}
    assert turn_detection({}) is None
    assert turn_detection({"audio": {"input": None}}) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)
json_objects = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


def paths(value: Any, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every path to something that is not a further object."""
    if isinstance(value, dict) and value:
        return {path for key, inner in value.items() for path in paths(inner, (*at, key))}
    return {at}


@given(fixed=json_objects, update=json_objects)
def test_no_update_reaches_a_fixed_field(fixed: dict[str, Any], update: dict[str, Any]) -> None:
    left = SessionLock(fixed).apply(update)
    if fixed and left:
        assert not paths(fixed) & paths(left)
    for key in update:
        assert (key in left) or (key in fixed)
