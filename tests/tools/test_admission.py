from __future__ import annotations

import asyncio

import pytest
from tests.virtual_time import run_virtual

from perhop.errors import LimitExceededError
from perhop.tools.admission import Admission


class Crowd:
    """Tasks that stay in their place for a second each."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.inside: dict[str, int] = {}
        self.most_in_all = 0
        self.most_of_call: dict[str, int] = {}

    async def visit(self, call_id: str) -> None:
        async with self.admission.place(call_id):
            self.inside[call_id] = self.inside.get(call_id, 0) + 1
            self.most_in_all = max(self.most_in_all, sum(self.inside.values()))
            self.most_of_call[call_id] = max(self.most_of_call.get(call_id, 0), self.inside[call_id])
            await asyncio.sleep(1)
            self.inside[call_id] -= 1


def test_a_call_takes_no_more_than_its_share() -> None:
    crowd = Crowd(Admission(total=10, per_call=2, pending_per_call=8))

    async def main() -> None:
        await asyncio.gather(*(crowd.visit(call) for call in ("a", "b") for _ in range(6)))

    run_virtual(main())
    assert crowd.most_of_call == {"a": 2, "b": 2}
    assert crowd.most_in_all == 4
    assert len(crowd.admission) == 0


def test_all_calls_together_take_no_more_than_there_is() -> None:
    crowd = Crowd(Admission(total=3, per_call=2, pending_per_call=8))

    async def main() -> None:
        await asyncio.gather(*(crowd.visit(f"call {n}") for n in range(10)))

    run_virtual(main())
    assert crowd.most_in_all == 3


def test_too_many_pending_are_refused_at_once_and_cost_nothing() -> None:
    crowd = Crowd(Admission(total=9, per_call=1, pending_per_call=2))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        waiting = [asyncio.create_task(crowd.visit("a")) for _ in range(2)]
        await asyncio.sleep(0)
        began = loop.time()
        with pytest.raises(LimitExceededError, match="2 tools are pending"):
            await crowd.visit("a")
        await crowd.visit("b")
        assert loop.time() == began + 1, "another call was not held up"
        await asyncio.gather(*waiting)
        await crowd.visit("a")

    run_virtual(main())


def test_who_gives_up_waiting_leaves_no_trace() -> None:
    admission = Admission(total=1, per_call=1, pending_per_call=2)

    async def main() -> None:
        async with admission.place("a"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), admission.place("b"):
                    raise AssertionError("there was no place")
        assert len(admission) == 0
        async with admission.place("b"):
            assert len(admission) == 1

    run_virtual(main())
