"""All tools this process knows, by tenant and name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from perhop.config.tools import BusToolSettings, McpToolSettings, ToolSettings
from perhop.tools.base import Tool
from perhop.tools.errors import ToolConflictError, ToolLoadError, UnknownToolError
from perhop.tools.loader import ToolLoader

if TYPE_CHECKING:  # takes the protocol's and HTTP's modules along; loaded only where an MCP server is declared
    from perhop.tools.kinds.offered import OfferedTool
    from perhop.tools.mcp.source import McpSource

__all__ = ["DEFAULT_TENANT", "AgentTools", "ToolRegistry", "ToolSource"]

DEFAULT_TENANT = "default"


class ToolSource(Protocol):
    """Tools that become known while the process runs."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """By name, as far as they are known."""


class AgentTools(Mapping[str, Tool]):
    """The tools of one agent by name, those of its MCP servers included, as far as they are known by now."""

    def __init__(self, tools: Mapping[str, Tool], sources: Sequence[ToolSource] = ()) -> None:
        self._tools = dict(tools)
        self._sources = tuple(sources)

    def __getitem__(self, name: str) -> Tool:
        if name in self._tools:
            return self._tools[name]
        for source in self._sources:
            if name in source.tools:
                return source.tools[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        names = [*self._tools, *(name for source in self._sources for name in source.tools)]
        return iter(dict.fromkeys(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ToolRegistry:
    """Tools by name, apart for each tenant. Within a tenant a name means one tool, whichever agents use it.

    Args:
        folder: what relative references start from: the folder of ``perhop.toml``.
        declared: ``[tools.<name>]`` tables.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        declared: Mapping[str, ToolSettings] | None = None,
    ) -> None:
        self._folder = folder
        self._loader = ToolLoader(folder)
        self._declared = declared or {}
        self._tools: dict[str, dict[str, Tool]] = {}
        self._origins: dict[str, dict[str, str]] = {}
        self._loaded: dict[str, Tool] = {}
        self._sources: dict[str, McpSource] = {}
        self._offered: dict[tuple[str, str], OfferedTool] = {}
        # Of the registry that this one follows: taken over when they are referred to again.
        self._earlier_tools: dict[str, Tool] = {}
        self._earlier_sources: dict[str, McpSource] = {}
        self._earlier_offered: dict[tuple[str, str], OfferedTool] = {}

    def successor(self, declared: Mapping[str, ToolSettings]) -> ToolRegistry:
        """A registry with other tables and nothing added yet. What a reference means now and meant before stays the
        same tool, and with it what it knows: how many of it run, what its server told."""
        made = ToolRegistry(folder=self._folder, declared=declared)
        made._loader = self._loader
        same = {name for name, settings in declared.items() if self._declared.get(name) == settings}
        made._earlier_tools = {name: tool for name, tool in self._loaded.items() if ":" in name or name in same}
        made._earlier_sources = {name: source for name, source in self._sources.items() if name in same}
        made._earlier_offered = dict(self._offered)
        return made

    @property
    def sources(self) -> Sequence[McpSource]:
        """The MCP servers that were referred to."""
        return list(self._sources.values())

    @property
    def offered(self) -> Sequence[OfferedTool]:
        """Tools that were referred to and are described by whoever serves them."""
        return list(self._offered.values())

    def find(self, name: str, *, tenant: str = DEFAULT_TENANT) -> Tool:
        """The tool of this name, wherever it comes from.

        Raises:
            UnknownToolError: the tenant has none.
        """
        everywhere = AgentTools({}, [*self._sources.values(), *(o for o in self.offered if o.tenant == tenant)])
        return everywhere[name] if name in everywhere else self.get(name, tenant=tenant)

    def load(self, reference: str, *, tenant: str = DEFAULT_TENANT) -> Tool:
        """Finds a tool and adds it; the same reference always gives the same tool.

        Args:
            reference: ``"module:function"``, ``"builtin:<name>"``, or the name of a table.

        Raises:
            ToolLoadError: the reference leads nowhere, or to what becomes known later (:meth:`load_all`).
            ToolDefinitionError: what it leads to cannot be a tool.
            ToolConflictError: the tenant has another tool of this name.
        """
        # With or without "bus:", a table is one tool.
        reference = reference.removeprefix("bus:")
        if reference not in self._loaded:
            self._loaded[reference] = self._earlier_tools.get(reference) or self._find(reference)
        tool = self._loaded[reference]
        self.add(tool, tenant=tenant, origin=reference)
        return tool

    def load_all(self, references: Iterable[str], *, tenant: str = DEFAULT_TENANT) -> Mapping[str, Tool]:
        """The tools of one agent, by name, in the order given. Raises as :meth:`load` does.

        Those of MCP servers join them when the servers have told of them, and those that are a worker's
        (``"bus:<name>"``, without a table that describes it) when a worker has offered them.
        """
        tools: list[Tool] = []
        sources: list[ToolSource] = []
        for reference in references:
            source = self._mcp(reference) or self._offer(reference, tenant)
            if source is not None:
                sources.append(source)
            else:
                tools.append(self.load(reference, tenant=tenant))
        return AgentTools({tool.name: tool for tool in tools}, sources)

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

    # -- inside -------------------------------------------------------------------------------------------------------

    def _offer(self, reference: str, tenant: str) -> OfferedTool | None:
        kind, _, name = reference.partition(":")
        if kind != "bus" or isinstance(self._declared.get(name), BusToolSettings):
            return None
        from perhop.tools.kinds.offered import OfferedTool

        key = (tenant, name)
        if key not in self._offered:
            self._offered[key] = self._earlier_offered.get(key) or OfferedTool(name, tenant)
        return self._offered[key]

    def _mcp(self, reference: str) -> McpSource | None:
        settings = self._declared.get(reference)
        if not isinstance(settings, McpToolSettings):
            return None
        if reference not in self._sources:
            self._sources[reference] = self._earlier_sources.get(reference) or self._source(reference, settings)
        return self._sources[reference]

    def _source(self, name: str, settings: McpToolSettings) -> McpSource:
        from perhop.tools.mcp.source import McpSource

        return McpSource(name, settings, folder=str(self._folder or ""))

    def _find(self, reference: str) -> Tool:
        kind, colon, name = reference.rpartition(":")
        if not colon:
            return self._of_table(name)
        if kind == "builtin":
            return self._builtin(name)
        return self._loader.load(reference)

    def _of_table(self, name: str) -> Tool:
        from perhop.tools.kinds.define import define

        settings = self._declared.get(name)
        if settings is None:
            tables = ", ".join(self._declared) or "none"
            message = f'tool reference {name!r}: no such table; there are: {tables}. Functions are "module:function"'
            raise ToolLoadError(message)
        return define(name, settings, folder=self._folder)

    @staticmethod
    def _builtin(name: str) -> Tool:
        from perhop.tools.kinds.builtin import BUILTINS, builtin

        does = next((known for known in BUILTINS if known == name), None)
        if does is None:
            raise ToolLoadError(f"tool reference 'builtin:{name}': the built-in tools are {', '.join(BUILTINS)}")
        return builtin(does)
