"""The events of a call become the turns and tool calls a person reads, in order."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLD = """async (events) => {
  const { Conversation } = await import("/web/js/conversation.js");
  const conversation = new Conversation();
  events.forEach((event, index) => conversation.apply(event, event.at ?? index * 100));
  return conversation.entries;
}"""


async def fold(page: Page, *events: dict[str, Any]) -> list[dict[str, Any]]:
    return await page.evaluate(FOLD, list(events))


def spoken(item: str, text: str) -> list[dict[str, Any]]:
    return [
        {"type": "input_audio_buffer.speech_started", "item_id": item},
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": item, "transcript": text},
    ]


def message(item: str, *, status: str, text: str = "", after: str | None = None) -> dict[str, Any]:
    done = "added" if status == "in_progress" else "done"
    content = [{"type": "output_audio", "transcript": text}] if text else []
    body = {"id": item, "type": "message", "role": "assistant", "status": status, "content": content}
    return {"type": f"conversation.item.{done}", "previous_item_id": after, "item": body}


def answering(item: str, response: str, *deltas: str) -> list[dict[str, Any]]:
    kind = "response.output_audio_transcript.delta"
    return [{"type": kind, "item_id": item, "response_id": response, "delta": delta} for delta in deltas]


async def test_what_the_caller_says_grows_and_is_replaced_by_the_final_transcript(offline: Page) -> None:
    kind = "conversation.item.input_audio_transcription"
    growing = [{"type": f"{kind}.delta", "item_id": "u", "delta": delta} for delta in ("two bed", "rooms in oak")]
    [entry] = await fold(offline, {"type": "input_audio_buffer.speech_started", "item_id": "u"}, *growing)
    assert (entry["kind"], entry["status"], entry["text"]) == ("caller", "live", "two bedrooms in oak")

    final = {"type": f"{kind}.completed", "item_id": "u", "transcript": "Two bedrooms in Oakland"}
    [entry] = await fold(offline, *growing, final)
    assert (entry["status"], entry["text"]) == ("done", "Two bedrooms in Oakland")


async def test_an_answer_that_came_before_the_question_s_transcript_stays_behind_the_question(offline: Page) -> None:
    entries = await fold(
        offline,
        {"type": "input_audio_buffer.speech_started", "item_id": "u"},
        message("a", status="in_progress", after="u"),
        *answering("a", "r", "Three ", "homes."),
        *spoken("u", "What is there?")[1:],
    )
    assert [(entry["kind"], entry["text"]) for entry in entries] == [
        ("caller", "What is there?"),
        ("agent", "Three homes."),
    ]


async def test_an_item_that_arrives_late_goes_behind_the_item_it_follows(offline: Page) -> None:
    entries = await fold(
        offline,
        message("a1", status="in_progress"),
        message("a3", status="in_progress", after="a2"),
        message("a2", status="in_progress", after="a1"),
    )
    assert [entry["id"] for entry in entries] == ["a1", "a2", "a3"]


async def test_a_typed_message_is_a_turn_of_the_caller(offline: Page) -> None:
    body = {"id": "t", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    [entry] = await fold(offline, {"type": "conversation.item.added", "previous_item_id": None, "item": body})
    assert (entry["kind"], entry["text"], entry["typed"], entry["status"]) == ("caller", "Hello", True, "done")


async def test_an_interrupted_answer_is_cut_where_the_caller_stopped_hearing_it(offline: Page) -> None:
    text = "The first home is at four eighteen Grand Avenue and costs two thousand nine hundred."
    [entry] = await fold(
        offline,
        message("a", status="in_progress"),
        {"type": "output_audio_buffer.started", "response_id": "r"},
        *answering("a", "r", text),
        {"type": "output_audio_buffer.cleared", "response_id": "r"},
        {"type": "conversation.item.truncated", "item_id": "a", "content_index": 0, "audio_end_ms": 1000},
        message("a", status="incomplete"),
        {"type": "response.done", "response": {"id": "r", "status": "cancelled", "output": []}},
    )
    assert (entry["status"], entry["heardMs"], entry["text"]) == ("interrupted", 1000, text)
    assert text[: entry["heardChars"]] == "The first home is"


async def test_the_words_of_a_cut_answer_stay_apart_for_who_copies_them(offline: Page) -> None:
    shown = await offline.evaluate(
        """async () => {
          const { ConversationView } = await import("/web/js/conversation_view.js");
          const [list, scroller, announcer] = ["ol", "div", "div"].map((tag) => document.createElement(tag));
          document.body.append(list, scroller, announcer);
          const view = new ConversationView(list, scroller, announcer);
          view.reset("Agent", 0);
          const text = "The first home is at Grand Avenue.";
          const entry = { id: "a", kind: "agent", status: "interrupted", at: 0, text, heardMs: 900, heardChars: 9 };
          view.show([entry], [entry]);
          return list.querySelector(".entry__text").textContent;
        }"""
    )
    assert shown == "The first home is at Grand Avenue."


async def test_an_answer_cancelled_before_it_was_heard_is_cut_at_its_beginning(offline: Page) -> None:
    [entry] = await fold(
        offline,
        message("a", status="in_progress"),
        *answering("a", "r", "I found three homes."),
        {"type": "response.done", "response": {"id": "r", "status": "cancelled", "output": []}},
    )
    assert (entry["status"], entry["heardMs"], entry["heardChars"]) == ("interrupted", 0, 0)


async def test_an_answer_whose_playback_was_cut_after_it_was_complete_is_interrupted_too(offline: Page) -> None:
    [entry] = await fold(
        offline,
        *answering("a", "r", "A long answer."),
        message("a", status="completed", text="A long answer."),
        {"type": "conversation.item.truncated", "item_id": "a", "content_index": 0, "audio_end_ms": 300},
    )
    assert entry["status"] == "interrupted"


def function_call(item: str, **fields: Any) -> dict[str, Any]:
    return {"id": item, "type": "function_call", "call_id": f"call_{item}", "name": "search_listings", **fields}


def output(item: str, text: str) -> dict[str, Any]:
    body = {"id": f"{item}_out", "type": "function_call_output", "call_id": f"call_{item}", "output": text}
    return {"type": "conversation.item.added", "item": body, "at": 612}


CALLED = [
    {"type": "conversation.item.added", "item": function_call("f", status="in_progress", arguments="")},
    {"type": "response.function_call_arguments.delta", "item_id": "f", "delta": '{"city":'},
    {"type": "response.function_call_arguments.delta", "item_id": "f", "delta": '"Oakland"}'},
    {"type": "conversation.item.done", "item": function_call("f", status="completed", arguments='{"city":"Oakland"}')},
]


async def test_a_tool_call_shows_its_arguments_while_they_come_and_then_waits(offline: Page) -> None:
    [entry] = await fold(offline, *CALLED[:2])
    assert (entry["tool"]["name"], entry["tool"]["arguments"]) == ("search_listings", '{"city":')
    [entry] = await fold(offline, *CALLED)
    assert (entry["status"], entry["tool"]["output"]) == ("live", None)


async def test_a_tool_s_output_completes_its_call_and_tells_how_long_it_took(offline: Page) -> None:
    [entry] = await fold(offline, *CALLED, output("f", '{"listings":[]}'))
    assert (entry["status"], entry["tool"]["output"]) == ("done", '{"listings":[]}')
    assert entry["tool"]["endedAt"] - entry["tool"]["startedAt"] == 612 - 300


async def test_a_tool_that_returns_an_error_has_failed(offline: Page) -> None:
    [entry] = await fold(offline, *CALLED, output("f", '{"error":{"code":"timeout","message":"took too long"}}'))
    assert entry["status"] == "failed"


async def test_an_output_that_overtakes_its_call_is_not_lost(offline: Page) -> None:
    [entry] = await fold(offline, output("f", "42"), *CALLED)
    assert (entry["status"], entry["tool"]["output"]) == ("done", "42")


async def test_a_failed_response_and_an_error_are_told_in_the_conversation(offline: Page) -> None:
    failed = {"id": "r", "status": "failed", "status_details": {"error": {"message": "no model"}}}
    entries = await fold(
        offline,
        {"type": "response.done", "response": failed},
        {"type": "error", "error": {"code": "invalid_value", "message": "voice: unknown"}},
        {"type": "error", "error": {"code": "response_cancel_not_active", "message": "nothing to cancel"}},
    )
    assert [entry["text"] for entry in entries] == ["The agent could not answer: no model", "voice: unknown"]


async def test_unknown_events_change_nothing(offline: Page) -> None:
    assert await fold(offline, {"type": "rate_limits.updated", "rate_limits": []}, {"type": "x.y"}) == []


async def test_only_the_newest_turns_are_kept(offline: Page) -> None:
    events = [event for index in range(450) for event in spoken(f"u{index}", f"turn {index}")]
    entries = await fold(offline, *events)
    assert (len(entries), entries[0]["text"], entries[-1]["text"]) == (400, "turn 50", "turn 449")
