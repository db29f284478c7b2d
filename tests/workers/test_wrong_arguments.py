"""Every tool of every worker refuses twenty kinds of wrong arguments with a message, and nothing of it is run."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perhop.config import Settings
from perhop.store import Database
from perhop.tools import wire
from perhop.tools.base import ToolContext
from perhop.tools.bus import RemoteError, tool_subject
from perhop.tools.function import FunctionTool
from perhop.tools.guard import Guard
from perhop.workers.hosting import REFERENCE, make_worker
from perhop.workers.sdk import Worker
from perhop.workers.sdk.testing import WorkerBench, running

SETTINGS = Settings.model_validate({"workers": {"calendar": {"resources": [{"ids": ["desk"]}]}}})

RIGHT: dict[str, dict[str, Any]] = {
    "search_listings": {"bedrooms": 2, "city": "Oakland"},
    "listing_details": {"listing_id": "101"},
    "find_free_times": {"resource_id": "desk", "day": "2026-11-27"},
    "book_appointment": {"resource_id": "desk", "day": "2026-11-27", "time": "10:00"},
    "reschedule_appointment": {"booking_id": "12345678", "day": "2026-11-27", "time": "10:00"},
    "cancel_appointment": {"booking_id": "12345678"},
    "find_appointments": {"phone": "510 555 0134"},
    "export_calendar": {"resource_id": "desk", "first_day": "2026-11-01", "last_day": "2026-11-30"},
    "find_contact": {"phone": "510 555 0134"},
    "remember_contact": {"name": "Ann", "phone": "510 555 0134"},
    "create_lead": {"subject": "a house", "phone": "510 555 0134"},
    "add_note": {"contact_id": 1, "text": "calls on Mondays"},
    "send_message": {"phone": "510 555 0134", "text": "Hello"},
    "send_reminder": {"phone": "510 555 0134", "day": "2098-11-27", "time": "10:00"},
    "cancel_message": {"message_id": "0" * 64},
    "message_state": {"message_id": "0" * 64},
    "stop_messages": {"phone": "510 555 0134"},
    "read_transcript": {"call_id": "rtc_1"},
    "search_transcripts": {"words": "pear"},
    "forget_transcript": {"call_id": "rtc_1"},
    "audit_trail": {"call_id": "rtc_1"},
}
EARLIEST, LATEST = "0001-01-01", "9999-12-31"


def workers() -> Iterator[Worker]:
    for name in REFERENCE:
        yield make_worker(name, SETTINGS, Guard())


TOOLS = {tool: worker.name for worker in workers() for tool in worker.tools}


def wrong(schema: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kinds of wrong arguments for one tool, and how a model would write them."""

    def given(**changes: object) -> str:
        return json.dumps({**right, **changes})

    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    first = next(iter(right))
    yield "one too many", given(colour="red")
    yield "the hidden context", given(context={"tenant": "other"})
    yield "the right name in the wrong case", given(**{first.upper(): right[first]})
    yield "the same name twice", given()[:-1] + f", {json.dumps(first)}: 1}}"
    yield "SQL for a name", given(**{f"{first}; DROP TABLE x": 1})
    yield "a text far too long", given(**{first: "x" * 70_000})
    yield "a huge number", given(**{first: 10**30})
    yield "infinity", given(**{first: float("inf")})
    yield "nested too deep", given()[:-1] + f', "x": {"[" * 40}{"]" * 40}}}'
    yield "half a character", given()[:-1] + ', "x": "\\ud800"}'
    yield "the character NUL in a name", given(**{"a\0": 1})
    yield "no JSON", "day=tomorrow"
    yield "JSON in a JSON text", json.dumps(given())
    yield "a list", f"[{given()}]"
    yield "null", "null"
    yield "cut short", given()[:-1]
    for name in schema.get("required", ()):
        yield f"{name} missing", json.dumps({key: value for key, value in right.items() if key != name})
        yield f"{name} null", given(**{name: None})
    for name, property_ in properties.items():
        for what, value in wrong_values(property_):
            yield f"{what} for {name}", given(**{name: value})


