"""Function calls of a response: who runs them, and when their outputs want an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from perhop.realtime.events import (
    ConversationItemAdded,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemDone,
    ServerEvent,
)
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem
from perhop.tools.tool import Tool

__all__ = ["FunctionCalls", "RunFunction"]

RunFunction = Callable[[Tool, FunctionCallItem], Coroutine[Any, Any, str]]
"""Runs one call, sends its output to the model, and returns the id of the output item."""

MAX_REMEMBERED = 1_000
"""Function calls whose owner is remembered; a late output for an older one passes as the client's."""


@dataclass(slots=True)
class _Batch:
    """The function calls of one response."""

    running: int = 0
    clients: set[str] = field(default_factory=set)
    outputs: list[str] = field(default_factory=list)
    response_done: bool = False

    @property
    def complete(self) -> bool:
        return self.response_done and not self.running


class FunctionCalls:
    """Runs the calls of tools that the agent declared; leaves those of client tools to the client.

    Args:
        tools: the agent's tools by name, as they are at the moment: another agent that takes over brings its own.
        run: runs one of them.
        answered: called with the ids of the output items once all calls of a response have theirs.
    """

    def __init__(
        self, tools: Callable[[], Mapping[str, Tool]], run: RunFunction, answered: Callable[[list[str]], None]
    ) -> None:
        self._tools = tools
        self._run = run
        self._answered = answered
        self._batches: dict[str, _Batch] = {}
        self._ours: dict[str, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.started = 0

    @property
    def running(self) -> bool:
        """Whether an output is still to come, from a tool of ours or from the client for the last response."""
        return any(batch.running or batch.clients for batch in self._batches.values())

    def owns(self, function_call_id: str) -> bool:
        """Whether Perhop runs this call, so that no client may answer it."""
        return function_call_id in self._ours

    def observe(self, event: ServerEvent) -> None:
        """Takes in an event of the model: starts calls, notices when a response has no more of them."""
        if isinstance(event, ResponseOutputItemDone) and isinstance(event.item, FunctionCallItem):
            if event.item.status == "completed":
                self._begin(event.response_id, event.item)
        elif isinstance(event, ResponseDone) and event.response.id is not None:
            batch = self._batches.get(event.response.id)
            if batch is not None:
                batch.response_done = True
                self._settle(event.response.id, batch)
        elif isinstance(event, ResponseCreated):
            # Some clients answer some calls never; by now the conversation has gone on without it.
            self._batches = {key: batch for key, batch in self._batches.items() if not batch.complete}
        elif isinstance(event, ConversationItemAdded) and isinstance(event.item, FunctionCallOutputItem):
            # Of a client who talks to the model without us.
            self.client_answered(event.item.call_id)

    def found(self, item: FunctionCallItem) -> None:
        """A call of a response that was not heard to its end; one that is known already is not run again."""
        function_call_id = item.call_id or ""
        if item.status == "completed" and not self.owns(function_call_id) and item.name in self._tools():
            batch = f"unheard {function_call_id}"
            self._batches[batch] = _Batch(response_done=True)
            self._begin(batch, item)

    def client_answered(self, function_call_id: str) -> None:
        """The client sent the output of one of its own tools."""
        for response_id, batch in [*self._batches.items()]:
            if function_call_id in batch.clients:
                batch.clients.discard(function_call_id)
                if batch.complete and not batch.clients:
                    del self._batches[response_id]

    def close(self) -> None:
        """The call is over: what still runs is cancelled (tools that must finish see to that themselves)."""
        for task in self._tasks:
            task.cancel()
        self._batches.clear()

    def _begin(self, response_id: str, item: FunctionCallItem) -> None:
        batch = self._batches.setdefault(response_id, _Batch())
        function_call_id = item.call_id or ""
        tool = self._tools().get(item.name or "")
        if tool is None:
            batch.clients.add(function_call_id)
            return
        if function_call_id in self._ours:
            return
        self._ours[function_call_id] = None
        if len(self._ours) > MAX_REMEMBERED:
            del self._ours[next(iter(self._ours))]
        batch.running += 1
        self.started += 1
        task = asyncio.get_running_loop().create_task(self._finish(response_id, tool, item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, response_id: str, tool: Tool, item: FunctionCallItem) -> None:
        output_id = await self._run(tool, item)
        batch = self._batches.get(response_id)
        if batch is None:
            return
        batch.running -= 1
        batch.outputs.append(output_id)
        self._settle(response_id, batch)

    def _settle(self, response_id: str, batch: _Batch) -> None:
        if not batch.complete:
            return
        if batch.clients:
            return  # the client asks for the answer once it has sent its outputs
        del self._batches[response_id]
        if batch.outputs:
            self._answered(batch.outputs)
