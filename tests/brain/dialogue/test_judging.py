"""Whether the words so far are a finished turn."""

from __future__ import annotations

import time

import pytest
from tests.brain.dialogue.agents import ONEROOF, RECEPTION, run_oneroof, run_reception
from tests.brain.dialogue.talk import Talk

OPEN = [
    ("I'd like to see a two bedroom in Oakland on Friday", "complete"),
    ("2 bedroom in oakland friday", "complete"),
    ("I'd like to see a two bedroom in Oakland", "incomplete"),
    ("I'd like to see a two bedroom", "incomplete"),
    ("I'd like to see a two bedroom in", "incomplete"),
    ("I'd like to see a", "incomplete"),
    ("I'd like to see a two", "incomplete"),
    ("I'd like to see a two bedroom in Oakland and", "incomplete"),
    ("show me um", "incomplete"),
    ("what do you have in Alameda", "unknown"),
    ("book a viewing", "unknown"),
    ("send me the details", "unknown"),
    ("tell me a joke", "unknown"),
    ("yes", "complete"),
    ("start over", "complete"),
    ("hold on", "incomplete"),
    ("", "unknown"),
    (" . ", "unknown"),
]


@pytest.mark.parametrize(("partial", "verdict"), OPEN)
def test_a_request_is_finished_when_no_sample_says_more(partial: str, verdict: str) -> None:
    talk = Talk(ONEROOF)
    assert talk.mind.judge(talk.items, partial) == verdict


@pytest.mark.parametrize(
    ("before", "partial", "verdict"),
    [
        (["book an appointment"], "a cleaning", "complete"),
        (["book an appointment"], "a", "incomplete"),
        (["book an appointment", "cleaning"], "friday", "complete"),
        (["book an appointment", "cleaning"], "next", "incomplete"),
        (["book an appointment", "cleaning"], "march", "incomplete"),
        (["book an appointment", "cleaning"], "on march fifth", "complete"),
        (["book an appointment", "cleaning", "friday"], "two", "unknown"),
        (["book an appointment", "cleaning", "friday"], "two thirty", "complete"),
        (["book an appointment", "cleaning", "friday"], "two thirty p", "incomplete"),
        (["book an appointment", "cleaning", "friday"], "half past", "incomplete"),
        (["book an appointment", "cleaning", "friday"], "noon", "complete"),
        (["book an appointment"], "friday at ten thirty", "complete"),
        (["book an appointment"], "on friday at", "incomplete"),
        (["book an appointment", "cleaning"], "at two thirty", "complete"),
        (["book an appointment", "cleaning", "friday", "at ten"], "sam", "unknown"),
        (["book an appointment", "cleaning", "friday", "at ten"], "sam brown", "complete"),
        (["book an appointment", "cleaning", "friday", "at ten"], "b r o", "unknown"),
        (["book an appointment", "cleaning", "friday", "at ten"], "my", "incomplete"),
        (["book an appointment", "cleaning", "friday", "at ten", "sam brown"], "no", "complete"),
        (["take a message", "sam brown"], "five one oh", "incomplete"),
        (["take a message", "sam brown"], "five one oh five five five oh one", "incomplete"),
        (["take a message", "sam brown"], "five one oh five five five oh one three four", "complete"),
        (["take a message", "sam brown"], "five one oh five five double", "incomplete"),
        (["take a message", "sam brown", "510 555 0134"], "tell her I am late", "unknown"),
        (["take a message", "sam brown", "510 555 0134"], "tell her I am late because", "incomplete"),
        (["connect me to billing"], "yes", "complete"),
        (["connect me to billing"], "no the nurse line", "complete"),
        (["connect me to billing"], "no make it", "unknown"),
    ],
)
async def test_an_answer_is_finished_when_it_cannot_grow(before: list[str], partial: str, verdict: str) -> None:
    talk = Talk(RECEPTION, run_reception)
    for text in before:
        await talk.say(text)
    assert talk.mind.judge(talk.items, partial) == verdict


async def test_a_price_or_code_may_go_on() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    await talk.say("two bedroom in oakland")
    assert talk.mind.judge(talk.items, "what about berkeley") == "complete"
    assert talk.mind.judge(talk.items, "the second one") == "complete"
    await talk.say("book a viewing")
    assert talk.mind.judge(talk.items, "the first one") == "complete"


async def test_judging_takes_less_than_a_millisecond_or_so() -> None:
    talk = Talk(ONEROOF, run_oneroof)
    for _ in range(10):
        await talk.say("two bedroom in oakland")
    spent = []
    for _ in range(40):
        started = time.process_time()
        talk.mind.judge(talk.items, "I'd like to see a two bedroom in Oakland on Friday")
        spent.append(time.process_time() - started)
    assert sorted(spent)[len(spent) // 2] < 0.003
