"""Agents and tools in the database: seeded, changed, kept apart, and used at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from tests.registry.conftest import OpenRegistry

from perhop.call.agents import UnknownAgentError
from perhop.config import AgentSettings
from perhop.config.registry import SecretSettings
from perhop.config.tools import ToolSettings
from perhop.errors import PerhopError
from perhop.registry import (
    DefinitionError,
    EntryConflictError,
    EntryInUseError,
    FileOnlyError,
    RegistryError,
    UnknownEntryError,
)
from perhop.registry.definitions import parse_agent, parse_tool
from perhop.store import Database

FIND = {"kind": "bus", "description": "Finds.", "parameters": {"properties": {"id": {"type": "string"}}}}
FILE: dict[str, Any] = {
    "agents": [
        {"name": "zoe", "instructions": "Be brief.", "tools": ["find"]},
        {"name": "adam", "voice": "cedar", "languages": ["en", "de-CH"]},
    ],
    "tools": {"find": FIND},
}
ME: dict[str, Any] = {"tenant": "default", "author": "key me"}


def agent(name: str = "desk", **fields: Any) -> AgentSettings:
    return parse_agent(name, fields)


def tool(**fields: Any) -> ToolSettings:
    return parse_tool({**FIND, **fields})


async def test_what_the_file_has_is_there_at_the_first_start(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    assert registry.names() == ["zoe", "adam"]
    assert registry.get("zoe").fixed["instructions"] == "Be brief."
    assert list(registry.get("zoe").tools) == ["find"]
    assert registry.get("adam").languages == ("en", "de-CH")
    entry = await registry.store.get("default", "agent", "zoe")
    assert (entry.version, entry.changed_by) == (1, "settings")


async def test_the_file_does_not_overwrite_what_was_changed(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    await registry.put_agent(agent("zoe", instructions="Be kind."), **ME)
    again = await open_(**FILE)
    assert again.get("zoe").fixed["instructions"] == "Be kind."
    assert again.names() == ["zoe", "adam"]


async def test_the_file_does_not_bring_back_what_was_deleted(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    await registry.delete("agent", "zoe", **ME)
    assert (await open_(**FILE)).names() == ["adam"]


async def test_the_file_wins_where_the_settings_say_so(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    await registry.put_agent(agent("zoe", instructions="Be kind."), **ME)
    again = await open_(**FILE, registry={"seed": "replace"})
    assert again.get("zoe").fixed["instructions"] == "Be brief."


async def test_a_change_is_in_use_when_it_is_made_and_who_holds_the_old_agent_keeps_it(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    old = registry.get("zoe")
    entry = await registry.put_agent(agent("zoe", instructions="Be kind.", tools=["find"]), **ME)
    assert entry.version == 2
    assert registry.get("zoe").fixed["instructions"] == "Be kind."
    assert old.fixed["instructions"] == "Be brief."


async def test_other_processes_see_a_change_without_being_asked(open_: OpenRegistry) -> None:
    here = await open_(**FILE)
    there = await open_(**FILE, registry={"poll_s": 0.01})
    seen = asyncio.Event()
    there.on_change(seen.set)
    await here.put_agent(agent("zoe", instructions="Be kind."), **ME)
    await asyncio.wait_for(seen.wait(), 10)
    assert there.get("zoe").fixed["instructions"] == "Be kind."


async def test_processes_that_start_at_once_write_the_file_once(open_: OpenRegistry) -> None:
    registries = await asyncio.gather(*(open_(**FILE) for _ in range(4)))
    versions = await registries[0].store.versions("default", "agent", "zoe", limit=10)
    assert [entry.version for entry in versions] == [1]


async def test_every_version_is_kept_with_who_made_it(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    await registry.put_agent(agent("zoe", instructions="Be kind."), tenant="default", author="key ann")
    await registry.delete("agent", "zoe", tenant="default", author="key bob")
    await registry.put_agent(agent("zoe"), tenant="default", author="import")
    versions = await registry.store.versions("default", "agent", "zoe", limit=10)
    assert [(entry.version, entry.changed_by, entry.body is None) for entry in versions] == [
        (4, "import", False),
        (3, "key bob", True),
        (2, "key ann", False),
        (1, "settings", False),
    ]
    assert "Be brief." in str((await registry.store.version("default", "agent", "zoe", 1)).body)


async def test_only_so_many_versions_are_kept(open_: OpenRegistry) -> None:
    registry = await open_(registry={"keep_versions": 2})
    for number in range(4):
        await registry.put_agent(agent(title=str(number)), **ME)
    versions = await registry.store.versions("default", "agent", "desk", limit=10)
    assert [entry.version for entry in versions] == [4, 3]


async def test_what_says_the_same_is_no_new_version(open_: OpenRegistry) -> None:
    registry = await open_()
    first = await registry.put_agent(agent(title="Desk", voice="cedar"), **ME)
    second = await registry.put_agent(agent(voice="cedar", title="Desk"), **ME)
    assert (first.version, second.version) == (1, 1)


async def test_of_many_who_change_the_same_version_one_wins(open_: OpenRegistry) -> None:
    one, two = await open_(), await open_()
    await one.put_agent(agent(), **ME)

    async def change(number: int) -> bool:
        registry = (one, two)[number % 2]
        try:
            await registry.put_agent(agent(title=str(number)), **ME, expected=1)
        except EntryConflictError as error:
            assert error.current == 2
            return False
        return True

    assert sum(await asyncio.gather(*(change(number) for number in range(8)))) == 1


async def test_tenants_are_apart(open_: OpenRegistry) -> None:
    registry = await open_()
    await registry.put_tool("find", tool(), tenant="acme", author="key a")
    await registry.put_agent(agent(tools=["find"]), tenant="acme", author="key a")
    await registry.put_agent(agent(title="Ours"), **ME)
    assert registry.get("desk", tenant="acme").title == "desk"
    assert registry.get("desk").title == "Ours"
    assert registry.find("find", tenant="acme").name == "find"
    with pytest.raises(PerhopError, match="unknown tool 'find'"):
        registry.find("find")
    with pytest.raises(UnknownAgentError, match="known agents: none"):
        registry.get("desk", tenant="nobody")
    with pytest.raises(DefinitionError, match="no such table"):
        await registry.put_agent(agent("other", tools=["find"]), **ME)


async def test_every_tenant_with_a_key_is_given_the_file_unless_told_otherwise(open_: OpenRegistry) -> None:
    keys = [{"name": "a", "tenant": "acme", "hash": "sha256:" + "0" * 64}]
    assert (await open_(**FILE, keys=keys)).names(tenant="acme") == ["zoe", "adam"]


async def test_only_tenants_that_are_named_are_given_the_file(open_: OpenRegistry) -> None:
    keys = [{"name": "a", "tenant": "acme", "hash": "sha256:" + "0" * 64}]
    registry = await open_(**FILE, keys=keys, registry={"tenants": ["default"]})
    assert (registry.names(tenant="acme"), registry.names()) == ([], ["zoe", "adam"])


@pytest.mark.parametrize(
    ("definition", "error", "message"),
    [
        ({"model": "gpt"}, DefinitionError, "there is no model 'gpt'; there are: local, echo"),
        ({"tools": ["nowhere"]}, DefinitionError, "no such table"),
        ({"tools": ["os:system"]}, FileOnlyError, "is a Python function that the settings file does not name"),
        ({"tools": ["builtin:explode"]}, DefinitionError, "the built-in tools are"),
    ],
)
async def test_an_agent_that_cannot_work_is_refused_and_nothing_is_written(
    open_: OpenRegistry, definition: dict[str, Any], error: type[PerhopError], message: str
) -> None:
    registry = await open_()
    with pytest.raises(error, match=message):
        await registry.put_agent(agent(**definition), **ME)
    assert await registry.store.all("default") == []


async def test_functions_are_those_of_the_file_and_those_it_lists(open_: OpenRegistry, tmp_path: Path) -> None:
    tmp_path.joinpath("mine.py").write_text(
        'def find(what: str) -> str:\n    """Finds."""\n    return what\n\n'
        'def book(what: str) -> str:\n    """Books."""\n    return what\n'
    )
    tmp_path.joinpath("others.py").write_text('def pay(what: str) -> str:\n    """Pays."""\n    return what\n')
    registry = await open_(
        file=tmp_path / "perhop.toml",
        agents=[{"name": "desk", "tools": ["mine:find"]}],
        registry={"functions": ["others:*"]},
    )
    await registry.put_agent(agent("second", tools=["mine:find", "others:pay"]), **ME)
    assert list(registry.get("second").tools) == ["find", "pay"]
    with pytest.raises(FileOnlyError, match="mine:book"):
        await registry.put_agent(agent("third", tools=["mine:book"]), **ME)


async def test_a_function_in_the_database_that_no_file_names_is_not_imported(
    open_: OpenRegistry, tables: Database, tmp_path: Path
) -> None:
    tmp_path.joinpath("evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f() -> None:\n    '''F.'''\n")
    registry = await open_(file=tmp_path / "perhop.toml")
    await registry.put_agent(agent(), **ME)
    async with tables.session() as session:
        await session.execute(text('UPDATE registry_entries SET body = \'{"tools": ["evil:f"]}\''))
    again = await open_(file=tmp_path / "perhop.toml")
    assert again.names() == []
    assert "evil:f" in str(again.problem("agent", "desk"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"kind": "mcp", "command": ["sh", "-c", "true"]}, "started as a program"),
        (
            {"kind": "http", "openapi": "/etc/passwd", "operation": "x"},
            "reads a file",
        ),
        (
            {"kind": "http", "description": "X.", "url": "https://a.example", "headers": {"Authorization": "Bearer x"}},
            "credentials in its headers.*secret:name",
        ),
    ],
)
async def test_what_belongs_into_files_is_refused(
    open_: OpenRegistry, definition: dict[str, Any], message: str
) -> None:
    registry = await open_()
    with pytest.raises(FileOnlyError, match=message):
        await registry.put_tool("x", parse_tool(definition), **ME)
    assert await registry.store.all("default") == []


async def test_a_tool_of_the_file_is_for_all_agents_and_changed_only_there(open_: OpenRegistry) -> None:
    secret = {"kind": "http", "description": "X.", "url": "https://a.example/", "headers": {"X-Key": "s3cret"}}
    registry = await open_(tools={"x": secret})
    await registry.put_agent(agent(tools=["x"]), **ME)
    assert list(registry.get("desk").tools) == ["x"]
    with pytest.raises(FileOnlyError, match="defined in the settings file"):
        await registry.put_tool("x", tool(), **ME)
    with pytest.raises(FileOnlyError, match="defined in the settings file"):
        await registry.delete("tool", "x", **ME)
    assert "s3cret" not in str(await registry.store.all("default"))


SECRETS = {"crm": {"value": "t0p", "hosts": ["crm.example"]}}


def with_secret(host: str = "crm.example", name: str = "crm", scheme: str = "https") -> ToolSettings:
    return parse_tool(
        {
            "kind": "http",
            "description": "X.",
            "url": f"{scheme}://{host}/",
            "headers": {"Authorization": f"Bearer {{secret:{name}}}"},
        }
    )


async def test_a_tool_sends_the_secret_it_names(open_: OpenRegistry) -> None:
    from perhop.tools.base import ToolContext
    from perhop.tools.kinds.http import HttpTool

    registry = await open_(secrets=SECRETS)
    await registry.put_tool("x", with_secret(), **ME)
    await registry.put_agent(agent(tools=["x"]), **ME)
    made = registry.get("desk").tools["x"]
    assert isinstance(made, HttpTool)
    request = made.prepare({}, ToolContext(call_id="c", agent="a", tenant="default", function_call_id="f"))
    assert request.headers["Authorization"] == "Bearer t0p"
    assert "t0p" not in str(await registry.store.all("default"))


async def test_a_secret_goes_to_its_hosts_and_tenants_only(open_: OpenRegistry) -> None:
    registry = await open_(secrets=SECRETS)
    for host, scheme in (("evil.example", "https"), ("crm.example", "http"), ("crm.example:8443", "https")):
        with pytest.raises(DefinitionError, match="must not be sent to this scheme, host and port"):
            await registry.put_tool("x", with_secret(host, scheme=scheme), **ME)
    await registry.put_tool("x", with_secret("CRM.example:443"), **ME)
    with pytest.raises(DefinitionError, match="no secret 'other'"):
        await registry.put_tool("x", with_secret(name="other"), **ME)
    with pytest.raises(DefinitionError, match="no secret 'crm' for this tenant"):
        await registry.put_tool("x", with_secret(), tenant="acme", author="key a")


async def test_a_secret_may_be_for_another_port_or_scheme(open_: OpenRegistry) -> None:
    hosts = ["crm.example:8443", "http://crm.internal:8080", "[::1]"]
    registry = await open_(secrets={"crm": {"value": "t0p", "hosts": hosts}})
    for host, scheme in (("crm.example:8443", "https"), ("crm.internal:8080", "http"), ("[::1]", "https")):
        await registry.put_tool("x", with_secret(host, scheme=scheme), **ME)
    for host, scheme in (("crm.example", "https"), ("crm.example:8443", "http"), ("crm.internal:8080", "https")):
        with pytest.raises(DefinitionError, match="must not be sent"):
            await registry.put_tool("x", with_secret(host, scheme=scheme), **ME)


@pytest.mark.parametrize(
    "host", ["", "https://", "ftp://crm.example", "crm.example/path", "a@crm.example", "crm:99999"]
)
def test_a_host_of_a_secret_is_a_host(host: str) -> None:
    with pytest.raises(ValueError, match="must be like"):
        SecretSettings.model_validate({"value": "t0p", "hosts": [host]})


async def test_a_tool_that_agents_have_cannot_go(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    with pytest.raises(EntryInUseError, match="the agent 'zoe' could not be used any more"):
        await registry.delete("tool", "find", **ME)
    assert list(registry.get("zoe").tools) == ["find"]
    await registry.put_agent(agent("zoe"), **ME)
    await registry.delete("tool", "find", **ME)
    with pytest.raises(UnknownEntryError, match="there is no tool 'find'"):
        await registry.delete("tool", "find", **ME)


async def test_a_tool_with_a_wrong_schema_is_refused_although_no_agent_has_it(open_: OpenRegistry) -> None:
    registry = await open_()
    with pytest.raises(DefinitionError, match="no valid JSON Schema"):
        await registry.put_tool("find", tool(parameters={"properties": {"id": {"type": "strin"}}}), **ME)


async def test_what_did_not_change_stays_the_same_tool(open_: OpenRegistry) -> None:
    registry = await open_(**FILE)
    before = registry.get("zoe").tools["find"]
    await registry.put_agent(agent("other", tools=["find", "bus:offered"]), **ME)
    assert registry.get("zoe").tools["find"] is before
    assert registry.get("other").tools["find"] is before
    [offered] = registry.offered
    await registry.put_tool("find", tool(description="Finds more."), **ME)
    assert registry.get("zoe").tools["find"] is not before
    assert registry.get("zoe").tools["find"].description == "Finds more."
    assert list(registry.offered) == [offered]


async def test_a_session_that_the_protocol_does_not_know_is_refused(tables: Database) -> None:
    from perhop.call.agents import Agent
    from perhop.config import Settings
    from perhop.realtime.session import SessionConfig
    from perhop.registry.opening import open_registry

    def check(made: Agent) -> object:
        return SessionConfig.default(model="x", kind="realtime").merged({"type": "realtime", **made.fixed})

    registry = await open_registry(Settings(), tables, check=check)
    with pytest.raises(DefinitionError, match="turn_detection"):
        await registry.put_agent(agent(turn_detection={"type": "telepathy"}), **ME)
    await registry.close()


async def test_there_are_only_so_many_agents_names_of_deleted_ones_included(open_: OpenRegistry) -> None:
    registry = await open_(registry={"max_entries": 2})
    await registry.put_agent(agent("a"), **ME)
    await registry.put_agent(agent("b"), **ME)
    await registry.delete("agent", "b", **ME)
    with pytest.raises(RegistryError, match="max_entries"):
        await registry.put_agent(agent("c"), **ME)
    await registry.put_agent(agent("b"), **ME)


async def test_agents_stay_while_the_tables_cannot_be_read_and_changes_are_seen_afterwards(
    tables: Database, open_: OpenRegistry
) -> None:
    here = await open_(**FILE)
    there = await open_(**FILE, registry={"poll_s": 0.01})
    with structlog.testing.capture_logs() as logs:
        async with tables.session() as session:
            await session.execute(text("ALTER TABLE registry_entries RENAME TO elsewhere"))
        async with asyncio.timeout(10):
            while not any("cannot be read" in log["event"] for log in logs):  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.01)
    assert there.get("zoe").fixed["instructions"] == "Be brief."
    seen = asyncio.Event()
    there.on_change(seen.set)
    async with tables.session() as session:
        await session.execute(text("ALTER TABLE elsewhere RENAME TO registry_entries"))
    await here.put_agent(agent("zoe", instructions="Be kind."), **ME)
    await asyncio.wait_for(seen.wait(), 10)
    assert there.get("zoe").fixed["instructions"] == "Be kind."
