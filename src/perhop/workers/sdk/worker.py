"""A worker as it is written: its name, its tools, its tables, its ways out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, Unpack, get_type_hints, overload

from perhop.store import Database, Schema
from perhop.tools.base import Tool
from perhop.tools.bus import Bus, Consumer
from perhop.tools.errors import ToolConflictError, ToolDefinitionError
from perhop.tools.function import FunctionOptions, FunctionTool
from perhop.workers.sdk.context import WorkerContext
from perhop.workers.sdk.delivery import Deliver, Delivery, SettledHook

__all__ = ["Background", "Site", "Worker"]

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D", bound=Deliver)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a worker runs, as its own background work sees it."""

    bus: Bus
    database: Database


Background = Callable[[Site], Awaitable[None]]
"""Runs as long as the worker does, and is cancelled when it ends. When it raises, it is begun again after a while."""


class Worker:
    """Tools that a process serves over the bus.

    ::

        worker = Worker("crm", description="Contacts and leads")


        @worker.tool(effect="once")
        async def add_note(contact: int, text: str, context: WorkerContext) -> dict[str, int]:
            \"\"\"Adds a note to a contact.\"\"\"
            note = Note(contact=contact, text=text)
            context.session.add(note)
            await context.session.flush()
            return {"note": note.id}

    ``perhop worker run module:worker`` runs it.

    Args:
        name: lower case; replicas of one worker have the same.
        version: as in semantic versioning.
        tools: functions and tools; more are added by :meth:`tool`.
        schemas: the worker's own tables; brought up to date when it starts.
        tenants: whose calls it takes; None for everybody's.
        concurrency: tools at once in one process; as many again may wait, further calls are refused as ``busy``.

    Raises:
        ToolDefinitionError: a function cannot be a tool of a worker.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.1.0",
        description: str = "",
        tools: Iterable[Tool | Callable[..., Any]] = (),
        schemas: Sequence[Schema] = (),
        tenants: Sequence[str] | None = None,
        concurrency: int = 32,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ToolDefinitionError(f"worker name {name[:64]!r}: use 1 to 31 lower-case letters, digits, underscores")
        if not _VERSION.fullmatch(version):
            raise ToolDefinitionError(f"worker {name}: version {version[:32]!r} is not like 1.0.0")
        if not 1 <= concurrency <= 10_000:
            raise ToolDefinitionError(f"worker {name}: concurrency must be 1 to 10000")
        self.name = name
        self.version = version
        self.description = description
        self.schemas = tuple(schemas)
        self.tenants = tuple(tenants) if tenants is not None else None
        self.concurrency = concurrency
        self.tools: dict[str, Tool] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.consumers: list[Callable[[Site], Consumer]] = []
        self.backgrounds: list[Background] = []
        for one in tools:
            self.add(one if isinstance(one, Tool) else FunctionTool.of(one))

    def add(self, tool: Tool) -> None:
        """Adds a tool.

        Raises:
            ToolConflictError: there is one of this name.
            ToolDefinitionError: it takes the session of a transaction, but runs in a thread.
        """
        if tool.name in self.tools:
            raise ToolConflictError(f"worker {self.name} has two tools named {tool.name!r}")
        threaded = isinstance(tool, FunctionTool) and not inspect.iscoroutinefunction(tool.function)
        if threaded and self.needs_session(tool):
            raise ToolDefinitionError(
                f"tool {tool.name}: a function with a WorkerContext must be async: no thread can use its session"
            )
        self.tools[tool.name] = tool

    @staticmethod
    def needs_session(tool: Tool) -> bool:
        """Whether the tool takes a :class:`WorkerContext`."""
        if not isinstance(tool, FunctionTool) or tool.signature.context is None:
            return False
        hint = get_type_hints(tool.function).get(tool.signature.context)
        return isinstance(hint, type) and issubclass(hint, WorkerContext)

    @overload
    def tool(self, function: Callable[P, R], /) -> FunctionTool[P, R]: ...

    @overload
    def tool(self, /, **options: Unpack[FunctionOptions]) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...

    def tool(
        self, function: Callable[P, R] | None = None, /, **options: Unpack[FunctionOptions]
    ) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
        """Makes a tool of a typed function, as :func:`perhop.tool` does, and adds it.

        With ``effect="once"``, the default, what the function writes through the session of its
        :class:`WorkerContext` happens once for a function call, however often the call arrives: its outcome is recorded
        in the same transaction, and a repetition is answered with it.

        Raises:
            ToolDefinitionError: the function cannot be a tool as it is written.
            ToolConflictError: there is one of this name.
        """

        def decorate(function: Callable[P, R]) -> FunctionTool[P, R]:
            # Once a worker has taken it, a repetition gets the recorded outcome.
            made = FunctionTool.of(function, **options, idempotent=options.get("effect", "once") == "once")
            self.add(made)
            return made

        return decorate if function is None else decorate(function)

    def deliver(
        self,
        channel: str,
        *,
        idempotent: bool,
        attempts: int = 10,
        timeout_s: float = 15.0,
        retry_s: float = 1.0,
        retry_most_s: float = 300.0,
        settled: SettledHook | None = None,
    ) -> Callable[[D], D]:
        """Says how effects of one kind leave the database; the arguments are those of
        :class:`~perhop.workers.sdk.delivery.Delivery`.

        Raises:
            ToolConflictError: the channel has a delivery.
        """

        def decorate(send: D) -> D:
            if channel in self.deliveries:
                raise ToolConflictError(f"worker {self.name} delivers {channel!r} twice")
            self.deliveries[channel] = Delivery(
                channel=channel,
                send=send,
                idempotent=idempotent,
                attempts=attempts,
                timeout_s=timeout_s,
                retry_s=retry_s,
                retry_most_s=retry_most_s,
                settled=settled,
            )
            return send

        return decorate

    def consume(self, consumer: Callable[[Site], Consumer]) -> Callable[[Site], Consumer]:
        """Adds a consumer of kept messages, such as events of calls; made with the site when the worker starts."""
        self.consumers.append(consumer)
        return consumer

    def background(self, work: Background) -> Background:
        """Adds work that runs beside the tools."""
        self.backgrounds.append(work)
        return work