def wrong_values(schema: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    kind = schema.get("type")
    yield "an object", {"a": 1}
    yield "a list", ["a"]
    yield "a truth value", True
    if kind == "string":
        yield "a number", 7
        yield "the character NUL", "a\0b"
        yield "a text too long", "x" * 20_000
        if schema.get("minLength"):
            yield "an empty text", ""
        if "pattern" in schema:
            yield "a line after the right shape", "12:00\n; rm -rf /"
            yield "a header after the right shape", "a\r\nX-Injected: yes"
            yield "a URL", "https://169.254.169.254/latest/meta-data"
            yield "a template", "{{7*7}} ${jndi:ldap://x}"
            yield "SQL", "'; DROP TABLE x; --"
    if schema.get("format") == "date":
        yield from (("the first of all days", EARLIEST), ("the last of all days", LATEST))
        yield from (("a day that does not exist", "2026-02-30"), ("a day in words", "next friday"))
    if schema.get("format") == "date-time":
        yield from (("the first moment", f"{EARLIEST}T00:00:00Z"), ("the last", f"{LATEST}T23:59:59-12:00"))
        yield from (("no zone", "2026-11-27T10:00:00"), ("a moment in words", "yesterday"))
    if schema.get("format") == "time":
        yield from (("a time past midnight", "25:00"), ("a time in words", "half past two"))
    if "enum" in schema:
        yield "none of the choices", "castle"
    if kind == "integer":
        yield from (("a text", "2"), ("a fraction", 2.5), ("more than a column holds", 2**31))
        if "minimum" in schema:
            yield "below the least", schema["minimum"] - 1
        if "maximum" in schema:
            yield "above the most", schema["maximum"] + 1


class Watched:
    """The tools of a worker, which only note that they were run."""

    def __init__(self, worker: Worker) -> None:
        self.ran: list[str] = []
        watched = [self._watched(tool) for tool in worker.tools.values()]
        self.worker = Worker(worker.name, tools=watched, schemas=worker.schemas)

    def _watched(self, tool: Any) -> Any:
        assert isinstance(tool, FunctionTool)
        function: Callable[..., Any] = tool.function

        @functools.wraps(function)
        async def note(*_: object, **__: object) -> str:
            self.ran.append(tool.name)
            return "done"

        return replace(tool, function=note)


@pytest.mark.parametrize("tool", TOOLS)
async def test_wrong_arguments_are_refused_with_a_message_and_nothing_is_run(tool: str, tmp_path: Path) -> None:
    watched = Watched(make_worker(TOOLS[tool], SETTINGS, Guard()))
    kinds = list(wrong(watched.worker.tools[tool].parameters, RIGHT[tool]))
    assert len(kinds) >= 20
    async with running(watched.worker, database=tmp_path) as bench:
        for what, arguments in kinds:
            with pytest.raises(RemoteError) as refused:
                await ask(bench, tool, arguments.encode(), what)
            assert refused.value.code == wire.INVALID_ARGUMENTS, what
            assert 0 < len(str(refused.value)) < 2_500, what
        assert watched.ran == []
        await ask(bench, tool, json.dumps(RIGHT[tool]).encode(), "right")
        assert watched.ran == [tool]


async def ask(bench: WorkerBench, tool: str, arguments: bytes, function_call_id: str) -> bytes:
    context = ToolContext(call_id="rtc_1", agent="a", tenant="default", function_call_id=function_call_id)
    headers = wire.context_headers(context)
    return await bench.bus.request(tool_subject("default", tool), arguments, headers=headers)


INJECTIONS = [
    "'; DROP TABLE crm_contacts; --",
    "a\r\nATTENDEE:mailto:x@example.com",
    "{{7*7}} ${jndi:ldap://x} {context.tenant} %s %(a)s",
    "<script>alert(1)</script>",
    "\x1b[2J\x07",
    '" OR 1=1 NEAR(',
]


@pytest.fixture
async def benches(database: Database) -> AsyncIterator[dict[str, WorkerBench]]:
    async with AsyncExitStack() as stack:
        yield {worker.name: await stack.enter_async_context(running(worker, database=database)) for worker in workers()}


async def test_injections_and_extremes_that_fit_the_schema_break_nothing(benches: dict[str, WorkerBench]) -> None:
    for tool, name in TOOLS.items():
        schema = benches[name].host.worker.tools[tool].parameters
        for number, arguments in enumerate(extremes(schema, RIGHT[tool])):
            try:
                await ask(benches[name], tool, json.dumps(arguments).encode(), f"{tool}_{number}")
            except RemoteError as refused:
                assert refused.code in (wire.INVALID_ARGUMENTS, wire.TOOL_FAILED), (tool, arguments)
                assert "reference" not in str(refused), f"{tool} broke over {arguments}"


def extremes(schema: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield dict(right)
    for name, property_ in schema["properties"].items():
        values: list[object] = []
        if property_.get("format") == "date":
            values = ["1970-01-02", "2199-12-30"]
        elif property_.get("format") == "date-time":
            values = ["1970-01-02T00:00:00+14:00", "2199-12-30T23:59:59-12:00"]
        elif property_.get("type") == "string":
            values = [*INJECTIONS, "x" * property_.get("maxLength", 100)]
        elif property_.get("type") == "integer":
            values = [property_[bound] for bound in ("minimum", "maximum") if bound in property_]
        for value in values:
            yield {**right, name: value}
