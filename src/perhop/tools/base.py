"""What every kind of tool has in common: Python functions, HTTP endpoints, MCP servers' tools, workers on the bus, and
the built-in ones that act on the call itself."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from perhop.tools.control import CallControl
from perhop.tools.errors import ToolDefinitionError
from perhop.tools.jsonschema import without_extensions
from perhop.tools.services import ToolServices

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
            identifies the effect.
        control: the call itself, for built-in tools; None where there is none, as in tests.
    """

    call_id: str
    agent: str
    tenant: str
    function_call_id: str
    control: CallControl | None = field(default=None, repr=False, compare=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every try of this one effect, different for every other: 64 hex digits, made of tenant, call and
        function call, none of which can be forged into another's by what a model writes into its ids."""
        parts = json.dumps([self.tenant, self.call_id, self.function_call_id])
        return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool(ABC):
    """A function the model may call. Immutable; two tools are equal only if they are the same object.

    Attributes:
        name: 1 to 64 letters, digits, ``_`` and ``-``, as the protocol demands.
        description: for the model.
        parameters: JSON Schema of the arguments, the ``x-…`` keys of the built-in dialogue included.
        effect: whether running it changes anything in the world.
        title: what it does, in words that complete "I can …".
        timeout_s: from the model's call to its answer, waiting for a free slot and retries included.
        finish_on_hangup: goes on when the caller hangs up, up to its timeout.
        idempotent: asked again with the same key, it has its effect once; so it may be retried although it has one.
        retries: further tries after one that failed on the way; only without effect, or when idempotent, or when
            nothing was sent yet.
        attempt_s: how long one try may take; None gives the first one all the time there is.
        max_concurrent: runs at once in this process; further ones wait within their timeout. None for no limit of its
            own.
        filler_after_s: when it takes longer, the agent says that it is still there; None leaves it to the agent.
        fillers: what it says then; empty leaves it to the agent.
    """

    kind: ClassVar[str] = "tool"

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: Effect = "once"
    title: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    finish_on_hangup: bool = False
    idempotent: bool = False
    retries: int = 2
    attempt_s: float | None = None
    max_concurrent: int | None = None
    filler_after_s: float | None = None
    fillers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ToolDefinitionError(
                f"tool name {self.name[:80]!r}: use 1 to 64 letters, digits, underscores and hyphens"
            )
        if self.effect not in ("none", "once"):
            raise ToolDefinitionError(f'tool {self.name}: effect must be "none" or "once", not {self.effect!r}')
        if not 0 < self.timeout_s <= 3600:
            raise ToolDefinitionError(f"tool {self.name}: timeout_s must be above 0 and at most 3600")
        if not 0 <= self.retries <= 10:
            raise ToolDefinitionError(f"tool {self.name}: retries must be 0 to 10")
        if self.attempt_s is not None and self.attempt_s <= 0:
            raise ToolDefinitionError(f"tool {self.name}: attempt_s must be above 0")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ToolDefinitionError(f"tool {self.name}: max_concurrent must be at least 1")

    @property
    def repeatable(self) -> bool:
        """Whether a second try does no harm when nobody knows what became of the first."""
        return self.effect == "none" or self.idempotent

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

    async def call(
        self, arguments: JsonObject, context: ToolContext, *, services: ToolServices | None = None
    ) -> object:
        """Checks the arguments and runs the tool.

        Raises:
            InvalidArgumentsError: they do not fit; nothing was run.
            ToolError: the tool says why it could not do it. Anything else a tool raises passes through as well.
        """
        return await self.execute(self.validate(arguments), context, services=services or ToolServices())

    @abstractmethod
    def validate(self, arguments: JsonObject) -> JsonObject:
        """Checks arguments as JSON gave them and returns what :meth:`execute` takes.

        Raises:
            InvalidArgumentsError: they do not fit the schema.
        """

    @abstractmethod
    async def execute(self, values: JsonObject, context: ToolContext, *, services: ToolServices) -> object:
        """Tries once with validated arguments; the result is anything that JSON can express.

        Args:
            values: what :meth:`validate` returned.
            services: the ways out of this process.

        Raises:
            ToolError: the tool says why it could not do it.
            ToolUnavailableError: it was not reached, or nobody knows what became of it.
        """
