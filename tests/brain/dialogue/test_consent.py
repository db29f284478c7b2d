"""What agrees to an effect that was read back, and what only begins as if it did."""

from __future__ import annotations

import json

import pytest
from tests.brain.dialogue.agents import function
from tests.brain.dialogue.talk import Talk

VIEWING = function(
    "book_viewing",
    {"day": {"type": "string", "format": "date"}, "time": {"type": "string", "format": "time"}},
    effect="once",
    title="book a viewing",
    samples=["book a viewing", "book the viewing on {day} at {time}"],
)


async def asked() -> Talk:
    """A caller who was just asked whether it is right."""
    talk = Talk([VIEWING], lambda *_: json.dumps({"ok": True}))
    assert "Is that right?" in await talk.say("book a viewing on friday at 2 pm")
    return talk


@pytest.mark.parametrize(
    "answer",
    [
        "yes",
        "yeah sure",
        "yes please book it",
        "yes that's right thank you",
        "okay go ahead and book the viewing",
        "yes i'd like to book it please",
        "yes it's correct",
        "sure sounds good to me",
        "perfect, thanks a lot",
        "yes please make the booking",
        "yes, exactly, everything is correct",
        "alright then",
        "yes you can book it",
        "okay, book it for me",
    ],
)
async def test_a_yes_that_is_said_in_more_words_is_consent(answer: str) -> None:
    talk = await asked()
    await talk.say(answer)
    assert [name for name, _ in talk.calls] == ["book_viewing"]


@pytest.mark.parametrize(
    "answer",
    [
        "it is not",
        "it is not correct",
        "it is incorrect",
        "it is not what i said",
        "yeah no",
        "sure no",
        "yes wait",
        "yes but don't book it yet",
        "that's right but don't do it",
        "fine but i do not want it",
        "right now i can't",
        "great never mind",
        "perfect stop",
        "okay not yet",
        "yes i changed my mind",
        "yes but",
        "yes don't book the viewing",
        "correct it please",
        "okay is that right",
        "sure if it is free of charge",
    ],
)
async def test_a_yes_in_front_of_something_else_is_no_consent(answer: str) -> None:
    talk = await asked()
    await talk.say(answer)
    assert talk.calls == []


@pytest.mark.parametrize("answer", ["it is not correct", "yeah no", "it isn't", "sure no"])
async def test_a_refusal_is_heard_as_one(answer: str) -> None:
    assert await (await asked()).say(answer) == "What should I change?"


async def test_who_wants_to_wait_is_waited_for() -> None:
    talk = await asked()
    assert await talk.say("yes wait") == "Take your time."
    await talk.say("okay go ahead")
    assert len(talk.calls) == 1


async def test_a_yes_with_another_value_is_read_back_once_more() -> None:
    talk = await asked()
    assert "10 am. Is that right?" in await talk.say("yes at ten")
    assert talk.calls == []
    await talk.say("yes")
    assert talk.calls == [("book_viewing", {"day": "2026-11-27", "time": "10:00"})]


async def test_words_of_the_tool_itself_are_consent_but_not_what_turns_them() -> None:
    unsubscribe = function("unsubscribe", {}, effect="once", title="stop the letters", samples=["do not write to me"])
    for answer, calls in [("yes stop the letters", 1), ("yes do not", 0)]:
        talk = Talk([unsubscribe], lambda *_: json.dumps({"ok": True}))
        assert "Is that right?" in await talk.say("stop the letters")
        await talk.say(answer)
        assert len(talk.calls) == calls
