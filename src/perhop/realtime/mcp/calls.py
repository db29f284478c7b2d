"""Calls of MCP tools: announced in a response, approved by the client where that is asked for, run by the host.

A call belongs to the response that made it, but it does not end with it: the client may approve it later, and a caller
who interrupts the model does not undo what a tool is doing. Its item is done when the tool is through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
)
from perhop.realtime.items import McpApprovalRequestItem, McpApprovalResponseItem, McpCallItem
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.mcp.effects import CallMcpTool, McpCallDone, McpCallFailed
from perhop.realtime.mcp.offer import OfferedTool
from perhop.realtime.wire import JsonObject, clipped
from perhop.realtime.writer import ResponseWriter

__all__ = ["Ended", "McpCalls"]

Ended = Callable[[str, str, float], None]
"""(response id, item id of the call, now): a call is through."""

_INVALID_PARAMS = -32602
_PADDED_TO = 32
"""Deltas are filled up to a multiple of this, so that their size does not tell what is in them."""


@dataclass(slots=True)
class _Call:
    """One call that has no result yet."""

    entry: Entry
    index: int
    writer: ResponseWriter
    tool: OfferedTool
    arguments: JsonObject
    request_id: str | None = None

    @property
    def id(self) -> str:
        return self.entry.id


class McpCalls:
    """Every call of the session that runs or waits for approval.

    Args:
        ended: told of every call that is through, unless :meth:`begin` itself had to refuse it.
    """

    def __init__(self, core: Core, rules: McpRules, ended: Ended) -> None:
        self._core = core
        self._rules = rules
        self._ended = ended
        self._running: dict[str, _Call] = {}
        self._asked: dict[str, _Call] = {}

    def begin(self, writer: ResponseWriter, tool: OfferedTool, arguments: str) -> str:
        """The model calls a tool: says so, and runs it or asks for approval.

        Returns:
            The item's id.
        """
        core = self._core
        item = McpCallItem(
            id=core.new_id("mcp_"),
            server_label=tool.server.label,
            name=tool.name,
            arguments="",
            approval_request_id=core.new_id("mcpr_") if tool.needs_approval else None,
            output=None,
            error=None,
        )
        entry, index = writer.begin_item(item, characters=len(tool.name) + len(arguments))
        padding = "-" * (-len(arguments) % _PADDED_TO)
        writer.about(ResponseMcpCallArgumentsDelta, entry.id, index, delta=arguments, obfuscation=padding)
        writer.about(ResponseMcpCallArgumentsDone, entry.id, index, arguments=arguments)
        entry.item = entry.known = item.model_copy(update={"arguments": arguments})
        values = _object(arguments)
        call = _Call(entry, index, writer, tool, values or {}, item.approval_request_id)
        if values is None:
            self._close(call, error=_error("protocol_error", "The arguments are not a JSON object.", _INVALID_PARAMS))
        elif len(self._running) + len(self._asked) >= self._rules.max_calls:
            self._close(call, error=_error("tool_execution_error", "Too many calls are waiting already."))
        elif call.request_id is not None:
            self._ask(call, call.request_id, arguments)
        else:
            self._run(call)
        return entry.id

    def running(self, item_id: str) -> bool:
        """The tool of this call is at work."""
        return item_id in self._running

    def waiting(self, item_id: str) -> bool:
        """This call waits for approval."""
        return any(call.id == item_id for call in self._asked.values())

    def check_answer(self, answer: McpApprovalResponseItem) -> None:
        """Refuses an answer that nobody waits for.

        Raises:
            ProtocolError: no such request, or it was answered before.
        """
        if answer.approval_request_id not in self._asked:
            message = f"No approval request '{clipped(answer.approval_request_id)}' waits for an answer."
            raise ProtocolError("invalid_value", message, "item.approval_request_id")

    def answered(self, answer: McpApprovalResponseItem, now: float) -> None:
        """The client has decided."""
        call = self._asked.pop(answer.approval_request_id)
        if answer.approve:
            self._run(call)
        else:
            reason = f": {answer.reason}" if answer.reason else "."
            self._end(call, now, error=_error("tool_execution_error", f"The call was not approved{reason}"))

    def deleted(self, item_id: str, now: float) -> None:
        """An item is gone; without its request a call cannot be approved any more."""
        call = self._asked.pop(item_id, None)
        if call is not None:
            self._end(call, now, error=_error("tool_execution_error", "The approval request was deleted."))

    def done(self, result: McpCallDone, now: float) -> None:
        """The tool returned."""
        call = self._running.pop(result.item_id, None)
        if call is not None:
            self._end(call, now, output=result.output)

    def failed(self, failure: McpCallFailed, now: float) -> None:
        """The tool did not return."""
        call = self._running.pop(failure.item_id, None)
        if call is not None:
            self._end(call, now, error=_error(failure.kind, failure.message, failure.code))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _ask(self, call: _Call, request_id: str, arguments: str) -> None:
        self._asked[request_id] = call
        tool = call.tool
        item = McpApprovalRequestItem(
            id=request_id, server_label=tool.server.label, name=tool.name, arguments=arguments
        )
        entry, index = call.writer.begin_item(item)
        call.writer.end_item(entry, item, index)

    def _run(self, call: _Call) -> None:
        self._running[call.id] = call
        self._core.emit(
            ResponseMcpCallInProgress(event_id=self._core.event_id(), item_id=call.id, output_index=call.index)
        )
        self._core.emit(CallMcpTool(call.id, call.tool.server, call.tool.name, call.arguments))

    def _end(self, call: _Call, now: float, *, output: str | None = None, error: JsonObject | None = None) -> None:
        self._close(call, output=output, error=error)
        self._ended(call.writer.id, call.id, now)

    def _close(self, call: _Call, *, output: str | None = None, error: JsonObject | None = None) -> None:
        kind = ResponseMcpCallFailed if error is not None else ResponseMcpCallCompleted
        self._core.emit(kind(event_id=self._core.event_id(), item_id=call.id, output_index=call.index))
        item = call.entry.item.model_copy(update={"output": output, "error": error})
        call.writer.end_item(call.entry, item, call.index)
        self._core.conversation.resize(call.entry)


def _object(arguments: str) -> JsonObject | None:
    try:
        value = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _error(kind: str, message: str, code: int = 0) -> JsonObject:
    """As ``mcp_call.error`` has it: errors inside a tool have no code."""
    error: JsonObject = {"type": kind, "message": message}
    return error if kind == "tool_execution_error" else {**error, "code": code}
