"""The call as its built-in tools see it."""

from __future__ import annotations

from typing import Protocol

from perhop.call.abilities import DtmfLeg, TransferLeg
from perhop.call.legs import CallerLeg
from perhop.errors import PerhopError
from perhop.tools.errors import ToolError

__all__ = ["Switchable", "ToolControl"]


class Switchable(Protocol):
    """What the call lets its tools do."""

    def leave(self) -> None:
        """Ends the call after the goodbye."""

    def succeed(self, agent: str) -> None:
        """Goes on as this agent once the tool's output is in. Raises PerhopError when there is no such agent."""


class ToolControl:
    """Implements :class:`~perhop.tools.control.CallControl`.

    Attributes:
        leg: the caller's; another one when the caller comes back.
    """

    def __init__(self, call: Switchable, leg: CallerLeg) -> None:
        self._call = call
        self.leg = leg

    async def hang_up(self) -> None:
        """Ends the call once the goodbye that follows was played."""
        self._call.leave()

    async def transfer(self, target: str) -> None:
        """Hands the caller to somebody else."""
        leg = self.leg
        if not isinstance(leg, TransferLeg):
            raise ToolError("This caller cannot be transferred: the call did not come in over a telephone line.")
        try:
            await leg.transfer(target)
        except PerhopError as error:
            raise ToolError(f"The transfer failed: {error}") from error

    async def hand_off(self, agent: str) -> None:
        """Goes on as another agent."""
        try:
            self._call.succeed(agent)
        except PerhopError:
            raise ToolError(f"There is no agent {agent} here at the moment.") from None

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys."""
        leg = self.leg
        if not isinstance(leg, DtmfLeg):
            raise ToolError("No keys can be pressed here: the call did not come in over a telephone line.")
        try:
            await leg.send_dtmf(digits)
        except PerhopError as error:
            raise ToolError(f"The keys could not be pressed: {error}") from error
