"""Events of calls that the bus still keeps: what is forgotten here is forgotten there too."""

from __future__ import annotations

import structlog

from perhop.tools.bus import Bus, BusError, call_subject
from perhop.tools.bus.seldom import Seldom
from perhop.workers.sdk import Effect, NotSentError

__all__ = ["FORGET", "Kept"]

_log = structlog.get_logger(__name__)

FORGET = "forget"
"""The delivery that tells the bus."""


class Kept:
    """What was said in calls, as the bus keeps it for its consumers."""

    def __init__(self) -> None:
        self._bus: Bus | None = None
        self._seldom = Seldom()

    def use(self, bus: Bus) -> None:
        """The bus; before it is known, what is to be forgotten waits."""
        self._bus = bus

    async def deliver(self, effect: Effect) -> None:
        """Forgets the call that an effect names; see :data:`perhop.workers.sdk.delivery.Deliver`.

        Raises:
            NotSentError: the worker is only starting.
            BusError: another try may do it.
        """
        if self._bus is None:
            raise NotSentError("the worker is only starting")
        await self._bus.forget(call_subject(effect.tenant, str(effect.payload["call"]), "transcript"))

    async def forget(self, tenant: str, call_id: str) -> bool:
        """Forgets a call; whether its rows may go too.

        While the bus is away they wait for it. Where the bus refuses, they do not: it then keeps the events until they
        are too old for it, and the log says so.
        """
        if self._bus is None:
            return False
        try:
            await self._bus.forget(call_subject(tenant, call_id, "transcript"))
        except BusError as error:
            if not self._bus.connected:
                return False
            if (times := self._seldom.now("refused")) is not None:
                _log.warning("the bus keeps events of forgotten calls", error=type(error).__qualname__, times=times)
        return True
