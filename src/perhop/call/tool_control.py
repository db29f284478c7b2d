"""The call as its built-in tools see it."""

from __future__ import annotations

from typing import Protocol

from perhop.call.abilities import DtmfLeg, TransferLeg
from perhop.call.acting import ActingAgent
from perhop.call.farewell import Farewell
from perhop.call.legs import CallerLeg
from perhop.errors import PerhopError
from perhop.tools.errors import ToolError

__all__ = ["HasLeg", "ToolControl"]


class HasLeg(Protocol):
    """The call: its caller may come back over another leg."""

    @property
    def leg(self) -> CallerLeg: ...


class ToolControl:
    """Implements :class:`~perhop.tools.control.CallControl`.

    Args:
        acting: hands over to another agent once the tool's output is in.
        farewell: ends the call after the goodbye.
    """

    def __init__(self, call: HasLeg, *, acting: ActingAgent, farewell: Farewell) -> None:
        self._call = call
        self._acting = acting
        self._farewell = farewell

    async def hang_up(self) -> None:
        """Ends the call once the goodbye that follows was played."""
        self._farewell.begin()

    async def transfer(self, target: str) -> None:
        """Hands the caller to somebody else."""
        leg = self._call.leg
        if not isinstance(leg, TransferLeg):
            raise ToolError("This caller cannot be transferred: the call did not come in over a telephone line.")
        try:
            await leg.transfer(target)
        except PerhopError as error:
            raise ToolError(f"The transfer failed: {error}") from error

    async def hand_off(self, agent: str) -> None:
        """Goes on as another agent."""
        try:
            self._acting.nominate(agent)
        except PerhopError:
            raise ToolError(f"There is no agent {agent} here at the moment.") from None

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys."""
        leg = self._call.leg
        if not isinstance(leg, DtmfLeg):
            raise ToolError("No keys can be pressed here: the call did not come in over a telephone line.")
        try:
            await leg.send_dtmf(digits)
        except PerhopError as error:
            raise ToolError(f"The keys could not be pressed: {error}") from error
