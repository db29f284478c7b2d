"""A spoken question gets a spoken answer: the demo page in Chromium, with a speech file as its microphone.

One call is made and everything in it is recorded; the tests below each look at one side of the recording. Set
``PERHOP_SCREENSHOT`` to a path to keep the picture of the page (the README's is ``docs/images/demo.png``).
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Page, Request, expect
from tests.browser.chromium import heard, launch, open_page
from tests.browser.server import Server
from tests.browser.speech import microphone_file

from perhop.brain.vad import SileroVad

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.integration]

QUESTION = "I'd like to see a two bedroom in Oakland on Friday"
INTERRUPTION = "I'd like to see a two bedroom in Richmond"

TIMELINE = [(9.0, QUESTION), (15.0, INTERRUPTION)]
"""Seconds after the microphone opens: the greeting is over before the question, the answer is not before the second."""

VIEWPORT = {"width": 1280, "height": 1140}


@dataclass
class Recording:
    """What one call left behind."""

    errors: list[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    activities: list[str] = field(default_factory=list)
    stats: list[dict[str, Any]] = field(default_factory=list)
    stats_times: list[float] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    entries: list[dict[str, str]] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    audio: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int16))
    rate: int = 48_000
    ended_at: float = 0.0
    live_during: int = 0
    live_after: int = -1

    def times(self, kind: str) -> list[float]:
        """When events of a type arrived, in ms of the page's clock."""
        return [event["at"] for event in self.events if event["type"] == kind]


WATCH = """() => {
  window.watched = { activities: [], levels: [] };
  const note = () => window.watched.activities.push(document.body.dataset.activity);
  new MutationObserver(note).observe(document.body, { attributes: true, attributeFilter: ["data-activity"] });
  const meter = document.getElementById("meter");
  setInterval(() => window.watched.levels.push(Number(meter.style.getPropertyValue("--level"))), 100);
}"""

ENTRIES = """() => [...document.querySelectorAll(".entry")].map((row) => ({
  kind: [...row.classList].find((name) => name.startsWith("entry--")).slice(7),
  status: row.dataset.status,
  note: row.querySelector(".entry__note")?.textContent ?? "",
  text: (row.querySelector(".entry__text") ?? row).innerText,
}))"""

FIGURES = """() => Object.fromEntries([...document.querySelectorAll("[data-figure]")]
  .map((figure) => [figure.dataset.figure, figure.textContent]))"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def call(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The call: question, tool, answer, interruption, second answer, a typed turn, hang-up."""
    microphone = tmp_path_factory.mktemp("speech") / "microphone.wav"
    microphone_file(microphone, TIMELINE, seconds=40)
    async with launch(microphone) as browser, open_page(browser, viewport=VIEWPORT) as opened:
        page, errors = opened
        recording = Recording(errors)
        page.on("request", lambda request: _note_stats(recording, request))
        await page.goto(f"{server.url}/demo")
        await page.evaluate(WATCH)
        await page.get_by_role("radio", name="One Roof").check()
        await page.get_by_role("button", name="Call", exact=True).click()
        try:
            await _converse(page, recording, server)
        except AssertionError as error:
            log = server.log.read_text()[-4000:]
            raise AssertionError(
                f"the page shows: {await page.inner_text('body')}\n\nthe server said: {log}"
            ) from error
        await _collect(page, recording)
        await page.get_by_role("button", name="Hang up").click()
        recording.live_after = await _live_calls(server, until=0)
        return recording


async def _converse(page: Page, recording: Recording, server: Server) -> None:
    await expect(page.locator("body")).to_have_attribute("data-phase", "call", timeout=15_000)
    tools = page.locator(".entry--tool")
    await expect(tools.first).to_have_attribute("data-status", "done", timeout=25_000)
    recording.live_during = await _live_calls(server, until=1)
    await expect(page.locator(".entry--agent[data-status=interrupted]").first).to_be_visible(timeout=15_000)
    await expect(page.locator("body")).to_have_attribute("data-activity", "hearing", timeout=5_000)
    await expect(page.locator("body")).to_have_attribute("data-activity", "speaking", timeout=15_000)
    await page.wait_for_timeout(1500)
    await _keep_picture(page)
    # Long enough for one more report, which then holds the newest first-audio time.
    await page.wait_for_timeout(2500)
    await page.get_by_label("Your message to the agent").fill("Book a viewing of the first one at ten in the morning")
    answers = await page.locator(".entry--agent").count()
    await page.keyboard.press("Enter")
    await expect(page.locator(".entry--caller").last).to_contain_text("the first one")
    await expect(page.locator(".entry--agent")).to_have_count(answers + 1, timeout=10_000)
    await expect(page.locator("body")).to_have_attribute("data-activity", "speaking", timeout=5_000)
    await page.wait_for_timeout(1000)


async def _collect(page: Page, recording: Recording) -> None:
    recording.audio, recording.rate = await heard(page)
    recording.events, recording.sent, recording.ended_at = await page.evaluate(
        "() => [window.recorder.events, window.recorder.sent, performance.now()]"
    )
    recording.activities, recording.levels = await page.evaluate("() => Object.values(window.watched)")
    recording.entries = await page.evaluate(ENTRIES)
    recording.figures = await page.evaluate(FIGURES)


