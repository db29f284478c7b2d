"""How often, and for how long, the browser client tries to get back to a call."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRY = """async (outcomes) => {
  const { wayBack } = await import("/web/js/way_back.js");
  const { CallError } = await import("/web/js/errors.js");
  let time = 0;
  const waits = [];
  let attempts = 0;
  const attempt = async () => {
    const code = outcomes[Math.min(attempts++, outcomes.length - 1)];
    if (code !== "ok") throw new CallError(code);
  };
  const wait = async (ms) => { waits.push(ms); time += ms; };
  const end = await wayBack({ attempt, wait, now: () => time }).then(() => "back", (error) => error.code);
  return { end, attempts, waits, time };
}"""


async def attempts(page: Page, *outcomes: str) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(TRY, list(outcomes))
    return found


async def test_it_goes_on_until_one_succeeds(offline: Page) -> None:
    tried = await attempts(offline, "unreachable", "ice_failed", "ok")
    assert (tried["end"], tried["attempts"]) == ("back", 3)


async def test_it_waits_longer_and_longer_up_to_a_limit(offline: Page) -> None:
    waits = (await attempts(offline, *["unreachable"] * 8, "ok"))["waits"]
    for wait, whole in zip(waits, (250, 500, 1000, 2000, 4000, 4000, 4000, 4000), strict=True):
        assert whole / 2 <= wait <= whole


async def test_it_gives_up_when_the_call_is_not_kept_any_more(offline: Page) -> None:
    tried = await attempts(offline, "unreachable")
    assert tried["end"] == "lost"
    assert 55_000 <= tried["time"] <= 60_000


async def test_it_stops_at_once_when_the_server_knows_of_no_such_call(offline: Page) -> None:
    tried = await attempts(offline, "unreachable", "gone")
    assert (tried["end"], tried["attempts"]) == ("gone", 2)


async def test_it_stops_at_once_when_there_is_no_way(offline: Page) -> None:
    tried = await attempts(offline, "unreachable", "call_refused")
    assert (tried["end"], tried["attempts"]) == ("lost", 2)


async def test_it_stops_when_nobody_wants_it_any_more(offline: Page) -> None:
    tried = await attempts(offline, "unreachable", "cancelled")
    assert (tried["end"], tried["attempts"]) == ("back", 2)
