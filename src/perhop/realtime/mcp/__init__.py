"""Tools of MCP servers that the Realtime server runs by itself: declared, listed, offered, approved, called."""
