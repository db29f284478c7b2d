"""MCP tools as the model sees them: functions, each with a name of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from perhop.realtime.mcp.declared import McpServer
from perhop.realtime.mcp.effects import McpToolInfo
from perhop.realtime.session_fields import McpTool, McpToolFilter
from perhop.realtime.wire import JsonObject

__all__ = ["Offer", "OfferedTool", "allowed", "chosen", "function_name", "make_offer", "needs_approval"]

_NAME_MAX = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """One MCP tool in an offer.

    Attributes:
        function: what the model calls it.
        name: what its server calls it.
        needs_approval: the client decides about every call.
    """

    function: str
    server: McpServer
    name: str
    needs_approval: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of one response.

    Attributes:
        functions: all of them, in the shape of ``session.tools``; functions of the client first.
        mcp: those that this server runs, by what the model calls them.
    """

    functions: tuple[JsonObject, ...] = ()
    mcp: Mapping[str, OfferedTool] = field(default_factory=dict)

    def function_of(self, label: str, name: str) -> str:
        """What the model calls a tool; its plain name when it is not on offer."""
        for tool in self.mcp.values():
            if (tool.server.label, tool.name) == (label, name):
                return tool.function
        return function_name(name)

    def only(self, label: str) -> Offer:
        """The tools of one server."""
        mcp = {name: tool for name, tool in self.mcp.items() if tool.server.label == label}
        return Offer(tuple(function for function in self.functions if function["name"] in mcp), mcp)


def chosen(offer: Offer, choice: str | JsonObject) -> tuple[Offer, str | JsonObject]:
    """What is left of an offer when ``tool_choice`` is about an MCP server, and the choice in terms of functions.

    With nothing of that server on offer the model is free to answer without it.
    """
    if not isinstance(choice, dict) or choice.get("type") != "mcp":
        return offer, choice
    label, name = str(choice.get("server_label")), choice.get("name")
    only = offer.only(label)
    if not only.mcp:
        return offer, "auto"
    if name is None:
        return only, "required"
    function = offer.function_of(label, str(name))
    return (only, {"type": "function", "name": function}) if function in only.mcp else (offer, "auto")


def make_offer(functions: Sequence[JsonObject], listed: Iterable[tuple[McpTool, Sequence[McpToolInfo]]]) -> Offer:
    """Everything the model may call: the client's functions, and of every MCP server what its declaration allows."""
    offered = list(functions)
    taken = {str(function.get("name")) for function in functions}
    mcp: dict[str, OfferedTool] = {}
    for tool, infos in listed:
        server = McpServer.of(tool)
        for info in infos:
            if not allowed(tool, info):
                continue
            name = _free_name(info.name, tool.server_label, taken)
            taken.add(name)
            mcp[name] = OfferedTool(name, server, info.name, needs_approval(tool, info))
            offered.append(_as_function(name, info))
    return Offer(tuple(offered), mcp)


def allowed(tool: McpTool, info: McpToolInfo) -> bool:
    """Whether a declaration lets the model use a tool of its server."""
    if tool.allowed_tools is None:
        return True
    if isinstance(tool.allowed_tools, list):
        return info.name in tool.allowed_tools
    return _matches(tool.allowed_tools, info)


def needs_approval(tool: McpTool, info: McpToolInfo) -> bool:
    """Whether the client must approve a call. Without a word about it every call needs approval.

    With filters, ``always`` goes before ``never``; a tool that neither names needs approval, unless ``always`` alone
    was given.
    """
    rule = tool.require_approval
    if rule is None or isinstance(rule, str):
        return rule != "never"
    if rule.always is not None and _matches(rule.always, info):
        return True
    if rule.never is not None:
        return not _matches(rule.never, info)
    return rule.always is None


def function_name(name: str) -> str:
    """A tool's name in the characters that names of functions may have."""
    return _NOT_IN_NAMES.sub("_", name)[:_NAME_MAX] or "tool"


def _matches(rule: McpToolFilter, info: McpToolInfo) -> bool:
    """An empty filter matches nothing."""
    if rule.tool_names is None and rule.read_only is None:
        return False
    named = rule.tool_names is None or info.name in rule.tool_names
    return named and (rule.read_only is None or info.read_only is rule.read_only)


def _free_name(name: str, label: str, taken: set[str]) -> str:
    for candidate in (function_name(name), function_name(f"{label}_{name}")):
        if candidate not in taken:
            return candidate
    count = 2
    while (candidate := f"{function_name(name)[: _NAME_MAX - 6]}_{count}") in taken:
        count += 1
    return candidate


def _as_function(name: str, info: McpToolInfo) -> JsonObject:
    """``x-effect`` spares the caller a confirmation for what only looks; see ``perhop.tools``."""
    parameters = {"type": "object", "properties": {}, **info.input_schema}
    if info.read_only:
        parameters.setdefault("x-effect", "none")
    return {"type": "function", "name": name, "description": info.description, "parameters": parameters}
