"""How long a call may last, on virtual time."""

from __future__ import annotations

import asyncio

import pytest
from tests.call.helpers import Follower, Table
from tests.virtual_time import run_virtual

from perhop.call.legs import EndReason
from perhop.call.lifetime import Lifetime
from perhop.realtime.events import ErrorEvent, SessionCreated, SessionUpdate, SessionUpdated

HALF_AN_HOUR = 1800
STARTED = 1_700_000_000.5


def quiet(*_: object) -> None: ...


def table() -> Table:
    return Table.lay(quiet, max_call_s=HALF_AN_HOUR, clock=asyncio.get_running_loop().time, wall=lambda: STARTED)


def test_the_session_shows_when_it_expires() -> None:
    async def main() -> None:
        laid = table()
        laid.call.on_caller_event(SessionUpdate(session={"type": "realtime", "instructions": "Go on."}))
        controller = Follower()
        laid.call.attach(controller)
        shown = [*laid.caller.received, *controller.received]
        assert [type(event) for event in shown] == [SessionCreated, SessionUpdated, SessionCreated]
        assert {event.session["expires_at"] for event in shown} == {1_700_001_800}  # type: ignore[attr-defined]
        laid.call.hang_up(EndReason.API_HANGUP)

    run_virtual(main())


def test_at_the_limit_everybody_is_told_and_the_call_ends() -> None:
    async def main() -> None:
        laid = table()
        controller = Follower()
        laid.call.attach(controller)
        await asyncio.sleep(HALF_AN_HOUR - 0.01)
        assert laid.call.ended is None
        await asyncio.sleep(0.02)
        assert laid.call.ended == laid.caller.closed == EndReason.SESSION_EXPIRED
        assert controller.ended == [EndReason.SESSION_EXPIRED]
        for last in (laid.caller.received[-1], controller.received[-1]):
            assert isinstance(last, ErrorEvent)
            assert (last.error.code, last.error.type) == ("session_expired", "invalid_request_error")
            assert "30 minutes" in last.error.message
        assert laid.call.snapshot().duration_s == pytest.approx(HALF_AN_HOUR, abs=0.1)

    run_virtual(main())


def test_a_call_that_ended_before_does_not_end_again() -> None:
    async def main() -> None:
        laid = table()
        await asyncio.sleep(10)
        laid.call.hang_up(EndReason.API_HANGUP)
        await asyncio.sleep(2 * HALF_AN_HOUR)
        assert laid.call.ended is EndReason.API_HANGUP
        assert not any(isinstance(event, ErrorEvent) for event in laid.caller.received)
        assert laid.call.snapshot().duration_s == pytest.approx(10)

    run_virtual(main())


def test_without_a_limit_nothing_expires() -> None:
    async def main() -> None:
        laid = Table.lay(quiet, clock=asyncio.get_running_loop().time)
        await asyncio.sleep(100_000)
        assert laid.call.ended is None
        [created] = laid.caller.received
        assert isinstance(created, SessionCreated)
        assert created.session["expires_at"] == 0

    run_virtual(main())


@pytest.mark.parametrize(("seconds", "said"), [(1800, "30 minutes"), (90, "90 seconds"), (125, "125 seconds")])
def test_the_limit_is_said_in_words(seconds: int, said: str) -> None:
    assert Lifetime(seconds).limit == said
