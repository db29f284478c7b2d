"""Whatever a definition holds, it is one or it is refused; and what is stored is read as it was."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.config import AgentSettings
from perhop.registry import DefinitionError
from perhop.registry.definitions import body_of_agent, body_of_tool, parse_agent, parse_tool

_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_TOOL_FIELDS = st.sampled_from(
    ["kind", "description", "url", "parameters", "headers", "command", "does", "targets", "tool", "body", "effect"]
)


@given(st.dictionaries(st.sampled_from(list(AgentSettings.model_fields)), _ANY, max_size=4))
def test_any_agent_is_stored_as_it_is_or_refused(definition: dict[str, Any]) -> None:
    try:
        agent = parse_agent("desk", definition)
        body = body_of_agent(agent)
    except DefinitionError as error:
        assert str(error)
        return
    assert parse_agent("desk", orjson.loads(body)) == agent


@given(
    st.sampled_from(["http", "bus", "mcp", "builtin", "python"]),
    st.dictionaries(_TOOL_FIELDS, _ANY, max_size=4),
    st.booleans(),
)
def test_any_tool_is_stored_as_it_is_or_refused(kind: str, definition: dict[str, Any], described: bool) -> None:
    likely = {"kind": kind, "url": "https://a.example/", **({"description": "X."} if described else {})}
    try:
        tool = parse_tool({**likely, **definition})
        body = body_of_tool(tool)
    except DefinitionError as error:
        assert str(error)
        return
    assert parse_tool(orjson.loads(body)) == tool


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**70, "\ud800"])
def test_what_json_cannot_express_is_refused(value: object) -> None:
    agent = parse_agent("desk", {"session": {"x": value}})
    with pytest.raises(DefinitionError, match="cannot be expressed as JSON"):
        body_of_agent(agent)


@pytest.mark.parametrize("depth", [254, 300, 5000])
def test_what_is_nested_too_deeply_is_refused(depth: int) -> None:
    nested: dict[str, Any] = {}
    for _ in range(depth):
        nested = {"a": nested}
    with pytest.raises(DefinitionError, match="nested too deeply"):
        body_of_agent(parse_agent("desk", {"session": nested}))
    with pytest.raises(DefinitionError, match="nested too deeply"):
        body_of_tool(parse_tool({"kind": "bus", "description": "X.", "parameters": nested}))


def test_no_message_repeats_a_value() -> None:
    with pytest.raises(DefinitionError) as refused:
        parse_tool({"kind": "http", "url": "https://a.example", "headers": {"A": {"s3cret": "s3cret"}}})
    assert "s3cret" not in str(refused.value).replace("headers.A", "")
