"""The bus that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perhop.config.bus import BusSettings
from perhop.tools.bus.memory import InProcessBus

if TYPE_CHECKING:
    from perhop.tools.bus.base import Bus

__all__ = ["open_bus"]


async def open_bus(settings: BusSettings, *, name: str = "perhop", wait_s: float = 2.0) -> Bus:
    """NATS when ``url`` is set, otherwise the bus inside this process.

    Args:
        name: of this process, as the NATS server shows it.
        wait_s: how long to wait for the first connection; it is made later when that fails.

    Raises:
        BusError: the settings cannot be used.
    """
    if settings.url is None:
        return InProcessBus(settings)
    from perhop.tools.bus.nats import NatsBus

    return await NatsBus.open(settings, name=name, wait_s=wait_s)
