"""MCP servers as sessions and responses declare them: which may be named, and what a bare label means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from perhop.realtime.errors import ProtocolError
from perhop.realtime.session_fields import McpTool, Tool
from perhop.realtime.wire import clipped

__all__ = ["Definitions", "FollowUp", "McpRules", "McpServer"]

FollowUp = Literal["client", "server"]
"""Who asks for the answer once an MCP call has its output."""

# Stricter than RFC 3986 on purpose: what two URL parsers could read differently is not accepted at all.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?(?:[/?][!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class McpServer:
    """One MCP server as one account: what a connection to it depends on.

    Attributes:
        label: what the client calls it.
        url: where it is.
        authorization: an OAuth access token.
        headers: further HTTP headers.
    """

    label: str
    url: str
    authorization: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, tool: McpTool) -> McpServer:
        """The server of a complete definition."""
        headers = tuple(sorted((tool.headers or {}).items()))
        return cls(tool.server_label, tool.server_url or "", tool.authorization, headers)


@dataclass(frozen=True, slots=True)
class McpRules:
    """What a host allows its sessions.

    Attributes:
        hosts: that clients may name: ``example.com`` (the scheme's own port), ``example.com:8443``,
            ``*.example.com`` (all below it), ``*``. None by default.
        follow_up: ``client``, as in the original API: a response ends with its calls, and the client asks for the
            answer. ``server``: the model goes on by itself, for callers without code of their own.
        max_servers: labels of one session.
        max_calls: calls of one session that run or wait for approval.
        max_rounds: times a response may go on after calls; then the model must answer without tools.
        list_wait_s: how long a response waits for tools that are still being listed.
    """

    hosts: frozenset[str] = frozenset()
    follow_up: FollowUp = "client"
    max_servers: int = 8
    max_calls: int = 16
    max_rounds: int = 6
    list_wait_s: float = 5.0

    def permits(self, host: str, port: int, *, default_port: int) -> bool:
        """Whether clients may name this host."""
        return "*" in self.hosts or any(
            name in self.hosts for name in _patterns(host.lower(), port, default_port=default_port)
        )

    def check(self, tool: McpTool, *, at: str) -> None:
        """Refuses a complete definition that this server will not use.

        Raises:
            ProtocolError: naming the field.
        """
        for name in ("connector_id", "tunnel_id"):
            if getattr(tool, name) is not None:
                message = f"'{at}.{name}' is not available here: name the MCP server by its server_url."
                raise ProtocolError("invalid_value", message, f"{at}.{name}")
        param = f"{at}.server_url"
        url = _URL.fullmatch(tool.server_url or "")
        if url is None:
            message = f"Invalid value for '{param}': it should be an http or https URL without credentials."
            raise ProtocolError("invalid_value", message, param)
        default = _DEFAULT_PORTS[url["scheme"].lower()]
        if not self.permits(url["host"], int(url["port"] or default), default_port=default):
            message = (
                f"'{clipped(url['host'])}' is not among the MCP servers this installation may use; its operator lists "
                "their hosts in the setting mcp.allowed_hosts."
            )
            raise ProtocolError("invalid_value", message, param)


def _patterns(host: str, port: int, *, default_port: int) -> Iterator[str]:
    """Every way to list this host."""
    parents = host.split(".")[1:]
    names = [host, *(".".join(("*", *parents[i:])) for i in range(len(parents)))]
    for name in names:
        yield f"{name}:{port}"
        if port == default_port:
            yield name


class Definitions:
    """What each label means in a session: once defined, a label can be used without saying it all again."""

    def __init__(self, rules: McpRules) -> None:
        self._rules = rules
        self._known: dict[str, McpTool] = {}

    def complete(self, tools: Iterable[Tool], *, at: str) -> tuple[Tool, ...]:
        """Tools with every MCP definition completed and allowed; function tools as they are.

        A label alone means its earlier definition. An entry for the same URL that gives no credentials keeps those
        given before: sessions are shown without them, and a client may well send back what it was shown.

        Args:
            at: where the list stands in the event, for the error's ``param``.

        Raises:
            ProtocolError: nothing was taken over.
        """
        completed: list[Tool] = []
        labels: set[str] = set()
        for index, tool in enumerate(tools):
            if not isinstance(tool, McpTool):
                completed.append(tool)
                continue
            if tool.server_label in labels:
                message = f"Two entries have the server_label '{clipped(tool.server_label)}'."
                raise ProtocolError("invalid_value", message, f"{at}[{index}].server_label")
            labels.add(tool.server_label)
            completed.append(self._completed(tool, at=f"{at}[{index}]"))
        if len(labels | self._known.keys()) > self._rules.max_servers:
            message = f"A session can use {self._rules.max_servers} MCP servers at most."
            raise ProtocolError("invalid_value", message, at)
        return tuple(completed)

    def remember(self, tools: Sequence[Tool]) -> None:
        """From now on these are what their labels mean."""
        self._known.update((tool.server_label, tool) for tool in tools if isinstance(tool, McpTool))

    def _completed(self, tool: McpTool, *, at: str) -> McpTool:
        given = {name for name in tool.model_fields_set if getattr(tool, name) is not None}
        known = self._known.get(tool.server_label)
        if not given & {"server_url", "connector_id", "tunnel_id"}:
            if known is None:
                param = f"{at}.server_url"
                raise ProtocolError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
            return known.model_copy(update={name: getattr(tool, name) for name in given})
        if known is not None and known.server_url == tool.server_url and not given & {"authorization", "headers"}:
            tool = tool.model_copy(update={"authorization": known.authorization, "headers": known.headers})
        self._rules.check(tool, at=at)
        return tool
