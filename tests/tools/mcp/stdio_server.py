"""An MCP server as a program: what the tests of servers over stdio start."""

from __future__ import annotations

import os
import sys
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("program", log_level="ERROR")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def where() -> dict[str, Any]:
    """Says what it was started with."""
    return {"secret": os.environ.get("SECRET"), "other": os.environ.get("PERHOP_TEST_CANARY"), "args": sys.argv[1:]}


@server.tool(structured_output=False)
def leave() -> str:
    """Ends the program."""
    os._exit(3)


if __name__ == "__main__":
    server.run()
