"""The call, as its model line sees it."""

from __future__ import annotations

from typing import Literal, Protocol

from perhop.call.history import History
from perhop.call.legs import ModelSink

__all__ = ["LineHost", "Replacement"]

Replacement = Literal["start", "renewal", "reconnect", "failover", "resume"]
"""Why a model session came in force."""


class LineHost(ModelSink, Protocol):
    """A sink that outlives model sessions, and knows what is going on between them."""

    @property
    def history(self) -> History: ...

    def busy(self) -> bool:
        """Whether the caller hears a response, a tool runs, or a response was asked for and has not begun."""

    def on_session_lost(self) -> None:
        """The session in force is gone: what it had begun must be ended. The line has none when this is called."""

    def on_session_replaced(self, why: Replacement, *, epoch: int, lost: bool, gap_s: float) -> None:
        """A session is in force and knows the conversation: what was asked and not begun must be asked again.

        Args:
            epoch: its number.
            lost: a response was cut off in the one before.
            gap_s: how long there was none.
        """

    def on_waiting(self) -> None:
        """There has been no session for a while; the caller should be told to wait."""
