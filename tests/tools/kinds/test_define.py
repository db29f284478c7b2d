"""From settings to tools: tables, references, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.tools.kinds.test_openapi import DOCUMENT

from perhop.config import Settings, load_settings
from perhop.config.tools import ToolSettings
from perhop.tools.base import ToolContext
from perhop.tools.errors import ToolDefinitionError, ToolError, ToolLoadError
from perhop.tools.kinds.builtin import BuiltinTool, builtin
from perhop.tools.kinds.bus import BusTool
from perhop.tools.kinds.define import define
from perhop.tools.kinds.http import HttpTool
from perhop.tools.registry import ToolRegistry
from perhop.tools.runner import ToolRunner

TOML = """
[tools.find_contact]
kind = "http"
description = "Finds a contact."
url = "https://crm.example/contacts/{phone}"
headers = { Authorization = "Bearer s3cret" }
timeout_s = 4
fillers = ["Let me look that up."]
samples = ["find {phone}"]
[tools.find_contact.parameters]
properties = { phone = { type = "string" } }
required = ["phone"]

[tools.book]
kind = "bus"
description = "Books."
tool = "calendar.book"
[tools.book.parameters]
properties = { day = { type = "string" } }

[tools.connect]
kind = "builtin"
does = "transfer"
targets = { sales = "tel:+14155550100" }

[tools.rooms]
kind = "http"
openapi = "rooms.json"
operation = "book"

[[agents]]
name = "desk"
tools = ["find_contact", "book", "bus:book", "connect", "rooms", "builtin:hang_up", "bus:later"]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "perhop.toml"
    file.write_text(TOML)
    (tmp_path / "rooms.json").write_text(json.dumps(DOCUMENT))
    return load_settings(file)


def table(**fields: Any) -> Any:
    return TypeAdapter(ToolSettings).validate_python(fields)


def test_an_agent_has_the_tools_its_settings_name(settings: Settings) -> None:
    registry = ToolRegistry(folder=settings.base_dir, declared=settings.tools)
    tools = registry.load_all(settings.agents[0].tools)
    assert list(tools) == ["find_contact", "book", "connect", "rooms", "hang_up"]
    find, book, connect = tools["find_contact"], tools["book"], tools["connect"]
    assert isinstance(find, HttpTool)
    assert (find.effect, find.timeout_s, find.fillers) == ("none", 4, ("Let me look that up.",)), "a GET only looks"
    assert find.parameters["x-samples"] == ["find {phone}"]
    assert isinstance(book, BusTool)
    assert (book.effect, book.tool, book.idempotent) == ("once", "calendar.book", True)
    assert isinstance(connect, BuiltinTool)
    assert connect.parameters["properties"]["to"]["enum"] == ["sales"]
    assert "+14155550100" not in str(connect.to_function()), "a model sees names, never numbers"
    assert tools["rooms"].effect == "once"
    assert [offered.name for offered in registry.offered] == ["later"]


def test_secrets_are_shown_nowhere(settings: Settings) -> None:
    assert "s3cret" not in repr(settings)
    tools = ToolRegistry(folder=settings.base_dir, declared=settings.tools).load_all(["find_contact"])
    assert "s3cret" not in repr(tools["find_contact"])


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nothing", "no such table; there are: find_contact, book, connect, rooms"),
        ("builtin:explode", "the built-in tools are hang_up, transfer"),
        ("builtin:transfer", "name in targets where calls may go"),
        ("builtin:hand_off", "name in agents who may take over"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(settings: Settings, reference: str, says: str) -> None:
    registry = ToolRegistry(folder=settings.base_dir, declared=settings.tools)
    with pytest.raises((ToolLoadError, ToolDefinitionError), match=says):
        registry.load_all([reference])


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "http"},
        {"kind": "http", "url": "https://a.example"},
        {"kind": "http", "url": "https://a.example", "description": "x", "openapi": "a.json"},
        {"kind": "http", "openapi": "a.json", "operation": "x", "query": {"a": "b"}},
        {"kind": "bus"},
        {"kind": "mcp"},
        {"kind": "mcp", "url": "https://a.example", "command": ["x"]},
        {"kind": "mcp", "command": []},
        {"kind": "mcp", "command": ["x"], "headers": {"a": "b"}},
        {"kind": "mcp", "url": "https://a.example", "env": {"a": "b"}},
        {"kind": "builtin", "does": "explode"},
        {"kind": "builtin", "does": "transfer", "targets": {"sales": "14155550100"}},
        {"kind": "builtin", "does": "transfer", "targets": {"sales": "sip:a b"}},
        {"kind": "sql"},
        {"kind": "bus", "description": "x", "timeout_s": 0},
        {"kind": "bus", "description": "x", "fillers": ['say "this"']},
        {"kind": "bus", "description": "x", "colour": "red"},
    ],
)
def test_a_table_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        table(**fields)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "no OpenAPI document"), ("{}", "no operation 'book'")],
)
def test_a_document_that_is_none_is_told(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "rooms.json").write_text(content)
    with pytest.raises(ToolDefinitionError, match=says):
        define("rooms", table(kind="http", openapi="rooms.json", operation="book"), folder=tmp_path)


def test_what_a_table_says_goes_before_what_the_kind_says() -> None:
    tool = define("look", table(kind="http", url="https://a.example/", description="x", effect="once", retries=0))
    assert (tool.effect, tool.retries) == ("once", 0)
    leave = define("bye", table(kind="builtin", does="hang_up", description="Ends it.", samples=["cheerio"]))
    assert (leave.name, leave.description, leave.effect) == ("bye", "Ends it.", "none")
    assert leave.parameters["x-samples"] == ["cheerio"]


class Call:
    """What built-in tools did to a call."""

    def __init__(self) -> None:
        self.did: list[str] = []

    async def hang_up(self) -> None:
        self.did.append("hang_up")

    async def transfer(self, target: str) -> None:
        if target.startswith("sip:"):
            raise ToolError("Busy.")
        self.did.append(f"transfer {target}")

    async def hand_off(self, agent: str) -> None:
        self.did.append(f"hand_off {agent}")

    async def send_dtmf(self, digits: str) -> None:
        self.did.append(f"send_dtmf {digits}")


@pytest.mark.parametrize(
    ("tool", "arguments", "did"),
    [
        (builtin("hang_up"), "{}", "hang_up"),
        (builtin("transfer", targets={"sales": "tel:+1415"}), '{"to":"sales"}', "transfer tel:+1415"),
        (builtin("hand_off", agents=["billing"]), '{"to":"billing"}', "hand_off billing"),
        (builtin("send_dtmf"), '{"digits":"1w2#"}', "send_dtmf 1w2#"),
    ],
)
async def test_built_in_tools_act_on_the_call(tool: BuiltinTool, arguments: str, did: str) -> None:
    call = Call()
    context = ToolContext(call_id="rtc_1", agent="a", tenant="t", function_call_id="c", control=call)
    result = await ToolRunner().run(tool, arguments, context)
    assert result.ok
    assert call.did == [did]


async def test_a_call_that_cannot_says_why() -> None:
    context = ToolContext(call_id="rtc_1", agent="a", tenant="t", function_call_id="c", control=Call())
    result = await ToolRunner().run(builtin("transfer", targets={"x": "sip:x@y"}), '{"to":"x"}', context)
    assert json.loads(result.output)["error"] == {"code": "tool_failed", "message": "Busy."}
    without = ToolContext(call_id="rtc_1", agent="a", tenant="t", function_call_id="c")
    assert (await ToolRunner().run(builtin("hang_up"), "{}", without)).code == "tool_failed"
