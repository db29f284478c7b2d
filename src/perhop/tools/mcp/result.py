"""What MCP servers say about tools and results, in the terms of the Realtime server. Bounded."""

from __future__ import annotations

import mcp_types
import orjson

from perhop.realtime.mcp.effects import McpToolInfo
from perhop.tools.mcp.provider import McpError, McpResultTooLargeError

__all__ = ["tool_info", "tool_result"]

_MAX_ERROR = 2_000
"""Characters of a tool's own error that reach the model."""


def tool_info(tool: mcp_types.Tool, max_bytes: int) -> McpToolInfo | None:
    """A tool as a session shows it; None when describing it takes more than this."""
    description = tool.description or tool.title or ""
    annotations = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if tool.annotations else {}
    if len(orjson.dumps([tool.name, description, tool.input_schema, annotations])) > max_bytes:
        return None
    return McpToolInfo(tool.name, description, tool.input_schema, annotations or None)


def tool_result(result: mcp_types.CallToolResult, *, max_bytes: int) -> str:
    """A result as one text: what the tool wrote or, where that is in pieces, its structured form as JSON.

    Raises:
        McpError: the tool says that it failed.
        McpResultTooLargeError: the text is too long.
    """
    texts = [block.text for block in result.content if isinstance(block, mcp_types.TextContent)]
    if result.is_error:
        raise McpError("tool_execution_error", "\n".join(texts)[:_MAX_ERROR] or "The tool failed without a word.")
    if result.structured_content is not None and len(texts) != 1:
        text = orjson.dumps(result.structured_content).decode()
    else:
        others = [f"[{block.type}]" for block in result.content if not isinstance(block, mcp_types.TextContent)]
        text = "\n".join([*texts, *others])
    size = len(text.encode())
    if size > max_bytes:
        message = f"The result has {size} bytes, the limit is {max_bytes}. Ask for less, or for something narrower."
        raise McpResultTooLargeError(message)
    return text
