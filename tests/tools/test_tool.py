from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import FrozenInstanceError
from typing import Annotated

import pytest

from perhop import Slot, Tool, ToolContext, ToolError, tool
from perhop.tools.errors import InvalidArgumentsError, ToolDefinitionError

CONTEXT = ToolContext(call_id="rtc_1", agent="oneroof", tenant="default", function_call_id="call_1")


@tool(
    effect="none",
    title="look for homes",
    samples=["a {bedrooms} bedroom in {city}", "something in {city}"],
    say="I found {count}.",
    timeout_s=3,
)
def search(bedrooms: int, city: Annotated[str, Slot(prompt="Where?")] = "Oakland") -> dict[str, object]:
    """Finds homes.

    Args:
        bedrooms: How many.
    """
    return {"count": bedrooms, "city": city}


@tool
async def who_calls(context: ToolContext, *, loud: bool = False) -> str:
    return context.call_id.upper() if loud else context.call_id


@tool
def thread() -> str:
    return threading.current_thread().name


def test_a_tool_is_what_session_tools_lists() -> None:
    assert search.to_function() == {
        "type": "function",
        "name": "search",
        "description": "Finds homes.",
        "parameters": {
            "type": "object",
            "properties": {
                "bedrooms": {"type": "integer", "description": "How many."},
                "city": {"type": "string", "x-prompt": "Where?", "default": "Oakland"},
            },
            "required": ["bedrooms"],
            "additionalProperties": False,
            "x-title": "look for homes",
            "x-effect": "none",
            "x-samples": ["a {bedrooms} bedroom in {city}", "something in {city}"],
            "x-say": "I found {count}.",
        },
    }


def test_a_remote_model_sees_no_extensions() -> None:
    assert search.to_function(extensions=False)["parameters"] == {
        "type": "object",
        "properties": {
            "bedrooms": {"type": "integer", "description": "How many."},
            "city": {"type": "string", "default": "Oakland"},
        },
        "required": ["bedrooms"],
        "additionalProperties": False,
    }


def test_the_listing_is_a_copy() -> None:
    search.to_function()["parameters"]["properties"].clear()
    search.to_function(extensions=False)["parameters"]["properties"].clear()
    assert search.to_function()["parameters"]["properties"]


def test_the_bare_decorator_takes_the_safe_defaults() -> None:
    assert (who_calls.name, who_calls.title, who_calls.description) == ("who_calls", "who calls", "Who calls.")
    assert (who_calls.effect, who_calls.timeout_s, who_calls.finish_on_hangup) == ("once", 10.0, False)
    assert list(who_calls.parameters["properties"]) == ["loud"], "the context is hidden"


async def test_the_function_stays_callable_as_before() -> None:
    found: dict[str, object] = search(2, city="Alameda")
    assert found == {"count": 2, "city": "Alameda"}
    assert await who_calls(CONTEXT) == "rtc_1"
    assert search.__doc__ is not None
    assert search.__doc__.startswith("Finds homes.")
    assert list(inspect.signature(search).parameters) == ["bedrooms", "city"]


async def test_a_call_checks_its_arguments_and_fills_in_the_context() -> None:
    assert await search.call({"bedrooms": 2}, CONTEXT) == {"count": 2, "city": "Oakland"}
    assert await who_calls.call({"loud": True}, CONTEXT) == "RTC_1"
    with pytest.raises(InvalidArgumentsError, match="bedrooms: is required"):
        await search.call({}, CONTEXT)
    with pytest.raises(InvalidArgumentsError, match="context: is not a parameter"):
        await who_calls.call({"context": {}}, CONTEXT)


async def test_sync_functions_run_beside_the_event_loop() -> None:
    assert await thread.call({}, CONTEXT) != threading.current_thread().name


def test_a_bound_method_can_be_a_tool() -> None:
    class Diary:
        def book(self, day: str) -> str:
            """Books a day."""
            return day

    assert tool(Diary().book).to_function()["parameters"]["required"] == ["day"]


def test_a_tool_is_immutable_and_equal_to_itself_only() -> None:
    with pytest.raises(FrozenInstanceError):
        search.name = "other"  # type: ignore[misc]
    assert search == search
    assert len({search, thread, search}) == 2
    assert isinstance(search, Tool)


def test_a_tool_error_is_a_message() -> None:
    assert str(ToolError("That time is taken.")) == "That time is taken."


def generator() -> Iterator[int]:
    yield 1


async def stream() -> AsyncIterator[int]:
    yield 1


def lookup(city: str) -> str:
    return city


def test_definitions_that_cannot_work_say_why() -> None:
    with pytest.raises(ToolDefinitionError, match="it cannot yield"):
        tool(generator)
    with pytest.raises(ToolDefinitionError, match="it cannot yield"):
        tool(stream)
    with pytest.raises(ToolDefinitionError, match="is not a function"):
        tool(dict)
    with pytest.raises(ToolDefinitionError, match="no parameter 'town'"):
        tool(samples=["in {town}"])(lookup)
    with pytest.raises(ToolDefinitionError, match=r"sample 'in \{city'"):
        tool(samples=["in {city"])(lookup)
    with pytest.raises(ToolDefinitionError, match="not one phrase"):
        tool(samples="in {city}")(lookup)
    with pytest.raises(ToolDefinitionError, match='must be "none" or "once"'):
        tool(effect="twice")(lookup)  # type: ignore[call-overload]
    with pytest.raises(ToolDefinitionError, match="timeout_s must be above 0"):
        tool(timeout_s=0)(lookup)


@pytest.mark.parametrize("name", ["", "two words", "a.b", "x" * 65, "naïve", "new\nline", "ok\n"])
def test_names_are_those_of_the_protocol(name: str) -> None:
    with pytest.raises(ToolDefinitionError, match="use 1 to 64 letters"):
        Tool.__post_init__(_Named(name))


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_every_name_of_the_protocol_is_taken(name: str) -> None:
    assert tool(name=name)(lookup).name == name


class _Named(Tool):
    """A tool that exists only to be named."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", name)

    def validate(self, arguments: dict[str, object]) -> dict[str, object]:
        return arguments

    async def execute(self, values: object, context: object, *, threads: object = None) -> object:
        return values
