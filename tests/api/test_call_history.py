"""``/api/calls/history``: calls that were written down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from tests.api.helpers import World, bearer, build_world, key

from perhop.api.errors import to_api_error
from perhop.call.budget import BudgetExceededError
from perhop.config import Settings, StoreSettings
from perhop.store import Database, StoreDownError, upgrade
from perhop.store.models import SCHEMA
from perhop.store.recorder import CallRecord, Recorder

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEYS = (
    key("sk-ours", name="ours", tenant="acme", scopes=("stats",)),
    key("sk-all", name="all", scopes=("operator",)),
    key("sk-caller", name="caller", tenant="acme", scopes=("calls",)),
)
OURS, ALL = bearer("sk-ours"), bearer("sk-all")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Six calls, of two tenants and two days; the newest goes on."""
    world = build_world(Settings(keys=KEYS, currency="EUR"))
    db = await Database.open(StoreSettings(), data=tmp_path)
    await upgrade(db, SCHEMA)
    recorder = await Recorder.open(db, name="test", group_s=0.0)
    for number in range(6):
        started = NOON - timedelta(hours=6 * number)
        over = number > 0
        recorder.record(
            CallRecord(
                f"rtc_{number}",
                "bolt" if number == 3 else "acme",
                "shop",
                "oneroof" if number % 2 else "clinic",
                "local",
                "webrtc",
                started,
                ended_at=started + timedelta(seconds=90) if over else None,
                end_reason=("crashed" if number == 5 else "caller_hangup") if over else None,
                duration_ms=90_000 if over else 0,
                input_audio_tokens=100,
                transcription_tokens=5,
                cost=Decimal("0.000125"),
                priced=number != 4,
                rtt_ms=12.5,
            )
        )
    await recorder.close()
    world.services.db = db
    yield world
    await db.close()


async def ids(world: World, query: str = "", who: dict[str, str] = OURS) -> list[str]:
    async with world.client() as client:
        answer = await client.get(f"/api/calls/history{query}", headers=who)
        assert answer.status_code == 200, answer.text
        return [call["id"] for call in answer.json()["calls"]]


async def test_a_key_sees_the_calls_of_its_tenant_newest_first(world: World) -> None:
    assert await ids(world) == ["rtc_0", "rtc_1", "rtc_2", "rtc_4", "rtc_5"]
    assert "rtc_3" in await ids(world, who=ALL)
    assert await ids(world, "?tenant=bolt", who=ALL) == ["rtc_3"]


async def test_nobody_asks_for_the_calls_of_another_tenant(world: World) -> None:
    async with world.client() as client:
        refused = await client.get("/api/calls/history?tenant=bolt", headers=OURS)
        assert refused.status_code == 403
        for path in ("/api/calls/history", "/api/calls/history/days", "/api/calls/rtc_1"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers=bearer("sk-caller"))).status_code == 403
        assert (await client.get("/api/calls/rtc_3", headers=OURS)).status_code == 404


async def test_a_call_has_its_figures_and_an_exact_cost(world: World) -> None:
    async with world.client() as client:
        live, ended = (await client.get("/api/calls/history?limit=2", headers=OURS)).json()["calls"]
    assert (live["ended_at"], live["end_reason"], live["cost"]) == (None, None, "0.000125")
    assert (ended["end_reason"], ended["duration_s"], ended["rtt_ms"]) == ("caller_hangup", 90.0, 12.5)
    assert ended["tokens"] == {"input_audio": 100, "transcription": 5}


async def test_filters_and_pages_go_together(world: World) -> None:
    assert await ids(world, "?agent=clinic&live=false") == ["rtc_2", "rtc_4"]
    assert await ids(world, "?live=true") == ["rtc_0"]
    assert await ids(world, "?end_reason=crashed") == ["rtc_5"]
    assert await ids(world, "?since=2026-03-02T00:00:00Z&until=2026-03-02T12:00:00Z") == ["rtc_1", "rtc_2"]
    seen: list[str] = []
    async with world.client() as client:
        after = ""
        while True:
            page = (await client.get(f"/api/calls/history?limit=2{after}", headers=OURS)).json()
            seen += [call["id"] for call in page["calls"]]
            if page["after"] is None:
                break
            after = f"&after={page['after']}"
    assert seen == await ids(world)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "after=nonsense",
        "since=yesterday",
        "since=0001-01-01T00:00:00Z",
        "live=perhaps",
        "agent=%00",
    ],
)
async def test_wrong_questions_are_answered_with_what_is_wrong(world: World, query: str) -> None:
    async with world.client() as client:
        refused = await client.get(f"/api/calls/history?{query}", headers=OURS)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == query.partition("=")[0]


async def test_days_add_up(world: World) -> None:
    async with world.client() as client:
        shown = (await client.get("/api/calls/history/days", headers=OURS)).json()
    assert shown["currency"] == "EUR"
    today, before = shown["days"]
    assert today == {
        "day": "2026-03-02",
        "calls": 3,
        "seconds": 180.0,
        "tokens": 315,
        "cost": "0.000375",
        "priced": True,
    }
    assert (before["calls"], before["priced"]) == (2, False)


async def test_a_past_call_is_found_by_its_id_even_after_a_restart(world: World) -> None:
    async with world.client() as client:
        found = (await client.get("/api/calls/rtc_5", headers=OURS)).json()
        assert (await client.get("/api/calls/rtc_99", headers=OURS)).status_code == 404
    assert (found["ended"], found["duration_s"], found["hop"]["rtt_ms"]) == ("crashed", 90.0, 12.5)
    assert found["usage"]["cost"] == "0.000125"


async def test_a_process_that_keeps_no_calls_says_so() -> None:
    async with build_world().client() as client:
        assert (await client.get("/api/calls/history")).json()["error"]["code"] == "no_history"


def test_a_database_that_is_away_and_a_budget_that_is_used_up_have_answers_of_their_own() -> None:
    away = to_api_error(StoreDownError("the database postgresql://db/x does not answer"))
    assert (away.status, away.code) == (503, "store_unavailable")
    assert "postgresql" not in away.message
    spent = to_api_error(BudgetExceededError("budget.calls is 1", retry_after_s=7))
    assert (spent.status, spent.code, spent.headers["Retry-After"]) == (429, "budget_exceeded", "7")
