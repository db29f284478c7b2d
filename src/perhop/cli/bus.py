"""The bus, for commands that ask it something and end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perhop.config.bus import BusSettings
    from perhop.tools.bus import Bus

__all__ = ["asking"]


@asynccontextmanager
async def asking(settings: BusSettings, *, name: str) -> AsyncIterator[Bus]:
    """The bus, connected.

    Args:
        name: of this process, as the NATS server shows it.

    Raises:
        BusDownError: no server answers; the message says which were tried.
    """
    from perhop.tools.bus import BusDownError, open_bus

    bus = await open_bus(settings, name=name)
    try:
        if not bus.connected:
            raise BusDownError(f"no NATS server answers at {settings.url} (bus.url); is it running?")
        yield bus
    finally:
        await bus.close()
