"""A model that takes direct calls, in this process: one scripted session, heard over sidebands that tests can break."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

from tests.call.helpers import counting_ids

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.direct import DirectLeg, DirectLine
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelLeg, ModelSink
from perhop.call.line import LinePolicy
from perhop.call.manager import CallManager
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Script
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ResponseCreate,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from perhop.realtime.items import ContentPart, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolRunner

__all__ = ["DirectCall", "FarModel"]


@dataclass(frozen=True)
class Answer:
    sdp: str = "v=0 answer"
    call_id: str = "rtc_far"


class FarModel:
    """The model; a :class:`~perhop.call.direct.DirectUpstream` and the sink of its own session.

    Attributes:
        refusals: of the next attempts to attach, each whether it is for good.
        refuses_offers: with this, instead of an answer.
        hangs: no attempt to attach comes to anything.
        hung_up: ids it was told to end.
        heard: events of the session, as its caller gets them.
        sent: events that came over a sideband.
    """

    name = "far"

    def __init__(self, script: Script) -> None:
        loop = asyncio.get_running_loop()
        self.model = ScriptedModel(script, clock=loop.time, wall=loop.time)
        self.refusals: list[bool] = []
        self.refuses_offers: Exception | None = None
        self.refuses = False
        self.hangs = False
        self.attached = 0
        self.hung_up: list[str] = []
        self.heard: list[ServerEvent] = []
        self.sent: list[ClientEvent] = []
        self.session: Any = None
        self.sidebands: list[Sideband] = []

    async def answer(self, offer_sdp: str, session: SessionConfig, *, dcid: int | None = None) -> Answer:
        await asyncio.sleep(0.05)
        if self.refuses_offers is not None:
            raise self.refuses_offers
        self.model.start(self, session)
        return Answer()

    def attach(self, call_id: str) -> ModelLeg:
        assert call_id == "rtc_far"
        return Sideband(self)

    def hang_up(self, call_id: str) -> None:
        self.hung_up.append(call_id)
        self.model.close()

    def cut(self) -> None:
        """Every sideband breaks."""
        for sideband in list(self.sidebands):
            sideband.lose(EndReason.MODEL_FAILED, "connection lost", fatal=False)

    def caller(self, event: ClientEvent) -> None:
        """The caller says this on its data channel."""
        self.model.send(event)

    def ask(self, text: str) -> None:
        """The caller types, and wants an answer."""
        part = ContentPart(type="input_text", text=text)
        self.caller(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.caller(ResponseCreate())

    def said(self) -> list[str]:
        """Everything the conversation holds by now."""
        return [item.text() or item.type for item in self.model.server.items]

    # -- ModelSink ----------------------------------------------------------------------------------------------------

    def on_model_event(self, event: ServerEvent) -> None:
        if isinstance(event, SessionCreated | SessionUpdated):
            self.session = dict(event.session)
        self.heard.append(event)
        for sideband in list(self.sidebands):
            asyncio.get_running_loop().call_soon(sideband.tell, event)

    def on_model_audio(self, chunk: AudioChunk) -> None:
        """Its caller hears it."""

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None:
        for sideband in list(self.sidebands):
            sideband.lose(EndReason.MODEL_CLOSED, "close 1000", fatal=False)


@dataclass(eq=False)
class Sideband:
    """One; a ModelLeg."""

    far: FarModel
    sink: ModelSink | None = None
    appended: int = field(default=0)

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        self.sink = sink
        asyncio.get_running_loop().call_later(0.02, self._begin)

    def send(self, event: ClientEvent) -> None:
        if self.sink is not None:
            self.far.sent.append(event)
            self.far.model.send(event)

    def append(self, pcm: bytes) -> None:
        raise AssertionError("nobody appends audio to a direct call")

    def close(self) -> None:
        self.sink = None
        if self in self.far.sidebands:
            self.far.sidebands.remove(self)

    def tell(self, event: ServerEvent) -> None:
        if self.sink is not None:
            self.sink.on_model_event(event)

    def lose(self, reason: EndReason, detail: str, *, fatal: bool) -> None:
        sink = self.sink
        self.close()
        if sink is not None:
            sink.on_model_closed(reason, detail, fatal=fatal)

    def _begin(self) -> None:
        far = self.far
        if self.sink is None or far.hangs:
            return
        if far.refuses or far.refusals:
            fatal = far.refusals.pop(0) if far.refusals else False
            self.lose(EndReason.MODEL_FAILED, "http 404 session_not_found" if fatal else "unreachable", fatal=fatal)
            return
        far.attached += 1
        far.sidebands.append(self)
        self.sink.on_model_event(SessionCreated(event_id="event_attached", session=far.session))


class DirectCall:
    """A direct call to an agent."""

    def __init__(self, script: Script, *, agent: Agent | None = None, policy: LinePolicy | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.far = FarModel(script)
        ids = counting_ids()
        policy = policy or LinePolicy(rng=random.Random(1))
        self.line = DirectLine(self.far, "v=0 offer", policy=policy, clock=loop.time, new_id=ids)
        self.leg = DirectLeg()
        manager = CallManager(
            {"far": ModelKind(lambda: self.far.attach("rtc_far"), name="far", remote=True)},
            ToolRunner(),
            clock=loop.time,
            wall=loop.time,
            new_id=ids,
        )
        agent = agent or Agent(name="desk", model="far", route="direct", fixed={"instructions": "Be brief."})
        self.call: Call = manager.start(self.leg, agent=agent, session={}, tenant="t", line=self.line)

    async def answered(self) -> DirectCall:
        """The caller has its answer."""
        assert await self.line.answer() == "v=0 answer"
        self.leg.answered()
        return self
