"""Tools that are known only by name until a worker offers them on the bus."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog

from perhop.tools.base import Tool
from perhop.tools.bus.base import Bus
from perhop.tools.bus.discovery import ToolOffer, discover
from perhop.tools.bus.errors import BusError
from perhop.tools.bus.subjects import ANY
from perhop.tools.errors import ToolDefinitionError
from perhop.tools.kinds.bus import BusTool

__all__ = ["OfferedTool", "keep_offered"]

_log = structlog.get_logger(__name__)

_SOON_S = 1.0


@dataclass(eq=False)
class OfferedTool:
    """``bus:<name>``: described by whoever serves it. Once known it stays, whether somebody serves it or not.

    Attributes:
        name: under which it is offered.
        tenant: offers to other tenants are not meant.
    """

    name: str
    tenant: str
    _tools: dict[str, Tool] = field(default_factory=dict, repr=False)
    _offer: ToolOffer | None = field(default=None, repr=False)

    @property
    def tools(self) -> Mapping[str, Tool]:
        """It alone, by its name; empty until it was offered."""
        return MappingProxyType(self._tools)

    def take(self, offers: Sequence[ToolOffer]) -> None:
        """Takes its description from what is offered; the newest version goes before older ones."""
        meant = [offer for offer in offers if offer.name == self.name and offer.tenant in (ANY, self.tenant)]
        if not meant:
            return
        offer = max(meant, key=lambda one: (one.tenant != ANY, _version(one.version)))
        if self._offer is not None and _said(offer) == _said(self._offer):
            return
        try:
            self._tools[self.name] = BusTool(
                name=offer.name,
                title=offer.title,
                description=offer.description,
                parameters=dict(offer.parameters),
                effect=offer.effect,
                timeout_s=offer.timeout_s,
            )
            self._offer = offer
        except ToolDefinitionError as error:
            _log.warning("offered tool left out", tool=self.name, worker=offer.worker, reason=str(error)[:500])


async def keep_offered(bus: Bus, tools: Sequence[OfferedTool], *, every_s: float = 30.0) -> None:
    """Asks the bus what is offered, soon again while something is missing, and from time to time; runs until
    cancelled."""
    while tools:
        try:
            offers = await discover(bus)
        except BusError:
            offers = []  # the bus itself tells that it is down
        for tool in tools:
            tool.take(offers)
        await asyncio.sleep(every_s if all(tool.tools for tool in tools) else _SOON_S)


def _version(text: str) -> tuple[int, ...]:
    numbers = re.match(r"[0-9.]*", text)
    return tuple(int(part) for part in numbers[0].split(".") if part) if numbers else ()


def _said(offer: ToolOffer) -> tuple[object, ...]:
    return (offer.title, offer.description, offer.parameters, offer.effect, offer.timeout_s)
