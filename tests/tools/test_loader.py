from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from perhop.errors import PerhopError
from perhop.tools.errors import ToolDefinitionError, ToolLoadError
from perhop.tools.loader import ToolLoader
from perhop.tools.tool import FunctionTool

TOOL = '''
from perhop import tool
from .data import CITIES

@tool(effect="none")
def cities() -> list[str]:
    """Lists cities."""
    return CITIES

def plain(city: str) -> str:
    """A plain function."""
    return city

def untyped(city):
    return city

NUMBER = 7
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    agent = tmp_path / "agents" / "homes"
    agent.mkdir(parents=True)
    (agent / "tools.py").write_text(TOOL)
    (agent / "data.py").write_text('CITIES = ["Oakland"]\n')
    return tmp_path


def test_a_reference_finds_the_file_beside_the_configuration(folder: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    found = ToolLoader(folder).load("agents.homes.tools:cities")
    assert isinstance(found, FunctionTool)
    assert found() == ["Oakland"]
    assert sys.path == path
    assert all(name.startswith("_perhop_") for name in set(sys.modules) - modules)


def test_loading_twice_gives_the_same_tool(folder: Path) -> None:
    assert ToolLoader(folder).load("agents.homes.tools:cities") is ToolLoader(folder).load("agents.homes.tools:cities")


def test_two_folders_with_the_same_module_names_stay_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tools.py").write_text(f'def which() -> str:\n    return "{name}"\n')
    found = [ToolLoader(tmp_path / name).load("tools:which") for name in ("a", "b")]
    assert [tool() for tool in found if isinstance(tool, FunctionTool)] == ["a", "b"]


def test_a_folder_with_an_init_is_an_ordinary_package(folder: Path) -> None:
    (folder / "agents" / "homes" / "__init__.py").write_text("from .tools import cities\n")
    assert ToolLoader(folder).load("agents.homes:cities").name == "cities"


def test_a_plain_function_becomes_a_tool_with_the_safe_defaults(folder: Path) -> None:
    found = ToolLoader(folder).load("agents.homes.tools:plain")
    assert (found.description, found.effect) == ("A plain function.", "once")


def test_installed_modules_are_found_with_and_without_a_folder(folder: Path) -> None:
    for loader in (ToolLoader(folder), ToolLoader()):
        assert loader.load("tests.tools.test_tool:search").name == "search"


def write(folder: Path, text: str) -> str:
    (folder / "bad.py").write_text(text)
    return "bad:f"


@pytest.mark.parametrize(
    "reference", ["", "tools", "tools:", ":f", "tools:a.b", "tools.py:f", "../tools:f", "a b:f", ".x:f"]
)
def test_malformed_references_show_how_to_write_one(reference: str) -> None:
    with pytest.raises(ToolLoadError, match=f'{re.escape(repr(reference))}: write it as "module:function"'):
        ToolLoader().load(reference)


def test_a_missing_module_says_where_was_looked(folder: Path) -> None:
    with pytest.raises(ToolLoadError, match=f"module agents.nothing is not in {re.escape(str(folder))} and not inst"):
        ToolLoader(folder).load("agents.nothing:f")
    with pytest.raises(ToolLoadError, match="module no_such_module is not installed"):
        ToolLoader().load("no_such_module:f")


def test_a_missing_function_says_which_tools_are_there(folder: Path) -> None:
    with pytest.raises(ToolLoadError, match=r"no city in agents\.homes\.tools .*tools there: cities"):
        ToolLoader(folder).load("agents.homes.tools:city")


def test_what_is_no_function_is_named_by_its_kind(folder: Path) -> None:
    with pytest.raises(ToolLoadError, match=r"NUMBER in .* is a int, no tool"):
        ToolLoader(folder).load("agents.homes.tools:NUMBER")


def test_a_function_that_cannot_be_a_tool_is_a_definition_error(folder: Path) -> None:
    with pytest.raises(ToolDefinitionError, match="parameter 'city' needs a type hint"):
        ToolLoader(folder).load("agents.homes.tools:untyped")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "import data",
            r"bad\.py imports data, which is not there; reach files of the same folder by a relative import",
        ),
        ("from .nothing import x", r"bad\.py imports nothing, which is not there"),
        ("def f(:", r"importing .*bad\.py failed: SyntaxError"),
        ("1 / 0", r"importing .*bad\.py failed: ZeroDivisionError: division by zero"),
        ("from perhop import tool\n@tool\ndef f(x): ...", r"bad\.py: tool function f: parameter 'x' needs a type hint"),
    ],
)
def test_a_module_that_does_not_import_says_why(folder: Path, text: str, says: str) -> None:
    with pytest.raises(PerhopError, match=says):
        ToolLoader(folder).load(write(folder, text))
