"""An agent with another voice takes over: its model session is another one, and the caller may be talking meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from tests.call.helpers import Caller, counting_ids
from tests.call.line.conversations import FRAME_S, VirtualFar, frame, numbers
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.legs import EndReason
from perhop.call.line import LinePolicy
from perhop.call.manager import CallManager
from perhop.call.observers.metrics import MetricsObserver
from perhop.models.steps import Step, call, in_turn, say
from perhop.realtime.events import ConversationItemCreate, ResponseCreate, SessionUpdate, SessionUpdated
from perhop.realtime.items import ContentPart, MessageItem
from perhop.telemetry.metrics import Metrics
from perhop.tools.kinds.builtin import builtin
from perhop.tools.runner import ToolRunner

DESK = Agent(
    "desk",
    model="far",
    fixed={"audio": {"output": {"voice": "marin"}}},
    tools={"hand_off": builtin("hand_off", agents=["billing"])},
)
BILLING = Agent(
    "billing",
    model="far",
    fixed={
        "instructions": "You are billing.",
        "audio": {
            "input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}},
            "output": {"voice": "cedar"},
        },
    },
)


class Office:
    """A call with the desk, whose model is some way off; on virtual time."""

    def __init__(self, *responses: list[Step], seed: int = 0) -> None:
        self.loop = asyncio.get_running_loop()
        ids = counting_ids()
        self.far = VirtualFar(in_turn(*responses, then=[say("Yes?", ms=200)]), seed, cap_s=None, new_id=ids)
        self.metrics = Metrics()
        agents = {one.name: one for one in (DESK, BILLING)}
        manager = CallManager(
            {"far": self.far.kind},
            ToolRunner(),
            policy=LinePolicy(rng=random.Random(seed)),
            find_agent=lambda _tenant, name: agents[name],
            observer=MetricsObserver(self.metrics),
            clock=self.loop.time,
            wall=self.loop.time,
            new_id=ids,
        )
        self.caller = Caller()
        self.call: Call = manager.start(self.caller, agent=DESK, session={}, tenant="t")
        self.call.on_caller_ready()
        self.loud: list[int] = []
        self.frames = 0

    def ask(self, text: str) -> None:
        part = ContentPart(type="input_text", text=text)
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())

    async def hear(self, frames: int, *, loud: bool) -> None:
        """So many frames of the caller's, at their pace; what the agent says is played as well."""
        for _ in range(frames):
            self.frames += 1
            if loud:
                self.loud.append(self.frames)
            self.call.on_caller_audio(frame(self.frames, loud=loud))
            self.caller.tick()
            await asyncio.sleep(FRAME_S)

    def heard(self) -> Counter[int]:
        """How often each frame is in the turns of the conversation, in eighths."""
        committed: dict[str, bytes] = {}
        for model in self.far.models:
            committed |= model.record.committed
        heard: Counter[int] = Counter()
        for item in self.call.history.items:
            heard += numbers(committed.get(item.id or "", b""))
        return heard

    def shown(self) -> list[SessionUpdated]:
        return [event for event in self.caller.received if isinstance(event, SessionUpdated)]


@pytest.mark.parametrize("seed", range(12))
def test_nothing_that_is_said_while_another_voice_takes_over_is_lost(seed: int) -> None:
    async def scenario() -> None:
        office = Office([call("hand_off", {"to": "billing"})], [say("Billing here.", ms=300)], seed=seed)
        await office.hear(20, loud=False)
        office.ask("billing, please")
        await office.hear(seed, loud=False)  # the hand-over falls into all parts of what is said
        await office.hear(60, loud=True)
        await office.hear(300, loud=False)
        assert len(office.far.models) == 2, "a session that has spoken does not change its voice"
        assert office.far.models[1].record.session is not None
        assert office.far.models[1].record.session.audio.output.voice == "cedar"
        heard = office.heard()
        assert [number for number in office.loud if heard[number] < 7] == []
        assert [number for number in office.loud if heard[number] > 9] == []
        spoken = [item for item in office.call.history.items if isinstance(item, MessageItem)]
        assert spoken[-1].role == "assistant", "and it is answered"
        assert "error" not in office.caller.types()
        assert office.caller.types().count("session.created") == 1
        office.call.hang_up(EndReason.CALLER_HANGUP)

    run_virtual(scenario())


def test_clients_are_shown_what_is_in_force_and_it_is() -> None:
    async def scenario() -> None:
        office = Office([call("hand_off", {"to": "billing"})], [say("Billing here.", ms=300)])
        office.ask("billing, please")
        await office.hear(100, loud=False)
        shown = office.shown()[-1].session
        assert shown["audio"]["output"]["voice"] == "cedar"
        assert shown["instructions"] == "You are billing."
        created = next(event for event in office.caller.received if event.type == "session.created")
        assert shown["id"] == created.session["id"], "to clients it is one session"  # type: ignore[attr-defined]
        assert shown["audio"]["input"]["transcription"] is None, "nobody asked for it"
        office.ask("tell me everything")
        await office.hear(3, loud=False)
        await office.hear(30, loud=True)
        assert "output_audio_buffer.cleared" not in office.caller.types(), "speech does not interrupt billing"
        office.call.hang_up(EndReason.CALLER_HANGUP)

    run_virtual(scenario())


def test_another_agent_is_no_caller_who_comes_back() -> None:
    async def scenario() -> None:
        office = Office([call("hand_off", {"to": "billing"})])
        office.ask("billing, please")
        await office.hear(100, loud=False)
        assert office.metrics.registry.get_sample_value("perhop_resumes_total") == 0
        office.call.hang_up(EndReason.CALLER_HANGUP)

    run_virtual(scenario())


def test_who_is_refused_transcripts_is_shown_none() -> None:
    async def scenario() -> None:
        office = Office([call("hand_off", {"to": "billing"})])
        await office.hear(20, loud=False)
        await office.hear(20, loud=True)
        await office.hear(60, loud=False)
        before = office.caller.types()
        asked = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        refused = {**asked, "audio": {**asked["audio"], "output": {"speed": 99}}}
        office.call.on_caller_event(SessionUpdate(session=refused))
        await office.hear(20, loud=True)
        await office.hear(60, loud=False)
        assert "error" in office.caller.types()
        assert not any("transcription" in name for name in office.caller.types()[len(before) :]), "it was refused"
        office.call.on_caller_event(SessionUpdate(session=asked))
        await office.hear(20, loud=True)
        await office.hear(60, loud=False)
        assert any("transcription" in name for name in office.caller.types())
        office.call.hang_up(EndReason.CALLER_HANGUP)

    run_virtual(scenario())
