"""What some edges can do with a caller, beyond what every leg does."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["DtmfLeg", "TransferLeg"]


@runtime_checkable
class TransferLeg(Protocol):
    """A leg that can hand its caller to somebody else."""

    async def transfer(self, target: str) -> None:
        """Connects the caller to ``tel:…`` or ``sip:…``; when it returns the other side has accepted.

        Raises:
            PerhopError: it was refused; the caller is still ours.
        """


@runtime_checkable
class DtmfLeg(Protocol):
    """A leg that can press keys."""

    async def send_dtmf(self, digits: str) -> None:
        """Presses them in order; ``w`` waits half a second.

        Raises:
            PerhopError: the other side takes no digits.
        """
