"""``perhop agents import`` and ``export``: what goes out comes in again."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.generated import catalogue
from typer.testing import CliRunner, Result

from perhop.cli.root import app
from perhop.config import Settings
from perhop.errors import PerhopError
from perhop.registry import DefinitionError, Entry, FileOnlyError
from perhop.registry.definitions import body_of_agent, parse_agent
from perhop.registry.files import read_files, write


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def perhop(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["agents", *arguments])


AGENT = '[[agents]]\nname = "desk"\nvoice = "cedar"\ntools = ["find"]\n'
TOOL = '[tools.find]\nkind = "bus"\ndescription = "Finds."\n'


@pytest.mark.parametrize("form", ["toml", "json"])
def test_what_is_exported_is_imported_as_it_was(tmp_path: Path, form: str) -> None:
    tmp_path.joinpath("all.json").write_text(json.dumps(catalogue()))
    assert perhop("import", "all.json").exit_code == 0
    first = perhop("export", "--format", form).stdout
    tmp_path.joinpath(f"first.{form}").write_text(first)
    assert perhop("import", f"first.{form}", "--tenant", "acme").exit_code == 0
    assert perhop("export", "--format", form, "--tenant", "acme").stdout == first
    found = tomllib.loads(first) if form == "toml" else json.loads(first)
    assert (len(found["agents"]), len(found["tools"])) == (37, 45)


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    tmp_path.joinpath("a.toml").write_text(AGENT + TOOL)
    tmp_path.joinpath("b.toml").write_text(AGENT.replace("cedar", "marin") + TOOL)
    assert "agent desk: written" in perhop("import", "a.toml").stderr
    kept = perhop("import", "b.toml")
    assert "agent desk: differs" in kept.stderr
    assert "cedar" in perhop("export").stdout
    perhop("import", "b.toml", "--replace")
    assert "marin" in perhop("export").stdout
    assert "2 were there already" in perhop("import", "b.toml", "--replace").stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AGENT, "no such table"),
        (TOOL + '[[agents]]\nname = "x"\ntools = ["os:system"]\n', "Python function"),
        (
            TOOL + '[tools.run]\nkind = "mcp"\ncommand = ["sh"]\n',
            "tools.run: an MCP server that is started as a program",
        ),
        (TOOL + '[[agents]]\nname = "x"\nvoise = "cedar"\n', r"agents\[0\].voise: unknown field"),
        (TOOL + TOOL, "not valid TOML"),
        (AGENT + AGENT + TOOL, "the agent 'desk' is defined twice"),
        ("agent = 1\n", "agent: unknown table"),
        ("agents = 1\n", "agents: has to be a list"),
        ("[[agents]]\nname = 1\n", "has to be a table with a name"),
    ],
)
def test_a_file_that_is_wrong_changes_nothing_and_says_where(tmp_path: Path, text: str, message: str) -> None:
    tmp_path.joinpath("wrong.toml").write_text(text)
    result = perhop("import", "wrong.toml")
    assert isinstance(result.exception, PerhopError)
    with pytest.raises(PerhopError, match=message):
        raise result.exception
    assert tomllib.loads(perhop("export").stdout) == {"agents": [], "tools": {}}


def test_a_whole_settings_file_can_be_imported_with_what_stays_in_it(tmp_path: Path) -> None:
    file = tmp_path / "perhop.toml"
    file.write_text(f'[server]\nport = 0\n{AGENT}{TOOL}[tools.own]\nkind = "mcp"\ncommand = ["program"]\n')
    assert perhop("import", "perhop.toml").exit_code == 0
    assert list(tomllib.loads(perhop("export").stdout)["tools"]) == ["find"]
    tmp_path.joinpath("other.toml").write_text('[tools.own]\nkind = "mcp"\ncommand = ["another"]\n')
    with pytest.raises(FileOnlyError):
        read_files([tmp_path / "other.toml"], Settings())


def test_what_was_deleted_comes_back_when_it_is_imported(tmp_path: Path) -> None:
    import asyncio

    from perhop.config import StoreSettings
    from perhop.registry.store import RegistryStore
    from perhop.store import Database

    tmp_path.joinpath("a.toml").write_text(AGENT + TOOL)
    perhop("import", "a.toml")

    async def delete() -> None:
        db = await Database.open(StoreSettings())
        async with RegistryStore(db).change("test") as change:
            await change.put("default", "agent", "desk", None)
        await db.close()

    asyncio.run(delete())
    assert tomllib.loads(perhop("export").stdout)["agents"] == []
    assert "agent desk: written" in perhop("import", "a.toml").stderr


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DefinitionError, match="cannot be read"):
        read_files([tmp_path / "nowhere.toml"], Settings())
    with pytest.raises(DefinitionError, match="no text in UTF-8"):
        read_files([tmp_path / "binary.toml"], Settings())


def test_null_in_a_session_needs_json() -> None:
    agent = parse_agent("echo", {"session": {"audio": {"input": {"turn_detection": None}}}})
    entry = _entry(body_of_agent(agent))
    with pytest.raises(DefinitionError, match="--format json"):
        write([entry], form="toml")
    assert json.loads(write([entry], form="json"))["agents"][0]["session"] == agent.session


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(title=_TEXT, instructions=_TEXT, privacy=st.dictionaries(_TEXT, st.lists(_TEXT, max_size=3), max_size=3))
def test_any_text_survives_the_way_through_a_file(
    tmp_path_factory: pytest.TempPathFactory, title: str, instructions: str, privacy: dict[str, list[str]]
) -> None:
    agent = parse_agent("desk", {"title": title, "instructions": instructions, "privacy": privacy})
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(write([_entry(body_of_agent(agent))], form="toml").encode())
    assert read_files([file], Settings()).agents == (agent,)


def _entry(body: str) -> Entry:
    from datetime import UTC, datetime

    return Entry("default", "agent", "desk", 1, body, datetime.now(UTC), "test")
