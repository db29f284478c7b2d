"""The tools of a session's MCP servers: fetched once for each definition, shown as an item, offered to the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.events import McpListToolsCompleted, McpListToolsFailed, McpListToolsInProgress
from perhop.realtime.items import McpListToolsItem
from perhop.realtime.mcp.declared import Definitions, McpRules, McpServer
from perhop.realtime.mcp.effects import ListMcpTools, McpListFailed, McpToolInfo, McpToolsListed, ReleaseMcpServer
from perhop.realtime.mcp.offer import Offer, allowed, make_offer
from perhop.realtime.session_fields import FunctionTool, McpTool, Tool
from perhop.realtime.wire import JsonObject

__all__ = ["McpTools"]


@dataclass(slots=True)
class _Listing:
    """The tools of one server, on their way or here.

    Attributes:
        waited_until: a response waits for it so long; None once nobody waits.
    """

    tool: McpTool
    entry: Entry
    waited_until: float | None
    tools: tuple[McpToolInfo, ...] = ()
    done: bool = False
    failed: bool = False


class McpTools:
    """Keeps what each label of the session means and what its server offers."""

    def __init__(self, core: Core, rules: McpRules) -> None:
        self._core = core
        self._rules = rules
        self._definitions = Definitions(rules)
        self._by_label: dict[str, _Listing] = {}
        self._last_offer: tuple[Sequence[Tool], Offer] | None = None

    def complete(self, tools: Iterable[Tool], *, at: str) -> tuple[Tool, ...]:
        """Tools with every MCP definition completed; changes nothing.

        Raises:
            ProtocolError: one of them cannot be used here.
        """
        return self._definitions.complete(tools, at=at)

    def declare(self, tools: Sequence[Tool], now: float) -> None:
        """Takes completed definitions over and has the tools of those listed that are new, changed or failed."""
        self._definitions.remember(tools)
        for tool in tools:
            if isinstance(tool, McpTool):
                known = self._by_label.get(tool.server_label)
                same = known is not None and McpServer.of(known.tool) == McpServer.of(tool)
                if known is not None and not same:
                    self._supersede(known)
                if known is None or not same or known.failed:
                    self._begin(tool, now)

    def awaited(self, tools: Iterable[Tool]) -> set[str]:
        """Listings that a response with these tools waits for."""
        labels = {tool.server_label for tool in tools if isinstance(tool, McpTool)}
        return {
            listing.entry.id
            for label, listing in self._by_label.items()
            if label in labels and not listing.done and listing.waited_until is not None
        }

    def listed(self, listed: McpToolsListed) -> None:
        """The tools of a server came."""
        listing = self._open(listed.item_id)
        if listing is not None:
            listing.tools = listed.tools
            self._core.emit(McpListToolsCompleted(event_id=self._core.event_id(), item_id=listed.item_id))
            shown = [_shown(info) for info in listed.tools if allowed(listing.tool, info)]
            self._finish(listing, {"tools": shown})

    def failed(self, failure: McpListFailed) -> None:
        """They will not come."""
        listing = self._open(failure.item_id)
        if listing is not None:
            self._fail(listing, failure.message)

    def offer(self, tools: Sequence[Tool]) -> Offer:
        """What the model may call with these tools, as far as it is known by now. Cheap when asked again."""
        if self._last_offer is not None and self._last_offer[0] is tools:
            return self._last_offer[1]
        functions = [tool.to_dict() for tool in tools if isinstance(tool, FunctionTool)]
        declared = [tool for tool in tools if isinstance(tool, McpTool)]
        known = ((tool, self._by_label.get(tool.server_label)) for tool in declared)
        offer = make_offer(functions, [(tool, listing.tools) for tool, listing in known if listing is not None])
        self._last_offer = (tools, offer)
        return offer

    def next_deadline(self) -> float | None:
        """When the next wait for a listing is over."""
        waits = (listing.waited_until for listing in self._by_label.values() if not listing.done)
        return min((until for until in waits if until is not None), default=None)

    def overdue(self, now: float) -> list[str]:
        """Listings that have been waited for long enough; they may still come."""
        over = []
        for listing in self._by_label.values():
            if not listing.done and listing.waited_until is not None and listing.waited_until <= now:
                listing.waited_until = None
                over.append(listing.entry.id)
        return over

    # -- inside -------------------------------------------------------------------------------------------------------

    def _begin(self, tool: McpTool, now: float) -> None:
        core = self._core
        item = McpListToolsItem(id=core.new_id("mcpl_"), server_label=tool.server_label, tools=[])
        entry = Entry(item=item, known=item, in_progress=True)
        self._by_label[tool.server_label] = _Listing(tool, entry, now + self._rules.list_wait_s)
        self._last_offer = None
        core.add_item(entry)
        core.emit(McpListToolsInProgress(event_id=core.event_id(), item_id=entry.id))
        core.emit(ListMcpTools(entry.id, McpServer.of(tool)))

    def _supersede(self, listing: _Listing) -> None:
        if not listing.done:
            self._fail(listing, "The server was defined anew.")
        self._core.emit(ReleaseMcpServer(McpServer.of(listing.tool)))

    def _fail(self, listing: _Listing, message: str) -> None:
        listing.failed = True
        self._core.emit(McpListToolsFailed(event_id=self._core.event_id(), item_id=listing.entry.id))
        # Not in the Realtime API, which says nothing of the reason; its Responses API has it at this place.
        self._finish(listing, {"error": message})

    def _finish(self, listing: _Listing, update: JsonObject) -> None:
        item = listing.entry.item.model_copy(update=update)
        listing.done = True
        self._last_offer = None
        self._core.item_done(listing.entry, item)
        listing.entry.finished(item)

    def _open(self, item_id: str) -> _Listing | None:
        return next(
            (known for known in self._by_label.values() if known.entry.id == item_id and not known.done),
            None,
        )


def _shown(info: McpToolInfo) -> JsonObject:
    """A tool as the item shows it; clients want a description even when there is none."""
    shown: JsonObject = {"name": info.name, "description": info.description, "input_schema": info.input_schema}
    return shown if info.annotations is None else {**shown, "annotations": info.annotations}
