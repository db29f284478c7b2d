"""What HTTP needs of an edge where calls ring before they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["NoTelephones", "TelephoneCalls"]


class TelephoneCalls(Protocol):
    """Calls that ring or are on a telephone. What is done to one that is over has no effect."""

    def tenant_of(self, call_id: str) -> str | None:
        """Whose call this is; None when no call rings, or is on a telephone, under this id."""

    async def accept(self, call_id: str, *, session: Mapping[str, Any]) -> None:
        """Answers a call with this partial session object."""

    async def reject(self, call_id: str, *, status_code: int) -> None:
        """Declines a call with this final SIP status."""

    async def refer(self, call_id: str, *, target_uri: str) -> None:
        """Sends the telephone elsewhere: a ``tel:`` or ``sip:`` URI."""


class NoTelephones:
    """There is no such edge."""

    def tenant_of(self, call_id: str) -> None:  # noqa: ARG002
        """None: nothing rings here."""
        return

    async def accept(self, call_id: str, *, session: Mapping[str, Any]) -> None:
        """Never reached."""

    async def reject(self, call_id: str, *, status_code: int) -> None:
        """Never reached."""

    async def refer(self, call_id: str, *, target_uri: str) -> None:
        """Never reached."""
