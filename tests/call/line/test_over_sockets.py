"""Whole calls over real sockets to a model far away: what it reports, what it says too late, and what it never says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from tests.call.helpers import Caller
from tests.frames import offence
from tests.models.remote import settings_for
from tests.models.upstream import Upstream

from perhop.call.announcer import Announcer
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason
from perhop.call.line import LinePolicy
from perhop.call.manager import CallManager
from perhop.call.observers.metrics import MetricsObserver
from perhop.models.openai import OpenAIModel
from perhop.models.steps import Script, error, in_turn, say
from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.events import (
    ConversationItemCreate,
    ErrorEvent,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
)
from perhop.realtime.items import ContentPart, MessageItem
from perhop.telemetry.metrics import Metrics
from perhop.tools.runner import ToolRunner

ERRORS = 20


class Talk:
    """A caller in a call to that model."""

    def __init__(self, upstream: Upstream, *, policy: LinePolicy | None = None) -> None:
        self.upstream = upstream
        self.metrics = Metrics()
        self.caller = Caller()
        settings = settings_for(upstream.url)
        manager = CallManager(
            {"far": ModelKind(lambda: OpenAIModel(settings), name="far", remote=True, hold_phrase="One moment.")},
            ToolRunner(),
            default_model="far",
            policy=policy or LinePolicy(rng=random.Random(1)),
            observer=MetricsObserver(self.metrics),
            announcer=Announcer(_speak),
        )
        self.call: Call = manager.start(self.caller, agent=None, session={}, tenant="t")
        self.call.on_caller_ready()

    def ask(self, text: str) -> None:
        part = ContentPart(type="input_text", text=text)
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.caller.received if isinstance(event, kind)]

    async def until(self, condition: Callable[[], object], *, seconds: float = 10.0) -> None:
        """Waits for what comes over a socket; the caller plays meanwhile."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.caller.tick()
                await asyncio.sleep(0.005)

    async def answers(self, count: int, *, seconds: float = 10.0) -> list[ResponseDone]:
        await self.until(lambda: len(self.of(ResponseDone)) >= count, seconds=seconds)
        return self.of(ResponseDone)


async def _speak(text: str, voice: str) -> AsyncIterator[bytes]:
    yield bytes(500 * BYTES_PER_MS)


@asynccontextmanager
async def talking(script: Script, *, policy: LinePolicy | None = None, **options: Any) -> AsyncIterator[Talk]:
    async with Upstream.scripted(script, **options) as upstream:
        talk = Talk(upstream, policy=policy)
        await talk.until(lambda: "session.created" in talk.caller.types())
        yield talk
        talk.call.hang_up(EndReason.API_HANGUP)


async def test_twenty_errors_in_a_row_are_logged_counted_and_passed_on_and_the_conversation_goes_on() -> None:
    script = in_turn(
        [*(error("server_error") for _ in range(ERRORS)), say("Still here.", ms=100)], then=[say("Yes.", ms=100)]
    )
    with structlog.testing.capture_logs() as log:
        async with talking(script) as talk:
            talk.ask("are you there")
            (done,) = await talk.answers(1)
            assert done.response.status == "completed"
            assert [event.error.code for event in talk.of(ErrorEvent)] == ["server_error"] * ERRORS
            counted = talk.metrics.registry.get_sample_value(
                "perhop_errors_total", {"code": "server_error", "side": "model"}
            )
            assert counted == ERRORS
            for _ in range(ERRORS):
                talk.upstream.last.say({"type": "error", "error": {"type": "server_error", "message": "odd"}})
            await talk.until(lambda: len(talk.of(ErrorEvent)) == 2 * ERRORS)
            talk.ask("and now")
            assert len(await talk.answers(2)) == 2
            assert talk.call.ended is None
            assert len(talk.upstream.sessions) == 1, "nothing of it is a reason to leave the session"
    assert [line["event"] for line in log].count("the model reports an error") == 2 * ERRORS


async def test_what_a_session_left_behind_had_still_to_say_is_not_heard() -> None:
    long = say("One two three four five six seven eight nine ten.", ms=3_000, pace=1.0)
    async with talking(in_turn([long], then=[say("Again.", ms=100)]), session_cap_s=2.0) as talk:
        talk.ask("count")
        first = talk.upstream.last
        await talk.until(lambda: talk.caller.playout.sent_ms(_item(talk)) >= 600)
        first.stall()  # what it says from now on is still under way when it is left
        failed, again = await talk.answers(2)
        assert (failed.response.status, again.response.status) == ("failed", "completed")
        told = len(talk.caller.received)
        first.resume()
        await first.gone.wait()
        await asyncio.sleep(0.2)
        late = talk.caller.received[told:]
        assert [event for event in late if getattr(event, "response_id", "") == failed.response.id] == []
        texts = [item.text() for item in talk.upstream.last.model.server.items]
        assert (texts[0], texts[-1]) == ("count", "Again.")
        assert "ten" not in texts[1], "nobody heard that"
        assert talk.of(ErrorEvent) == []


def _item(talk: Talk) -> str:
    """The agent's newest item."""
    return next((event.item.id for event in reversed(talk.of(ResponseOutputItemAdded))), "")


async def test_what_was_meant_for_a_session_that_is_gone_is_not_sent_into_the_next() -> None:
    long = say("A long answer, which is cut off in the middle.", ms=5_000, pace=1.0)
    async with talking(in_turn([long], then=[say("Again.", ms=100)])) as talk:
        talk.ask("one")
        await talk.until(lambda: talk.of(ResponseCreated))
        cut = talk.of(ResponseCreated)[0].response.id
        talk.upstream.kill()
        await talk.until(lambda: talk.of(ResponseDone))
        talk.call.on_caller_event(ResponseCancel(response_id=cut))  # sent before the caller knew
        failed, again = (await talk.answers(2))[:2]
        assert (failed.response.id, failed.response.status) == (cut, "failed")
        assert again.response.status == "completed"
        talk.call.on_caller_event(ResponseCancel(response_id=cut))
        talk.ask("two")
        await talk.answers(3)
        assert "response.cancel" not in talk.upstream.last.types()
        assert talk.of(ErrorEvent) == []


async def test_while_the_model_takes_calls_and_says_nothing_the_caller_hears_a_phrase() -> None:
    policy = LinePolicy(rng=random.Random(1), hold_after_s=0.3, ready_s=0.5)
    async with talking(in_turn(then=[say("Back.", ms=100)]), policy=policy) as talk:
        talk.upstream.mute = True
        talk.upstream.kill()
        (hold,) = await talk.answers(1)
        assert (hold.response.metadata, hold.response.conversation_id) == ({"perhop_purpose": "hold"}, None)
        talk.upstream.mute = False
        talk.ask("hello")
        _, answer = await talk.answers(2)
        assert answer.response.output is not None
        assert [item.text() for item in talk.call.history.items] == ["hello", "Back."]
        for event in talk.caller.received:
            assert offence(event.to_json()) is None
