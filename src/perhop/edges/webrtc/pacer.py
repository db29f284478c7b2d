"""One clock for everything that is played: each leg sends a frame every 20 ms, on an absolute schedule.

Steps of 5 ms give four phases, so that legs do not all send at once, and a reply that starts between two of its leg's
turns need not wait for the next: the leg sends its first frame itself and then takes the phase that fits.
"""

from __future__ import annotations

import asyncio
from math import ceil, floor
from typing import Protocol

from perhop.edges.webrtc.deadlines import TIMER_RESOLUTION
from perhop.realtime.audio import FRAME_MS

__all__ = ["PHASES", "STEP", "Paced", "Pacer"]

PHASES = 4
STEP = FRAME_MS / PHASES / 1000
"""s; four phases of 5 ms."""


class Paced(Protocol):
    """Something that sends a frame when its turn comes."""

    def on_turn(self, now: float) -> bool:
        """20 ms have passed. False takes it off the clock until it is added again. Must not raise."""


class Pacer:
    """The clock. Its timer sleeps while nothing is on it.

    Step k is at ``start + k * STEP`` whatever the steps before it took. After a stall, every phase that was missed gets
    one turn, not one for every 20 ms it missed: what comes late must not come in a burst.
    """

    __slots__ = ("_joining", "_loop", "_phases", "_start", "_step", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._start = loop.time()
        self._step = 0  # the last step that was taken
        # Dictionaries as ordered sets. Whoever joins a phase lets its next step, under 5 ms away, pass by.
        self._phases: tuple[dict[Paced, None], ...] = tuple({} for _ in range(PHASES))
        self._joining: tuple[dict[Paced, None], ...] = tuple({} for _ in range(PHASES))
        self._timer: asyncio.TimerHandle | None = None

    def add(self, paced: Paced, now: float) -> float:
        """Puts a leg on the clock that sends a frame at ``now`` by itself: its next turn is 20 to 25 ms later.

        A leg that is on the clock already moves to the phase that fits.

        Returns:
            When its next turn is.
        """
        self.remove(paced)
        position = (now - self._start) / STEP
        if self._timer is None:
            self._step = floor(position)
        passes_by = max(ceil(position), self._step + 1)  # the next step that is still to come
        self._joining[passes_by % PHASES][paced] = None
        if self._timer is None:
            self._arm()
        return self._start + (passes_by + PHASES) * STEP

    def advance(self, paced: Paced, steps: int) -> None:
        """Brings a leg's next turn, and all turns after it, forward; to be called by the leg in its turn.

        Args:
            steps: of 5 ms, fewer than :data:`PHASES`.
        """
        for phase, members in enumerate(self._phases):
            if paced in members:
                del members[paced]
                self._phases[(phase - steps) % PHASES][paced] = None
                return

    def remove(self, paced: Paced) -> None:
        """Takes a leg off the clock, if it is on it."""
        for members in (*self._phases, *self._joining):
            members.pop(paced, None)

    def close(self) -> None:
        """Stops for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for members in (*self._phases, *self._joining):
            members.clear()

    def _arm(self) -> None:
        """Sets the timer to the next step that is somebody's; sleeps when there is none."""
        self._timer = None
        for step in range(self._step + 1, self._step + 1 + PHASES):
            if self._phases[step % PHASES] or self._joining[step % PHASES]:
                self._timer = self._loop.call_at(self._start + step * STEP, self._tick)
                return

    def _tick(self) -> None:
        now = self._loop.time()
        last = max(floor((now + TIMER_RESOLUTION - self._start) / STEP), self._step + 1)
        try:
            for step in range(max(self._step + 1, last - PHASES + 1), last + 1):
                self._turn(step % PHASES, now)
        finally:  # whatever is wrong with one leg, the others' clock goes on
            self._step = last
            self._arm()

    def _turn(self, phase: int, now: float) -> None:
        members, joining = self._phases[phase], self._joining[phase]
        for paced in list(members):  # a turn may move others, or take them off
            if paced not in members:
                continue
            goes_on = False
            try:
                goes_on = paced.on_turn(now)
            finally:
                if not goes_on:
                    members.pop(paced, None)
        if joining:
            members.update(joining)
            joining.clear()
