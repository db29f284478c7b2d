"""The kinds of tools that are declared rather than written: HTTP, bus, MCP, built-in."""
