"""All tools this process knows, by tenant and name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from perhop.tools.base import Tool
from perhop.tools.errors import ToolConflictError, UnknownToolError
from perhop.tools.loader import ToolLoader

__all__ = ["DEFAULT_TENANT", "ToolRegistry"]

DEFAULT_TENANT = "default"


class ToolRegistry:
    """Tools by name, apart for each tenant. Within a tenant a name means one tool, whichever agents use it.

    Args:
        folder: what relative references start from: the folder of ``perhop.toml``.
    """

    def __init__(self, *, folder: Path | None = None) -> None:
        self._loader = ToolLoader(folder)
        self._tools: dict[str, dict[str, Tool]] = {}
        self._origins: dict[str, dict[str, str]] = {}
        self._loaded: dict[str, Tool] = {}

    def load(self, reference: str, *, tenant: str = DEFAULT_TENANT) -> Tool:
        """Loads ``"module:function"`` and adds it; the same reference always gives the same tool.

        Raises:
            ToolLoadError: the reference leads nowhere.
            ToolDefinitionError: what it leads to cannot be a tool.
            ToolConflictError: the tenant has another tool of this name.
        """
        if reference not in self._loaded:
            self._loaded[reference] = self._loader.load(reference)
        tool = self._loaded[reference]
        self.add(tool, tenant=tenant, origin=reference)
        return tool

    def load_all(self, references: Iterable[str], *, tenant: str = DEFAULT_TENANT) -> dict[str, Tool]:
        """The tools of one agent, by name, in the order given. Raises as :meth:`load` does."""
        tools = [self.load(reference, tenant=tenant) for reference in references]
        return {tool.name: tool for tool in tools}

    def add(self, tool: Tool, *, tenant: str = DEFAULT_TENANT, origin: str = "") -> None:
        """Adds a tool; adding it again changes nothing.

        Args:
            origin: where it comes from, for messages.

        Raises:
            ToolConflictError: the tenant has another tool of this name.
        """
        tools = self._tools.setdefault(tenant, {})
        origins = self._origins.setdefault(tenant, {})
        known = tools.setdefault(tool.name, tool)
        if known is not tool:
            other = origins[tool.name] or repr(known.name)
            raise ToolConflictError(
                f"two tools are named {tool.name!r}: {other} and {origin or repr(tool.name)}; "
                "give one of them another name with @tool(name=…)"
            )
        origins.setdefault(tool.name, origin)

    def get(self, name: str, *, tenant: str = DEFAULT_TENANT) -> Tool:
        """The tool of this name.

        Raises:
            UnknownToolError: the tenant has none; the message names those it has.
        """
        tools = self._tools.get(tenant, {})
        if name not in tools:
            raise UnknownToolError(f"unknown tool {name!r}; known tools: {', '.join(tools) or 'none'}")
        return tools[name]

    def names(self, *, tenant: str = DEFAULT_TENANT) -> list[str]:
        """In the order they were added."""
        return list(self._tools.get(tenant, {}))
