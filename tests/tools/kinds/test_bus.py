"""Tools that workers serve: what is sent to them, and what their answers mean."""

from __future__ import annotations

import asyncio
import json
from datetime import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.virtual_time import run_virtual

from perhop.tools.base import ToolContext
from perhop.tools.bus.base import Endpoint, Message, Service
from perhop.tools.bus.discovery import announcement, discover
from perhop.tools.bus.errors import BusDownError, BusTimeoutError, NoWorkerError, RemoteError
from perhop.tools.bus.memory import InProcessBus
from perhop.tools.bus.subjects import ANY, tool_subject
from perhop.tools.errors import UnknownToolError
from perhop.tools.kinds.bus import BusTool
from perhop.tools.kinds.offered import keep_offered
from perhop.tools.registry import ToolRegistry
from perhop.tools.result import ToolResult
from perhop.tools.retry import Backoff
from perhop.tools.runner import ToolRunner
from perhop.tools.services import ToolServices
from perhop.tools.tool import tool
from perhop.tools.wire import context_headers, context_of

CONTEXT = ToolContext(call_id="rtc_1", agent="desk", tenant="acme", function_call_id="call 1%0D ü")
PARAMETERS = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}, "required": ["day"]}
DAY = '{"day":"2026-03-31"}'


def bus_tool(**changes: Any) -> BusTool:
    return BusTool(**{"name": "book", "description": "Books.", "parameters": PARAMETERS, **changes})


