"""The client behind ``perhop talk``: a caller over WebSocket that asks once and listens."""