async def _keep_picture(page: Page) -> None:
    kept = os.environ.get("PERHOP_SCREENSHOT")
    picture = await page.screenshot(path=Path(kept) if kept else None)
    assert len(picture) > 20_000


def _note_stats(recording: Recording, request: Request) -> None:
    if request.url.endswith("/stats"):
        recording.stats.append(request.post_data_json or {})
        recording.stats_times.append(time.monotonic())


async def _live_calls(server: Server, *, until: int) -> int:
    """How many calls the server has, waiting up to five seconds for the wanted number."""
    for _ in range(50):
        if server.live_calls() == until:
            break
        await asyncio.sleep(0.1)
    return server.live_calls()


async def test_the_question_is_understood_and_shown(call: Recording) -> None:
    said = [entry["text"].lower() for entry in call.entries if entry["kind"] == "caller"]
    assert any("oakland" in text and "bedroom" in text for text in said), said


async def test_the_tool_call_is_shown_with_its_arguments_and_its_result(call: Recording) -> None:
    tool = next(entry for entry in call.entries if entry["kind"] == "tool")
    assert tool["status"] == "done"
    for part in ("search_listings", "Oakland", "Bedrooms", "2", "Listings"):
        assert part in tool["text"]


async def test_the_answer_is_spoken(call: Recording) -> None:
    """The greeting, the first part of the answer and the answers after it, as voice activity detection hears them."""
    assert speech_seconds(call) > 6


async def test_the_agent_is_heard_as_long_as_it_plays_and_no_longer(call: Recording) -> None:
    assert 0.7 * played_seconds(call) < speech_seconds(call) < played_seconds(call) + 0.5


async def test_talking_over_the_agent_stops_it(call: Recording) -> None:
    cleared = call.times("output_audio_buffer.cleared")
    assert cleared, "the interruption did not clear the agent's audio"
    began = [at for at in call.times("input_audio_buffer.speech_started") if at <= cleared[0] + 50]
    assert cleared[0] - began[-1] < 100
    cut = next(entry for entry in call.entries if entry["kind"] == "agent" and entry["status"] == "interrupted")
    assert cut["note"].startswith("interrupted after")


async def test_after_the_interruption_the_agent_answers_what_interrupted_it(call: Recording) -> None:
    kinds = [entry["kind"] for entry in call.entries]
    cut = next(index for index, entry in enumerate(call.entries) if entry["status"] == "interrupted")
    assert kinds[cut + 1] == "caller"
    assert "agent" in kinds[cut + 2 :]


async def test_typing_does_the_same_as_talking(call: Recording) -> None:
    sent = [event["type"] for event in call.sent]
    assert [kind for kind in sent if kind.endswith(".create")] == ["conversation.item.create", "response.create"]
    typed = [index for index, entry in enumerate(call.entries) if entry["note"] == "typed"]
    assert typed
    assert call.entries[typed[-1] + 1]["kind"] in ("agent", "tool")


async def test_the_page_says_at_every_moment_what_is_going_on(call: Recording) -> None:
    assert {"connecting", "listening", "hearing", "speaking"} <= set(call.activities)


async def test_the_microphone_s_level_moves_with_the_voice(call: Recording) -> None:
    assert max(call.levels) > 0.4
    assert min(call.levels) < 0.2


async def test_figures_are_shown_and_told_to_the_server_every_two_seconds(call: Recording) -> None:
    assert {name for name, text in call.figures.items() if text in ("", "\N{EN DASH}")} == set()
    pauses = np.diff(call.stats_times)
    assert len(pauses) >= 8
    assert float(np.median(pauses)) == pytest.approx(2, abs=0.25)
    last = call.stats[-1]
    assert {"rtt_ms", "jitter_ms", "packets_lost", "packets_received", "jitter_buffer_ms"} <= last.keys()
    assert last["packets_received"] > 100
    assert 0 <= last["rtt_ms"] < 100


async def test_first_audio_is_measured_by_ear(call: Recording) -> None:
    measured = [report["first_audio_ms"] for report in call.stats if "first_audio_ms" in report]
    assert measured
    assert 20 < measured[-1] < 3000


async def test_the_call_is_on_the_server_while_it_lasts_and_gone_after_hanging_up(call: Recording) -> None:
    assert (call.live_during, call.live_after) == (1, 0)


async def test_nothing_went_wrong_on_the_console(call: Recording) -> None:
    assert call.errors == []
    assert [event for event in call.events if event["type"] == "error"] == []


def speech_seconds(call: Recording) -> float:
    """How long speech was received."""
    assert call.rate == 48_000
    halved = call.audio[: len(call.audio) // 2 * 2].reshape(-1, 2).mean(axis=1).astype(np.int16)
    return 0.032 * sum(probability > 0.5 for probability in SileroVad().open().feed(halved.tobytes()))


def played_seconds(call: Recording) -> float:
    """How long the server said that it was playing."""
    ends = sorted(call.times("output_audio_buffer.stopped") + call.times("output_audio_buffer.cleared"))
    begins = sorted(call.times("output_audio_buffer.started"))
    return sum(min(end for end in [*ends, call.ended_at] if end > begin) - begin for begin in begins) / 1000
