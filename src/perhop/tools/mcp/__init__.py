"""Tools of MCP servers (Model Context Protocol, streamable HTTP).

What others need is in :mod:`perhop.tools.mcp.provider`. :mod:`perhop.tools.mcp.connector` does the work; it needs the
``mcp`` package, costs a quarter of a second to import, and is loaded only where MCP is configured.
"""

from __future__ import annotations

from perhop.tools.mcp.provider import McpError, McpProvider, McpSession

__all__ = ["McpError", "McpProvider", "McpSession"]
