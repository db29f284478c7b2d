"""What the page says is going on, when an answer is asked for, and its figures: from events and time alone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """async (steps) => {
  const { ActivityTracker } = await import("/web/js/activity.js");
  const tracker = new ActivityTracker();
  return steps.map(([at, event]) => (event && tracker.apply(event, at), tracker.at(at)));
}"""

CREATED = {"type": "session.created", "session": {}}
STARTED = {"type": "input_audio_buffer.speech_started", "item_id": "u"}
STOPPED = {"type": "input_audio_buffer.speech_stopped", "item_id": "u"}


def response(kind: str) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": "r", "status": "completed", "output": []}}


def playback(kind: str, response_id: str = "r") -> dict[str, Any]:
    return {"type": f"output_audio_buffer.{kind}", "response_id": response_id}


async def activities(page: Page, *steps: tuple[int, dict[str, Any] | None]) -> list[str]:
    return await page.evaluate(FOLLOW, [list(step) for step in steps])


async def test_a_turn_goes_from_listening_over_hearing_and_thinking_to_speaking_and_back(offline: Page) -> None:
    assert await activities(
        offline,
        (0, None),
        (1, CREATED),
        (2, STARTED),
        (3, STOPPED),
        (4, response("created")),
        (5, playback("started")),
        (6, response("done")),
        (7, playback("stopped")),
    ) == ["connecting", "listening", "hearing", "thinking", "thinking", "speaking", "speaking", "listening"]


async def test_talking_over_the_agent_is_hearing_at_once(offline: Page) -> None:
    steps = [(0, CREATED), (1, playback("started")), (2, STARTED), (3, playback("cleared"))]
    assert (await activities(offline, *steps))[1:] == ["speaking", "hearing", "hearing"]


async def test_a_running_tool_keeps_the_agent_thinking_until_the_answer(offline: Page) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "search_listings"}
    result = {"type": "function_call_output", "call_id": "c", "output": "{}"}
    assert (
        await activities(
            offline,
            (0, CREATED),
            (1, response("created")),
            (2, {"type": "conversation.item.done", "item": call}),
            (3, response("done")),
            (60_000, None),
            (60_001, {"type": "conversation.item.done", "item": result}),
        )
    )[2:] == ["thinking"] * 4


async def test_a_cough_that_nobody_answers_is_not_thought_about_for_ever(offline: Page) -> None:
    assert (await activities(offline, (0, CREATED), (1, STOPPED), (9_000, None), (10_002, None)))[1:] == [
        "thinking",
        "thinking",
        "listening",
    ]


REQUEST = """async (steps) => {
  const { ResponseRequests } = await import("/web/js/responses.js");
  const sent = [];
  const requests = new ResponseRequests((event) => sent.push(event.type));
  return steps.map((event) => (event === "ask" ? requests.request() : requests.onEvent(event), sent.length));
}"""


async def test_a_response_is_asked_for_at_once_when_none_is_in_progress(offline: Page) -> None:
    assert await offline.evaluate(REQUEST, ["ask"]) == [1]


async def test_while_a_response_is_in_progress_the_next_waits_for_its_end(offline: Page) -> None:
    assert await offline.evaluate(REQUEST, [response("created"), "ask", "ask", response("done")]) == [0, 0, 0, 1]


async def test_a_request_that_lost_the_race_against_the_server_s_own_is_made_again(offline: Page) -> None:
    code = "conversation_already_has_active_response"
    refused = {"type": "error", "error": {"code": code, "event_id": "web_create_1"}}
    steps = ["ask", response("created"), refused, response("done")]
    assert await offline.evaluate(REQUEST, steps) == [1, 1, 1, 2]


async def test_a_response_outside_the_conversation_delays_nothing(offline: Page) -> None:
    outside = {"type": "response.created", "response": {"id": "x", "conversation_id": None}}
    assert await offline.evaluate(REQUEST, [outside, "ask"]) == [0, 1]


MEASURE = """async (steps) => {
  const { FirstAudio } = await import("/web/js/first_audio.js");
  const first = new FirstAudio();
  for (const [at, what, value] of steps) {
    if (what === "voice") first.voice(at);
    else if (what === "answer") first.answer({ firstLoud: value, lastLoud: value }, at);
    else if (what === "playout") first.playout = value;
    else first.apply(what, at);
  }
  return first.value;
}"""


async def test_first_audio_runs_from_the_last_voiced_sample_to_the_first_sound_of_the_answer(offline: Page) -> None:
    steps = [
        [1000, STARTED],
        [3000, "voice"],
        [3260, STOPPED],
        [3300, playback("started")],
        [3350, "answer", None],
        [3400, "answer", 3352],
    ]
    assert await offline.evaluate(MEASURE, steps) == 352


async def test_without_meters_the_silence_that_ends_a_turn_is_part_of_first_audio(offline: Page) -> None:
    session = {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}}}
    steps = [
        [0, {"type": "session.updated", "session": session}],
        [1000, STARTED],
        [3300, STOPPED],
        [3340, playback("started")],
        [3940, "answer", None],
    ]
    assert await offline.evaluate(MEASURE, steps) == 340


async def test_the_end_of_an_interrupted_answer_is_not_taken_for_the_beginning_of_the_next(offline: Page) -> None:
    steps = [
        [0, "playout", 40],
        [990, "answer", 985],
        [1000, {"type": "conversation.item.create", "item": {}}],
        [1030, playback("started")],
        [1040, "answer", 1005],
    ]
    assert await offline.evaluate(MEASURE, steps) == 70


async def test_a_sound_without_a_question_is_not_measured(offline: Page) -> None:
    assert await offline.evaluate(MEASURE, [[0, playback("started")], [50, "answer", 40]]) is None


READ = """async ([entries, before]) => {
  const { readFigures } = await import("/web/js/stats.js");
  return readFigures(new Map(Object.entries(entries)), before ?? undefined).figures;
}"""

REPORT: dict[str, dict[str, Any]] = {
    "in": {
        "type": "inbound-rtp",
        "kind": "audio",
        "jitter": 0.004,
        "packetsLost": 3,
        "packetsReceived": 500,
        "jitterBufferDelay": 4800.0,
        "jitterBufferEmittedCount": 96_000,
        "concealedSamples": 960,
        "silentConcealedSamples": 480,
    },
    "source": {"type": "media-source", "kind": "audio", "audioLevel": 0.25},
    "pair": {"type": "candidate-pair", "nominated": True, "state": "succeeded", "currentRoundTripTime": 0.012},
}


async def test_figures_are_milliseconds_and_counts(offline: Page) -> None:
    figures = await offline.evaluate(READ, [REPORT, None])
    assert figures == {
        "rtt_ms": 12,
        "jitter_ms": 4,
        "packets_lost": 3,
        "packets_received": 500,
        "jitter_buffer_ms": 50,
        "audio_level": 0.25,
        "packets_sent": None,
        "concealed_ms": 10,
    }


async def test_the_playout_delay_is_that_of_the_newest_samples_only(offline: Page) -> None:
    figures = await offline.evaluate(READ, [REPORT, {"delay": 0.0, "count": 48_000}])
    assert figures["jitter_buffer_ms"] == 100


async def test_the_round_trip_of_receiver_reports_goes_before_the_coarser_one_of_ice(offline: Page) -> None:
    remote = {"type": "remote-inbound-rtp", "kind": "audio", "roundTripTime": 0.0037}
    figures = await offline.evaluate(READ, [{**REPORT, "remote": remote}, None])
    assert figures["rtt_ms"] == 3.7


async def test_an_empty_report_has_no_figures(offline: Page) -> None:
    assert set((await offline.evaluate(READ, [{}, None])).values()) == {None}


WINDOW = """async ([spans, count]) => {
  const { readWindow } = await import("/web/js/meter.js");
  const samples = new Float32Array(count);
  for (const [from, to] of spans) samples.fill(0.5, from, to);
  return readWindow(samples, 48000, 1000);
}"""


async def test_a_meter_tells_when_a_voice_began_and_ended_inside_its_window(offline: Page) -> None:
    reading = await offline.evaluate(WINDOW, [[[480, 960]], 4800])
    assert reading["firstLoud"] == pytest.approx(910)
    assert reading["lastLoud"] == pytest.approx(920, abs=0.1)
    assert 0 < reading["level"] < 1


async def test_a_silent_window_has_no_voice_and_no_level(offline: Page) -> None:
    assert await offline.evaluate(WINDOW, [[], 4800]) == {"level": 0, "firstLoud": None, "lastLoud": None}


async def test_audio_that_is_due_and_does_not_arrive_is_told_within_three_seconds(offline: Page) -> None:
    counted = await offline.evaluate("""async () => {
      const { Arrivals } = await import("/web/js/arrivals.js");
      const arrivals = new Arrivals(() => null, () => false, () => {});
      arrivals.stop();
      const counts = [[0, 10], [500, 35], [1000, 60], [1500, 60], [3000, 60], [3500, 60], [4000, 61]];
      return counts.map(([at, count]) => arrivals.stalled(count, at));
    }""")
    assert counted == [False, False, False, False, False, True, False]


async def test_an_agent_that_is_not_heard_does_not_speak(offline: Page) -> None:
    shown = await offline.evaluate(
        """async (events) => {
      const { ActivityTracker } = await import("/web/js/activity.js");
      const tracker = new ActivityTracker();
      for (const event of events) tracker.apply(event, 0);
      tracker.stalled = true;
      const stalled = tracker.at(1);
      tracker.stalled = false;
      return [stalled, tracker.at(2)];
    }""",
        [CREATED, playback("started")],
    )
    assert shown == ["stalled", "speaking"]
