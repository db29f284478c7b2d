"""What built-in tools may do to the call they run in."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CallControl"]


class CallControl(Protocol):
    """The call as its own tools see it. Every method raises :class:`~perhop.tools.errors.ToolError` when the call or
    its edge cannot do it; the message is for the model."""

    async def hang_up(self) -> None:
        """Ends the call once the goodbye that follows was played; returns at once."""

    async def transfer(self, target: str) -> None:
        """Hands the caller to somebody else: a telephone number (``tel:+14155550100``) or a SIP address."""

    async def hand_off(self, agent: str) -> None:
        """Goes on as another agent: its instructions, voice and tools, with the conversation so far."""

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys of the caller's telephone line."""
