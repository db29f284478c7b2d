"""Runs one function call of the model and hands its output back to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import structlog

from perhop.call.acting import ActingAgent
from perhop.call.boundary import Boundary
from perhop.call.fillers import Fillers
from perhop.call.observer import ToolRun
from perhop.realtime.events import ConversationItemCreate
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem
from perhop.tools.control import CallControl
from perhop.tools.tool import Tool, ToolContext

__all__ = ["ToolExecutor"]

_log = structlog.get_logger(__name__)


class ToolExecutor:
    """The tools of one call at work.

    Args:
        boundary: the door to tools.
        acting: the agent whose tools they are; tools are told, as they are ``call_id`` and ``tenant``.
        answer: takes an output to the model.
        ran: told of every run.
        control: what built-in tools may do to the call.
        fillers: told while a tool runs.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        boundary: Boundary,
        acting: ActingAgent,
        *,
        call_id: str,
        tenant: str,
        answer: Callable[[ConversationItemCreate], None],
        ran: Callable[[ToolRun], None],
        control: CallControl | None = None,
        fillers: Fillers | None = None,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self._boundary = boundary
        self._acting = acting
        self._call_id = call_id
        self._tenant = tenant
        self._answer = answer
        self._ran = ran
        self._control = control
        self._fillers = fillers
        self._clock = clock
        self._new_id = new_id

    async def run(self, tool: Tool, item: FunctionCallItem) -> str:
        """Runs a tool for this function call; returns the id of the output item that the model was sent."""
        agent = self._acting.profile.name
        context = ToolContext(
            call_id=self._call_id,
            agent=agent,
            tenant=self._tenant,
            function_call_id=item.call_id or "",
            control=self._control,
        )
        began = self._clock()
        with self._fillers.during(tool) if self._fillers is not None else nullcontext():
            result = await self._boundary.to_tool(tool, item.arguments or "{}", context)
        run = ToolRun(tool.name, result.ok, result.code, began_at=began, ended_at=self._clock())
        _log.info(
            "tool ran",
            call_id=self._call_id,
            tenant=self._tenant,
            agent=agent or None,
            tool=run.name,
            ok=run.ok,
            code=run.code,
            ms=round((run.ended_at - began) * 1e3),
        )
        self._ran(run)
        output_id = self._new_id("item_")
        output = FunctionCallOutputItem(id=output_id, call_id=item.call_id or "", output=result.output)
        self._answer(ConversationItemCreate(item=output))
        return output_id