class Scripted:
    """A bus that answers as it is told, one answer a request, the last one for ever."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, bytes, dict[str, str], float]] = []

    async def request(self, subject: str, payload: bytes, *, headers: Any = None, timeout_s: float) -> bytes:
        self.asked.append((subject, payload, dict(headers or {}), timeout_s))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(bus: Scripted, asked: BusTool, arguments: str = DAY) -> ToolResult:
    runner = ToolRunner(services=ToolServices(bus=bus), backoff=Backoff(chance=lambda: 1.0))
    return run_virtual(runner.run(asked, arguments, CONTEXT))


def test_a_worker_gets_arguments_and_context_and_its_answer_is_the_result() -> None:
    bus = Scripted(b'{"ref":7}')
    assert run(bus, bus_tool()) == ToolResult('{"ref":7}')
    [(subject, payload, headers, timeout_s)] = bus.asked
    assert (subject, json.loads(payload)) == ("perhop.tools.acme.book", {"day": "2026-03-31"})
    assert context_of(headers) == CONTEXT
    assert headers["Idempotency-Key"] == CONTEXT.idempotency_key
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert timeout_s < 10


def test_the_name_on_the_bus_may_be_another() -> None:
    bus = Scripted(b"1")
    run(bus, bus_tool(tool="calendar_book"))
    assert bus.asked[0][0] == "perhop.tools.acme.calendar_book"


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (RemoteError("tool_failed", "That time is taken."), "tool_failed", "That time is taken."),
        (RemoteError("invalid_arguments", "day: too late"), "invalid_arguments", "day: too late"),
        (RemoteError("unknown_tool", "x"), "tool_failed", "not served"),
        (RemoteError("unavailable", "x"), "unavailable", "not available"),
        (RemoteError("busy", "x"), "unavailable", "not available"),
        (NoWorkerError("x"), "unavailable", "not available"),
        (BusDownError("x"), "unavailable", "not available"),
        (RemoteError("unknown_outcome", "x"), "unknown_outcome", "do not repeat"),
        (BusTimeoutError("x"), "unknown_outcome", "do not repeat"),
    ],
)
def test_errors_are_typed(error: Exception, code: str, says: str) -> None:
    result = run(Scripted(error), bus_tool(idempotent=False))
    assert result.code == code
    assert says in result.output


def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    bus = Scripted(BusTimeoutError("x"), BusDownError("x", delivered=True), b'"done"')
    assert run(bus, bus_tool()).ok
    assert {headers["Idempotency-Key"] for _, _, headers, _ in bus.asked} == {CONTEXT.idempotency_key}


def test_a_lost_answer_is_not_asked_for_again_when_the_worker_keeps_no_outcomes() -> None:
    bus = Scripted(BusTimeoutError("x"))
    assert run(bus, bus_tool(idempotent=False)).code == "unknown_outcome"
    assert len(bus.asked) == 1


def test_a_refusal_is_final() -> None:
    bus = Scripted(RemoteError("tool_failed", "No."))
    run(bus, bus_tool())
    assert len(bus.asked) == 1


def test_nonsense_from_a_worker_is_no_result() -> None:
    assert run(Scripted(b"{"), bus_tool(idempotent=False)).code == "unknown_outcome"


def test_without_a_bus_the_error_is_there_at_once() -> None:
    result = run_virtual(ToolRunner(backoff=Backoff(first_s=0.1)).run(bus_tool(retries=0), DAY, CONTEXT))
    assert result.code == "unavailable"


async def test_a_real_worker_answers_over_the_bus_of_the_process() -> None:
    bus = InProcessBus()

    async def respond(message: Message) -> bytes:
        return json.dumps([json.loads(message.payload)["day"], context_of(message.headers).call_id]).encode()

    service = Service(
        name="calendar", endpoints=[Endpoint(name="book", subject="perhop.tools.*.book", respond=respond)]
    )
    serving = await bus.serve(service)
    result = await ToolRunner(services=ToolServices(bus=bus)).run(bus_tool(), DAY, CONTEXT)
    assert json.loads(result.output) == ["2026-03-31", "rtc_1"]
    await serving.close()
    assert (
        await ToolRunner(services=ToolServices(bus=bus)).run(bus_tool(retries=0), DAY, CONTEXT)
    ).code == "unavailable"
    await bus.close()


async def test_a_tool_known_by_name_is_described_by_the_worker_that_offers_it() -> None:
    @tool(effect="none", samples=["book {day}"], timeout_s=3)
    def book(day: str) -> str:
        """Books a day."""
        return day

    async def respond(message: Message) -> bytes:
        return b"{}"

    def serve(tenant: str, version: str) -> Service:
        subject, about = tool_subject(tenant, "book"), announcement(book, tenant=tenant)
        endpoint = Endpoint(name="book", subject=subject, respond=respond, metadata=about)
        return Service(name=f"w{version}".replace(".", "-"), version=version, endpoints=[endpoint])

    registry = ToolRegistry()
    tools = registry.load_all(["bus:book", "builtin:hang_up"], tenant="acme")
    assert list(tools) == ["hang_up"], "until somebody offers it"
    bus = InProcessBus()
    await bus.serve(serve("other", "9.0.0"))
    [wanted] = registry.offered
    wanted.take(await discover(bus, timeout_s=0.01))
    assert "book" not in tools, "what is offered to others is not ours"
    await bus.serve(serve(ANY, "1.0.0"))
    wanted.take(await discover(bus, timeout_s=0.01))
    over_bus = tools["book"]
    assert over_bus.to_function() == book.to_function()
    assert (over_bus.effect, over_bus.timeout_s, over_bus.idempotent) == ("none", 3, True)
    assert registry.find("book", tenant="acme") is over_bus
    wanted.take(await discover(bus, timeout_s=0.01))
    assert tools["book"] is over_bus, "as long as it is described alike it stays the same tool"
    keeping = asyncio.create_task(keep_offered(bus, registry.offered))
    await asyncio.sleep(0)
    keeping.cancel()
    with pytest.raises(UnknownToolError):
        registry.find("book", tenant="other")
    await bus.close()


@pytest.mark.parametrize(
    ("at", "taken"), [("10:00", True), ("10:00:30", True), ("25:00", False), ("ten", False), ("10:00Z", False)]
)
def test_times_of_a_workers_tool_are_written_as_the_worker_takes_them(at: str, taken: bool) -> None:
    @tool(effect="none")
    def meet(at: time) -> None:
        """Meets at a local time, which has no time zone.

        Args:
            at: When.
        """

    result = run(Scripted(b'"met"'), bus_tool(name="meet", parameters=dict(meet.parameters)), json.dumps({"at": at}))
    assert result.ok is taken


@given(st.text(), st.text(), st.text(), st.text())
def test_headers_survive_the_way_whatever_a_model_writes_into_its_ids(a: str, b: str, c: str, d: str) -> None:
    context = ToolContext(call_id=a, agent=b, tenant=c, function_call_id=d)
    headers = context_headers(context)
    assert all(value.isascii() and value.isprintable() and " " not in value for value in headers.values())
    assert context_of(headers) == context
