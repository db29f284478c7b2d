"""The ``@tool`` decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, Unpack, overload

from perhop.tools.base import Effect, Tool, ToolContext
from perhop.tools.errors import ToolError, ToolUnavailableError
from perhop.tools.function import FunctionTool, ToolOptions
from perhop.tools.schema import Slot

__all__ = ["Effect", "FunctionTool", "Slot", "Tool", "ToolContext", "ToolError", "ToolUnavailableError", "tool"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None, /, **options: Unpack[ToolOptions]
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Makes a tool of a typed function. The model sees its name, its docstring and a schema of its parameters.

    ::

        @tool(effect="none", samples=["what is the weather in {city}"], say="It is {sky} in {city}.")
        def weather(city: str, day: date | None = None) -> dict[str, str]:
            \"\"\"Looks up the weather.

            Args:
                city: Where.
                day: When; today if left out.
            \"\"\"

    Sync functions run in a thread. A parameter of type :class:`ToolContext` is filled in and hidden from the model.
    Return anything JSON can express; raise :class:`ToolError` to tell the model why something cannot be done, and
    :class:`ToolUnavailableError` when it may work in a moment.

    Args:
        function: given when the decorator is used without parentheses.
        name: the function's own unless given.
        title: completes "I can …"; made from name and description unless given.
        description: for the model; the docstring up to its first section unless given.
        effect: ``"once"`` (the default, being the safe one) if it changes anything: it is confirmed first and never
            repeated. ``"none"`` if it only looks.
        samples: phrases that ask for it, with parameters in braces: ``"a {bedrooms} bedroom in {city}"``.
        say: how the built-in dialogue says the result; fields of the result in braces.
        timeout_s: from the model's call to the answer; 10 unless given.
        finish_on_hangup: goes on when the caller hangs up.
        idempotent: called again with the same ``context.idempotency_key`` it has its effect once, so it may be retried
            after a :class:`ToolUnavailableError`.
        max_concurrent: runs at once in this process.
        filler_after_s: when it takes longer, the agent says one of ``fillers``; both are the agent's unless given.

    Raises:
        ToolDefinitionError: the function cannot be a tool as it is written.
    """

    def decorate(function: Callable[P, R]) -> FunctionTool[P, R]:
        return FunctionTool.of(function, **options)

    return decorate if function is None else decorate(function)
