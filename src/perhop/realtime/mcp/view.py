"""The conversation as the model sees it: an MCP call is a function call with its output, like any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from perhop.realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    McpApprovalRequestItem,
    McpApprovalResponseItem,
    McpCallItem,
    McpListToolsItem,
)
from perhop.realtime.mcp.offer import Offer

__all__ = ["as_model_sees"]

_RUNNING = "It is still being done. Do not ask for it again."
_WAITING = "It waits for approval and has not been done yet."


def as_model_sees(items: Iterable[Item], offer: Offer) -> Iterator[Item]:
    """Items for the model; listings and approvals are between client and server."""
    for item in items:
        if isinstance(item, McpCallItem):
            name = offer.function_of(item.server_label, item.name)
            call_id = item.id or ""
            yield FunctionCallItem(id=item.id, status="completed", call_id=call_id, name=name, arguments=item.arguments)
            yield FunctionCallOutputItem(status="completed", call_id=call_id, output=_output(item))
        elif not isinstance(item, McpListToolsItem | McpApprovalRequestItem | McpApprovalResponseItem):
            yield item


def _output(item: McpCallItem) -> str:
    if item.output is not None:
        return item.output
    if item.error is not None:
        code, message = str(item.error.get("type") or "failed"), str(item.error.get("message") or "")
    elif item.approval_request_id is not None:
        code, message = "approval_pending", _WAITING
    else:
        code, message = "running", _RUNNING
    return orjson.dumps({"error": {"code": code, "message": message}}).decode()
