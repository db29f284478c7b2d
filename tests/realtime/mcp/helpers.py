"""Sessions with MCP servers, and a host that lists and runs whatever it is told to."""

from __future__ import annotations

from typing import Any

from tests.realtime.helpers import Session

from perhop.realtime.effects import (
    CallMcpTool,
    ListMcpTools,
    McpCallDone,
    McpToolsListed,
    OutputDone,
    OutputFunctionCall,
    ReleaseMcpServer,
)
from perhop.realtime.mcp.declared import FollowUp, McpRules
from perhop.realtime.mcp.effects import McpToolInfo

URL = "https://maps.example/mcp"
PLACE = {"type": "object", "properties": {"place": {"type": "string"}}}

FIND = McpToolInfo("find", "Finds a place.", PLACE, {"readOnlyHint": True})
BOOK = McpToolInfo("book", "Books a table.", PLACE)


def server(label: str = "maps", **fields: Any) -> dict[str, Any]:
    """A declaration that needs no approval unless it says so."""
    return {"type": "mcp", "server_label": label, "server_url": URL, "require_approval": "never", **fields}


class McpSession(Session):
    """A session that may use ``maps.example`` and its subdomains."""

    def __init__(self, update: dict[str, Any] | None = None, *, follow_up: FollowUp = "client", **rules: Any) -> None:
        hosts = rules.pop("hosts", frozenset({"maps.example", "*.maps.example"}))
        limits = {name: rules.pop(name) for name in ("limits",) if name in rules}
        super().__init__(update, mcp=McpRules(hosts=hosts, follow_up=follow_up, **rules), **limits)

    def declare(self, *tools: dict[str, Any]) -> list[dict[str, Any]]:
        """``session.update`` with these tools; returns the frames it caused."""
        return self.send("session.update", session={"type": "realtime", "tools": list(tools)})

    def ready(self, *tools: McpToolInfo, **fields: Any) -> None:
        """Declares the server and lists its tools; forgets how."""
        self.declare(server(**fields))
        self.list_tools(*(tools or (FIND, BOOK)))
        self.forget()

    def list_tools(self, *tools: McpToolInfo) -> list[dict[str, Any]]:
        """The host answers the latest listing."""
        return self.give(McpToolsListed(self.listings[-1].item_id, tools))

    def ask(self, **response: Any) -> list[dict[str, Any]]:
        """``response.create``."""
        return self.send("response.create", response=response)

    def call(self, name: str = "find", arguments: str = '{"place": "Rome"}', *, through: bool = True) -> Any:
        """The model calls a tool, and with that the host is through unless told otherwise."""
        first, live = len(self.frames), self.live
        self.give(OutputFunctionCall(live, name, arguments))
        if through:
            self.give(OutputDone(live))
        return self.frames[first:]

    def returns(self, output: str = "It is in Italy.", *, call: int = -1) -> list[dict[str, Any]]:
        """A call of the host returns, the latest unless told otherwise."""
        return self.give(McpCallDone(self.calls[call].item_id, output))

    def approve(self, request_id: str, approve: bool = True, **fields: Any) -> list[dict[str, Any]]:
        item = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve, **fields}
        return self.send("conversation.item.create", item=item)

    @property
    def listings(self) -> list[ListMcpTools]:
        return [effect for effect in self.effects if isinstance(effect, ListMcpTools)]

    @property
    def calls(self) -> list[CallMcpTool]:
        return [effect for effect in self.effects if isinstance(effect, CallMcpTool)]

    @property
    def released(self) -> list[ReleaseMcpServer]:
        return [effect for effect in self.effects if isinstance(effect, ReleaseMcpServer)]


def item_of(frames: list[dict[str, Any]], type_: str, kind: str) -> dict[str, Any]:
    """The item of the only frame of this type that is about this kind of item."""
    [item] = [frame["item"] for frame in frames if frame["type"] == type_ and frame["item"]["type"] == kind]
    found: dict[str, Any] = item
    return found
