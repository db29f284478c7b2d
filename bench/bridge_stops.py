"""How long an agent is still heard after the model has noticed that its caller talks: the second part of bridge.py."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from bench.webrtc_edge import SystemUnderTest, percentile
from bench.webrtc_load import FRAME, INTERVAL, RATE, Caller, Load, LoadResult, encode
from numpy.typing import NDArray

__all__ = ["Stops", "measure_stops"]

TALKS_S = 0.4
PERIOD_S = 2.6
"""A caller says something this often: long enough after it for the turn to end and the agent to be heard again."""

PAUSE_S = 0.1
"""Without an audible packet for this long, the agent is silent."""

MOSTLY = 240
"""Loud samples of a packet's 480 that make it the agent's; after its last one the codec still rings for a while."""

LISTENERS = 8
"""Callers that decode what they hear; the others only talk and are talked to."""


@dataclass(slots=True)
class Stops:
    """What was measured, s."""

    HEADINGS: ClassVar[tuple[str, ...]] = ("calls", "interruptions", "ms p50", "p95", "max", "late ms p99")

    calls: int
    silent_after: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)

    def cells(self) -> list[str]:
        after = self.silent_after
        return [
            str(self.calls),
            str(len(after)),
            *(
                f"{value * 1e3:.1f}"
                for value in (percentile(after, 0.5), percentile(after, 0.95), max(after, default=0))
            ),
            f"{percentile(self.lateness, 0.99) * 1e3:.2f}",
        ]


class Interrupter(Caller):
    """A caller that says something every few seconds, and notes when it heard what."""

    def __init__(self, index: int, packets: Sequence[bytes]) -> None:
        super().__init__(index, packets, is_probe=index < LISTENERS)
        self._loud, self._quiet = packets[: len(packets) // 2], packets[len(packets) // 2 :]
        self._phase = index * 0.377 % PERIOD_S
        self.arrivals: list[float] = []

    def talk(self, now: float) -> None:
        loud = (now + self._phase) % PERIOD_S < TALKS_S
        self._packets = self._loud if loud else self._quiet
        self._at %= len(self._packets)
        super().talk(now)

    def heard(self, loud: NDArray[np.intp], result: LoadResult | None, now: float) -> None:  # noqa: ARG002
        if len(loud) > MOSTLY:
            self.arrivals.append(now)


def measure_stops(system: SystemUnderTest, said: list[dict[str, Any]], *, calls: int, seconds: float) -> Stops:
    """Lets callers talk over an agent that never stops by itself.

    Args:
        said: what the model's process reports: sessions as they open, and every ``speech_started`` with its time.
    """
    packets = _tone_then_silence()
    load = Load(calls, 0, make=lambda index: Interrupter(index, packets))
    for index, caller in enumerate(load.callers):
        load.connect([caller], system.answer)
        deadline = time.monotonic() + 5
        while sum("opened" in line for line in said) <= index:  # so that the n-th session is the n-th caller's
            load.run(until=time.monotonic() + 0.01, result=None)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the session of caller {index} did not open")
    load.run(until=time.monotonic() + 2 * PERIOD_S, result=None)
    began, result = time.monotonic(), LoadResult()
    load.run(until=began + seconds, result=result)
    stops = Stops(calls, lateness=result.lateness)
    for line in list(said):
        at = line.get("speech_started", 0.0)
        if began <= at <= began + seconds - 1 and line["session"] < LISTENERS:
            silent = _silence_after(load.callers[line["session"]], at)
            if silent is not None:
                stops.silent_after.append(silent)
    return stops


def _silence_after(caller: Caller, at: float) -> float | None:
    """How long after ``at`` the last packet had been played (20 ms from its arrival); None when nothing was playing."""
    assert isinstance(caller, Interrupter)
    arrivals = caller.arrivals
    playing = [arrival for arrival in arrivals if at - PAUSE_S < arrival <= at]
    if not playing:
        return None
    last = playing[-1]
    for arrival in arrivals:
        if arrival > last:
            if arrival - last > PAUSE_S:
                break
            last = arrival
    return max(0.0, last + INTERVAL - at)


def _tone_then_silence() -> list[bytes]:
    """Opus packets, the first half loud, the second silent."""
    count = round(TALKS_S * RATE / FRAME) * FRAME
    tone = 14_000 * np.sin(2 * np.pi * 500 * np.arange(count) / RATE)
    return encode(np.concatenate((tone, np.zeros(count))))
