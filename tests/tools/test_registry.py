from __future__ import annotations

from pathlib import Path

import pytest

from perhop.tools.errors import ToolConflictError, ToolLoadError, UnknownToolError
from perhop.tools.registry import ToolRegistry
from perhop.tools.tool import tool


@tool
def search() -> None: ...


@tool(name="search")
def other_search() -> None: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("homes", "desk"):
        (tmp_path / f"{name}.py").write_text(
            f"def open_{name}() -> None: ...\ndef hours() -> str:\n    return '{name}'\n"
        )
    return tmp_path


def test_an_agents_tools_come_by_name_in_the_order_given(folder: Path) -> None:
    registry = ToolRegistry(folder=folder)
    assert list(registry.load_all(["homes:open_homes", "homes:hours"])) == ["open_homes", "hours"]
    assert registry.names() == ["open_homes", "hours"]


def test_agents_may_share_a_tool(folder: Path) -> None:
    registry = ToolRegistry(folder=folder)
    first, second = registry.load_all(["homes:hours"]), registry.load_all(["homes:hours", "homes:open_homes"])
    assert first["hours"] is second["hours"] is registry.get("hours")


def test_two_tools_of_one_name_are_a_conflict_that_names_both(folder: Path) -> None:
    registry = ToolRegistry(folder=folder)
    registry.load("homes:hours")
    with pytest.raises(ToolConflictError, match=r"two tools are named 'hours': homes:hours and desk:hours; give one"):
        registry.load("desk:hours")
    assert registry.get("hours") is registry.load("homes:hours"), "the first stays"


def test_tenants_have_names_of_their_own(folder: Path) -> None:
    registry = ToolRegistry(folder=folder)
    mine, theirs = registry.load("homes:hours", tenant="a"), registry.load("desk:hours", tenant="b")
    assert (registry.get("hours", tenant="a"), registry.get("hours", tenant="b")) == (mine, theirs)
    assert registry.names() == []


def test_tools_can_be_added_directly() -> None:
    registry = ToolRegistry()
    registry.add(search)
    registry.add(search)
    assert registry.get("search") is search
    with pytest.raises(ToolConflictError, match="two tools are named 'search'"):
        registry.add(other_search)


def test_an_unknown_name_says_which_there_are() -> None:
    registry = ToolRegistry()
    with pytest.raises(UnknownToolError, match="unknown tool 'book'; known tools: none"):
        registry.get("book")
    registry.add(search)
    with pytest.raises(UnknownToolError, match="known tools: search"):
        registry.get("book")
    with pytest.raises(UnknownToolError, match="known tools: none"):
        registry.get("search", tenant="other")


def test_a_reference_that_leads_nowhere_adds_nothing() -> None:
    registry = ToolRegistry()
    with pytest.raises(ToolLoadError):
        registry.load("no_such_module:f")
    assert registry.names() == []
