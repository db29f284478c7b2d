"""How late the event loop is."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from tests.virtual_time import run_virtual

from perhop.telemetry.loop_lag import LoopLag


def figures(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    """How many looks there were, and how many of them were at most 100 ms late."""
    return (
        registry.get_sample_value("perhop_loop_lag_seconds_count"),
        registry.get_sample_value("perhop_loop_lag_seconds_bucket", {"le": "0.1"}),
    )


def test_a_loop_that_nothing_holds_up_is_never_late() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        lag = LoopLag(registry)
        lag.start()
        await asyncio.sleep(10.01)
        assert figures(registry) == (200, 200)
        assert registry.get_sample_value("perhop_loop_lag_longest_seconds") == 0
        lag.close()
        await asyncio.sleep(10)
        assert figures(registry) == (200, 200)

    run_virtual(main())


def test_a_callback_that_takes_long_is_seen_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        registry = CollectorRegistry()
        lag = LoopLag(registry)
        lag.start()

        def hold_up() -> None:
            loop._virtual.now += 0.3  # type: ignore[attr-defined]

        loop.call_later(0.99, hold_up)
        await asyncio.sleep(2)
        count, quick = figures(registry)
        assert count is not None
        assert quick == count - 1
        longest = registry.get_sample_value("perhop_loop_lag_longest_seconds")
        assert longest is not None
        assert 0.25 < longest < 0.31
        assert registry.get_sample_value("perhop_loop_lag_longest_seconds") == 0, "since the last scrape"
        lag.close()

    run_virtual(main())
