"""What every kind of tool has in common: a Python function now; HTTP, MCP and bus tools by the same interface."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from perhop.tools.errors import ToolDefinitionError
from perhop.tools.jsonschema import without_extensions
from perhop.tools.threads import Threads

__all__ = ["DEFAULT_TIMEOUT_S", "Effect", "JsonObject", "Tool", "ToolContext"]

Effect = Literal["none", "once"]
"""``once``: something happens in the world, so the caller confirms first and it must not happen twice. ``none``: the
tool only looks, so it may be asked without confirmation, and asked again."""

JsonObject = dict[str, Any]

DEFAULT_TIMEOUT_S = 10.0
"""A caller on the line does not wait longer for an answer."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ToolContext:
    """On whose behalf a tool runs. A function that has a parameter of this type is given it; the model never sees it.

    Attributes:
        call_id: the call (``rtc_…``).
        function_call_id: the model's id of this one function call (``call_…``); together with tenant and call it
            identifies the effect, so it serves as idempotency key.
    """

    call_id: str
    agent: str
    tenant: str
    function_call_id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool(ABC):
    """A function the model may call. Immutable; two tools are equal only if they are the same object.

    Attributes:
        name: 1 to 64 letters, digits, ``_`` and ``-``, as the protocol demands.
        description: for the model.
        parameters: JSON Schema of the arguments, the ``x-…`` keys of the built-in dialogue included.
        effect: whether running it changes anything in the world.
        title: what it does, in words that complete "I can …".
        timeout_s: from the model's call to its answer, waiting for a free slot included.
        finish: goes on when the caller hangs up, up to its timeout.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: Effect = "once"
    title: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    finish: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ToolDefinitionError(
                f"tool name {self.name[:80]!r}: use 1 to 64 letters, digits, underscores and hyphens"
            )
        if self.effect not in ("none", "once"):
            raise ToolDefinitionError(f'tool {self.name}: effect must be "none" or "once", not {self.effect!r}')
        if not 0 < self.timeout_s <= 3600:
            raise ToolDefinitionError(f"tool {self.name}: timeout_s must be above 0 and at most 3600")

    def to_function(self, *, extensions: bool = True) -> JsonObject:
        """The tool as an entry of ``session.tools``; a copy, free to change.

        Args:
            extensions: keep the ``x-…`` keys, which the built-in dialogue reads; a remote model must not see them.
        """
        parameters = dict(self.parameters) if extensions else without_extensions(self.parameters)
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": deepcopy(parameters),
        }

    async def call(self, arguments: JsonObject, context: ToolContext) -> object:
        """Checks the arguments and runs the tool.

        Raises:
            InvalidArgumentsError: they do not fit; nothing was run.
            ToolError: the tool says why it could not do it. Anything else a tool raises passes through as well.
        """
        return await self.execute(self.validate(arguments), context)

    @abstractmethod
    def validate(self, arguments: JsonObject) -> JsonObject:
        """Checks arguments as JSON gave them and returns what :meth:`execute` takes.

        Raises:
            InvalidArgumentsError: they do not fit the schema.
        """

    @abstractmethod
    async def execute(self, values: JsonObject, context: ToolContext, *, threads: Threads | None = None) -> object:
        """Runs the tool with validated arguments; the result is anything that JSON can express.

        Args:
            values: what :meth:`validate` returned.
            threads: where blocking work goes; None uses the loop's own threads.
        """
