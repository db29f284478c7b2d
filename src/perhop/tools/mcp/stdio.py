"""MCP servers that are programs of this machine, spoken to over their standard input and output."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["StdioServer"]


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A program that is an MCP server. It is started when it is first needed, and again after it ended.

    Whoever may name one may run anything, so these come from files and settings alone, never from a request.

    Attributes:
        label: for messages.
        command: the program and its arguments; no shell is involved.
        env: added to a minimal environment (``PATH``, ``HOME`` and the like).
        folder: where it runs; the current one when empty.
    """

    label: str
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    folder: str = ""
