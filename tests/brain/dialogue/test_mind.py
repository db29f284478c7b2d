"""The mind as a session uses it: greeting, tool choice, results, what happens when things come in another order."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from tests.brain.dialogue.agents import LISTINGS, ONEROOF, RECEPTION, function, run_oneroof, run_reception
from tests.brain.dialogue.talk import MONDAY, Talk, assistant, user

from perhop.brain.dialogue import DialogueProvider
from perhop.brain.providers import FunctionCall, Said
from perhop.realtime.effects import StartResponse
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, MessageItem, UnknownItem

WEATHER = function(
    "get_weather", {"city": {"type": "string"}}, description="The weather of a city.", samples=["weather in {city}"]
)


# -- the first words --------------------------------------------------------------------------------------------------


async def test_an_empty_conversation_is_greeted_with_what_it_can_do() -> None:
    heard = await Talk(ONEROOF, instructions="You are Ada, a letting agent.").respond()
    assert heard == (
        "Hello, this is Ada. I can search listings, book a viewing or send you the details. What would you like?"
    )


async def test_a_greeting_in_the_instructions_of_the_response_is_said() -> None:
    talk = Talk(ONEROOF)
    heard = await talk.respond(instructions='Greet the caller with: "Oneroof, good morning! How can I help?"')
    assert heard == "Oneroof, good morning! How can I help?"


async def test_a_greeting_in_the_session_instructions_is_said_once() -> None:
    talk = Talk(ONEROOF, instructions='You let flats. Greet callers with "Welcome to Oneroof."')
    assert await talk.respond() == "Welcome to Oneroof."
    assert "search listings" in await talk.say("help")


async def test_instructions_of_one_response_can_say_something_at_any_time() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    await talk.say("book a viewing")
    assert await talk.respond(instructions="Say: “One moment please.”") == "One moment please."
    assert "In which city" in await talk.say("two bedrooms")


async def test_without_tools_it_is_short_and_honest() -> None:
    talk = Talk()
    assert "chat completions" in await talk.say("what's the weather")
    assert "chat completions" not in await talk.say("what's the weather")
    assert await talk.say("thanks") == "You're welcome."
    assert "Goodbye" in await talk.say("bye")


# -- tool choice ------------------------------------------------------------------------------------------------------


async def test_tool_choice_none_never_calls() -> None:
    talk = Talk(ONEROOF)
    talk.items.append(user("two bedroom in oakland"))
    heard = await talk.respond(choice="none")
    assert talk.calls == []
    assert "search listings" in heard


async def test_tool_choice_required_calls_without_confirming() -> None:
    talk = Talk(RECEPTION)
    talk.items.append(user("connect me to billing"))
    await talk.respond(choice="required")
    assert talk.calls == [("connect", {"department": "billing"})]


async def test_a_named_tool_is_called_with_what_was_said() -> None:
    talk = Talk(RECEPTION)
    talk.items.append(user("billing please"))
    await talk.respond(choice={"type": "function", "name": "connect"})
    assert talk.calls == [("connect", {"department": "billing"})]


async def test_a_forced_tool_asks_for_what_it_does_not_know() -> None:
    talk = Talk(RECEPTION)
    talk.items.append(user("hello"))
    assert await talk.respond(choice={"type": "function", "name": "connect"}) == (
        "Which department: billing, front desk or nurse line?"
    )


# -- results ----------------------------------------------------------------------------------------------------------


async def test_a_tool_without_any_hints_works() -> None:
    talk = Talk([WEATHER], lambda name, arguments: json.dumps({"sky": "sunny", "temperature": 21}))
    assert await talk.say("what's the weather in paris") == "Sky sunny, temperature 21."
    assert talk.calls == [("get_weather", {"city": "Paris"})]


@pytest.mark.parametrize(
    ("output", "heard"),
    [
        ('{"error": {"code": "timeout", "message": "no answer"}}', "I can't tell whether it went through"),
        ('{"error": {"code": "busy", "message": "later"}}', "too busy"),
        ('{"error": {"code": "tool_failed", "message": "the books are closed"}}', "The books are closed."),
        ('{"error": "the books are closed"}', "The books are closed."),
        ('{"ok": false}', "didn't work"),
        ('{"error": {"code": "invalid_arguments", "message": "x", "fields": {"time": "past"}}}', "At what time?"),
        ('{"message": "See you then!"}', "See you then!"),
        ("You are booked.", "You are booked."),
        ('{"code": "A1", "day": "2026-11-27"}', "Code A1, Friday, November 27th."),
        ("true", "Done."),
        ("", "Done."),
        ('{"times": ["09:00", "10:30"]}', "I found 2 times: 9 am and 10:30 am."),
        ('{"colors": ["red", "blue"]}', "I found 2 colors: red and blue."),
        ("[]", "I found no results."),
        ("[" * 3000, "["),
    ],
)
async def test_results_and_faults_are_said(output: str, heard: str) -> None:
    tool = function("book", {"time": {"type": "string", "format": "time"}}, title="book a table")
    talk = Talk([tool], lambda name, arguments: output)
    await talk.say("book a table at two p m")
    assert heard in await talk.say("yes")


async def test_after_a_fault_it_can_be_tried_again_or_left() -> None:
    outputs = iter(['{"error": {"code": "busy"}}', '{"error": {"code": "unavailable"}}'])
    talk = Talk(RECEPTION, lambda name, arguments: next(outputs))
    await talk.say("connect me to billing")
    await talk.say("yes")
    await talk.say("try again please")
    assert len(talk.calls) == 2
    assert "I won't connect you" in await talk.say("no")


async def test_parallel_results_are_said_together() -> None:
    talk = Talk(RECEPTION)
    talk.items += [
        user("when are you open on friday and saturday"),
        FunctionCallItem(call_id="a", name="opening_hours", arguments='{"day": "2026-11-27"}'),
        FunctionCallItem(call_id="b", name="opening_hours", arguments='{"day": "2026-11-28"}'),
        FunctionCallOutputItem(call_id="b", output='{"open": null}'),
        FunctionCallOutputItem(call_id="a", output='{"open": "08:00", "close": "17:00"}'),
    ]
    assert await talk.respond() == "We are closed. We are open from 8 am to 5 pm."


async def test_a_result_whose_call_it_did_not_make_is_said_too() -> None:
    talk = Talk(RECEPTION)
    talk.items.append(FunctionCallOutputItem(call_id="x", output='{"answer": "Forty-two."}'))
    assert await talk.respond() == "Forty-two."


async def test_a_result_nobody_heard_comes_before_the_answer() -> None:
    talk = Talk(ONEROOF)
    await talk.say("two bedroom in oakland")
    call = talk.items[-1]
    assert isinstance(call, FunctionCallItem)
    talk.items.append(FunctionCallOutputItem(call_id=call.call_id or "", output=json.dumps({"listings": LISTINGS[:1]})))
    heard = await talk.say("book it for friday")
    assert heard.startswith("The first is 412 Grand Avenue")
    assert heard.endswith("At what time?")


async def test_while_a_tool_runs_the_caller_is_asked_to_wait_but_not_forever() -> None:
    talk = Talk(ONEROOF)
    await talk.say("two bedroom in oakland")
    assert await talk.say("hello?") == "One moment please, I'm still waiting for an answer."
    assert "I can search listings" in await talk.say("hello?")


async def test_a_decision_that_was_cut_short_is_taken_again() -> None:
    talk = Talk(RECEPTION, run_reception)
    await talk.say("connect me to billing")
    talk.items.append(user("yes"))  # the reply to this was cancelled before its call
    heard = await talk.say("yes go ahead")
    assert talk.calls == [("connect", {"department": "billing"})]
    assert "Done." in heard


async def test_silence_and_noise_are_asked_about_once_in_each_way() -> None:
    talk = Talk(ONEROOF)
    first, second = await talk.say(None), await talk.say("")
    assert first.startswith("Sorry, I didn't hear anything.")
    assert second != first


async def test_a_response_out_of_the_blue_asks_the_open_question_again() -> None:
    talk = Talk(RECEPTION)
    await talk.say("take a message")
    assert await talk.respond() == "Are you still there? Sorry, I didn't get that. Who is it from?"


async def test_repeat_says_the_same_again() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    first = await talk.say("two bedroom in oakland")
    assert await talk.say("could you repeat that") == first


async def test_every_sentence_comes_by_itself() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    talk.items += [
        user("two bedroom in oakland"),
        FunctionCallItem(call_id="a", name="search_listings", arguments='{"bedrooms": 2, "city": "Oakland"}'),
        FunctionCallOutputItem(call_id="a", output=json.dumps({"listings": LISTINGS})),
    ]
    said = [step.text for step in talk.state_after(talk.items).reply if isinstance(step, Said)]
    assert said[:2] == [
        "The first is 412 Grand Avenue, for 2,800 dollars a month.",
        "The second is 9 Lake Street, for 3,100 dollars a month.",
    ]


# -- robustness -------------------------------------------------------------------------------------------------------

ODD_PARAMETERS: list[Any] = [
    None,
    {"type": "object", "properties": {"a": True, "b": {}}, "required": ["a"]},
    {"properties": {"a": {"$ref": "#/properties/a"}}},
    {"properties": {"a": {"type": "object"}}, "required": ["a"]},
    {"properties": {"a": {"type": "string", "pattern": "("}}, "required": ["a"]},
    {"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}, "required": ["a"]},
    {"properties": {"": {"enum": []}}, "required": ["", "b", 3]},
    {"x-samples": ["{", "}", "{}", "{a", "{a}{b}"], "x-say": "{#a}{/b}{c:money}"},
    {"x-samples": "no list", "x-say": 3, "x-effect": [], "x-title": {}, "x-pronounce": {"a": 3}},
    {"properties": {"a": {"enum": [None, {}, 1, "ü", "24th", True]}}, "required": ["a"]},
    {"properties": {"a": {"type": "array", "items": {"type": "array"}}}},
    {"properties": {"a": {"type": "array", "items": {"type": "string"}, "minItems": 2}}, "required": ["a"]},
    {"properties": {"日": {"type": "integer"}}, "required": ["日"], "x-samples": ["日 {日}"]},
    {"properties": {"a": {"type": "integer", "minimum": "x", "maximum": -3}}, "required": ["a"]},
]
ODD_TOOLS: list[Any] = [
    *([{"type": "function", "name": "f", "parameters": parameters}] for parameters in ODD_PARAMETERS),
    [{"type": "mcp", "server_label": "x"}, {"name": "f"}, {"type": "function"}, {"type": "function", "name": 3}],
]


@pytest.mark.parametrize("tools", ODD_TOOLS)
async def test_odd_tools_break_nothing(tools: list[Any]) -> None:
    talk = Talk(tools, lambda name, arguments: '{"a": [1, null, {"b": []}]}')
    for text in ("hello", "f", "a" * 300 + "!", "two", "yes", "help", "what", "the first one", "{a}", "no", "cancel"):
        talk.mind.expect(talk.items)
        talk.mind.judge(talk.items, text)
        await talk.say(text)


async def test_odd_items_break_nothing() -> None:
    talk = Talk(ONEROOF)
    talk.items += [
        UnknownItem(type="tea"),
        FunctionCallItem(name="search_listings", arguments="{not json"),
        FunctionCallItem(call_id="b", name="search_listings", arguments="[1]"),
        FunctionCallItem(call_id="c", name="gone", arguments='{"x": 1}'),
        FunctionCallOutputItem(call_id="c", output='{"listings": "x"}'),
        FunctionCallOutputItem(call_id="b", output='[null, 3, {"listing_id": null}]'),
        MessageItem(role="system", content=[]),
        assistant(""),
    ]
    assert await talk.say("book the first one")


async def test_changed_items_are_folded_anew() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    await talk.say("two bedroom in oakland")
    talk.items[0] = user("two bedroom in berkeley")
    assert "Friday" not in await talk.say("book the first one")


async def test_tools_of_one_response_replace_those_of_the_session() -> None:
    talk = Talk(ONEROOF)
    talk.tools = RECEPTION
    assert "take a message" in await talk.say("help")


async def test_a_very_long_conversation_stays_quick() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    for _ in range(60):
        await talk.say("two bedroom in oakland")
    spent = []
    for city in ("berkeley", "richmond", "oakland"):
        started = time.process_time()
        await talk.say(f"what about {city}")
        spent.append(time.process_time() - started)
    assert sorted(spent)[1] < 0.05


async def test_the_first_piece_comes_within_milliseconds() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    spent = []
    for text in [
        "hello",
        "two bedroom in oakland on friday",
        "book the first one",
        "at two thirty p m",
        "sam brown",
    ] * 4:
        started = time.process_time()
        await talk.say(text)
        spent.append(time.process_time() - started)
    assert sorted(spent)[len(spent) // 2] < 0.005


async def test_sessions_with_equal_tools_share_what_is_compiled() -> None:
    provider = DialogueProvider(today=lambda: MONDAY)
    first, second = provider.open(), provider.open()
    for mind in (first, second):
        mind.configure(instructions="", tools=ONEROOF)
    assert first._domain is second._domain
    assert isinstance(FunctionCall("f", "{}"), FunctionCall)


async def test_pieces_of_a_reply_join_to_readable_text() -> None:
    mind = DialogueProvider().open()
    mind.configure(instructions="", tools=[])
    request = StartResponse("r1", (), "", "audio", "alloy", 1.0, (), "auto", None)
    reply = "".join([piece.text async for piece in mind.respond(request) if isinstance(piece, Said)])
    assert reply == reply.strip()
    assert not re.search(r"[.!?]\S", reply)
