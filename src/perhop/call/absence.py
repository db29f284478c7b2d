"""How long a call waits for a caller who was lost."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from perhop.errors import PerhopError

__all__ = ["Absence", "CallEndedError"]


class CallEndedError(PerhopError):
    """The call is over: nobody can come back to it."""

    def __init__(self, call_id: str) -> None:
        super().__init__(f"the call {call_id} is over")


class Absence:
    """The absence of one call's caller.

    Args:
        window_s: how long the call waits; 0 for not at all.

    Attributes:
        waiting: the caller is away now.
        secret: whoever presents it is the caller.
    """

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.waiting = False
        self.secret = f"rs_{secrets.token_urlsafe(32)}"
        self._timer: asyncio.TimerHandle | None = None

    @property
    def allowed(self) -> bool:
        """Whether a caller may come back at all."""
        return self.window_s > 0

    def begin(self, give_up: Callable[[], None]) -> None:
        """The caller is away; ``give_up`` is called when that lasts too long."""
        self.waiting = True
        self._timer = asyncio.get_running_loop().call_later(self.window_s, give_up)

    def over(self) -> None:
        """The caller is back, or the call is over."""
        self.waiting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
