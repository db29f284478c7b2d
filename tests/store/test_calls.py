"""Reading what is kept of calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from perhop.store import Database, upgrade
from perhop.store.calls import CallFilter, Spent, days, get_call, list_calls, spent_since
from perhop.store.models import SCHEMA
from perhop.store.recorder import CallRecord, Recorder

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
async def store(database: Database) -> Database:
    """Ten calls: two tenants, two agents, two days, the last one live; those of one moment too."""
    await upgrade(database, SCHEMA)
    recorder = await Recorder.open(database, name="test", group_s=0.0)
    for number in range(10):
        started = NOON - timedelta(hours=6 * (number // 2))
        record = CallRecord(
            f"rtc_{number}",
            "acme" if number % 2 else "bolt",
            "shop",
            "oneroof" if number < 5 else None,
            "local",
            "webrtc",
            started,
            input_text_tokens=100,
            output_audio_tokens=10,
            cost=Decimal("0.000001") * (number + 1),
            priced=number != 3,
        )
        ended = replace(
            record, ended_at=started + timedelta(seconds=90), end_reason="caller_hangup", duration_ms=90_000
        )
        recorder.record(record if number == 0 else ended)
    await recorder.close()
    return database


async def ids(db: Database, which: CallFilter) -> list[str]:
    return [call.id for call in (await list_calls(db, which, limit=100)).calls]


async def test_the_newest_call_comes_first(store: Database) -> None:
    assert await ids(store, CallFilter()) == [f"rtc_{number}" for number in (1, 0, 3, 2, 5, 4, 7, 6, 9, 8)]


async def test_pages_show_every_call_once_even_those_of_one_moment(store: Database) -> None:
    everything, after = [], None
    for _ in range(4):
        page = await list_calls(store, CallFilter(), limit=3, after=after)
        everything += [call.id for call in page.calls]
        after = page.after
    assert after is None
    assert everything == await ids(store, CallFilter())


@pytest.mark.parametrize("mark", ["", "x", "!!!", "bm90IGEgcGxhY2U", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OjE"])
async def test_a_place_that_no_page_named_is_refused(store: Database, mark: str) -> None:
    with pytest.raises(ValueError, match="not a place"):
        await list_calls(store, CallFilter(), limit=3, after=mark)


async def test_filters_narrow_what_is_shown(store: Database) -> None:
    assert await ids(store, CallFilter(tenant="acme", agent="oneroof")) == ["rtc_1", "rtc_3"]
    assert await ids(store, CallFilter(live=True)) == ["rtc_0"]
    assert len(await ids(store, CallFilter(live=False, end_reason="caller_hangup"))) == 9
    assert await ids(store, CallFilter(since=NOON - timedelta(hours=6), until=NOON)) == ["rtc_3", "rtc_2"]
    assert await ids(store, CallFilter(tenant="nobody")) == []


async def test_one_call_is_found_by_its_id(store: Database) -> None:
    found = await get_call(store, "rtc_4")
    assert found is not None
    assert found.cost == Decimal("0.000005")
    assert await get_call(store, "rtc_99") is None
    assert await get_call(store, "rtc_\x00") is None


async def test_days_add_up_exactly(store: Database) -> None:
    newest, older = await days(store, CallFilter(), limit=10)
    assert (newest.day, newest.calls, newest.seconds) == (date(2026, 3, 2), 6, 450.0)
    assert (newest.tokens, newest.cost, newest.priced) == (660, Decimal("0.000021"), False)
    assert (older.day, older.calls, older.cost, older.priced) == (date(2026, 3, 1), 4, Decimal("0.000034"), True)
    assert await days(store, CallFilter(tenant="nobody"), limit=10) == []


async def test_what_was_spent_is_known_by_tenant_key_and_agent(store: Database) -> None:
    spent = await spent_since(store, NOON - timedelta(hours=12))
    assert sorted(spent, key=lambda each: (each.tenant, str(each.agent))) == [
        Spent("acme", "shop", None, 110, Decimal("0.000006")),
        Spent("acme", "shop", "oneroof", 220, Decimal("0.000006")),
        Spent("bolt", "shop", "oneroof", 330, Decimal("0.000009")),
    ]
