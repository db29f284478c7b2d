"""Controllers over WebSocket, beside a real call on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.websockets import WebSocket
from tests.call.helpers import Caller, PuppetModel, counting_ids
from tests.edges.test_websocket import Wire, append, settle
from tests.virtual_time import run_virtual

from perhop.call.call import Call
from perhop.call.legs import CallerLeg, EndReason
from perhop.call.manager import CallManager, ModelKind
from perhop.edges.sideband import Sideband
from perhop.edges.socket import WebSocketLimits
from perhop.edges.websocket import WebSocketLeg
from perhop.realtime.effects import StartResponse
from perhop.tools.runner import ToolRunner

STARTED = 1_700_000_000.0


def answer(model: PuppetModel, request: StartResponse) -> None:
    model.say(request.response_id, 100)


class Scene:
    """A call, and the means to control it."""

    def __init__(self, *, max_call_s: float | None = None) -> None:
        self.clock = asyncio.get_running_loop().time
        ids = counting_ids()
        self.model = PuppetModel(answer, clock=self.clock, new_id=ids)
        self.manager = CallManager(
            {"local": ModelKind(lambda: self.model)},
            ToolRunner(),
            max_call_s=max_call_s,
            clock=self.clock,
            wall=lambda: STARTED,
            new_id=ids,
        )

    def start(self, leg: CallerLeg) -> Call:
        return self.manager.start(leg, agent=None, session={}, tenant="t")

    def socket(self, wire: Wire) -> WebSocket:
        scope = {"type": "websocket", "path": "/v1/realtime", "headers": [], "subprotocols": []}
        return WebSocket(scope, wire.receive, wire.send)


class Control:
    """One controller on the wire."""

    def __init__(self, scene: Scene, call: Call, *, audio: bool = False, limits: WebSocketLimits | None = None) -> None:
        self.wire = Wire()
        self._socket = scene.socket(self.wire)
        self.sideband = Sideband(
            self._socket, call, audio=audio, trusted=True, limits=limits or WebSocketLimits(), clock=scene.clock
        )

    async def run(self) -> asyncio.Task[None]:
        self.wire.inbox.put_nowait({"type": "websocket.connect"})
        await self._socket.accept()
        running = asyncio.create_task(self.sideband.run())
        await settle()
        return running

    def types(self) -> list[str]:
        return [event["type"] for event in self.wire.sent]


def on_a_call(test: Callable[[Scene, Caller, Call], Awaitable[None]]) -> None:
    """Runs ``test`` beside a live call of a clocked caller."""

    async def main() -> None:
        scene = Scene()
        caller = Caller()
        call = scene.start(caller)
        call.on_caller_ready()
        await test(scene, caller, call)
        call.hang_up(EndReason.API_HANGUP)

    run_virtual(main())


def test_it_controls_the_call_and_hears_what_comes_of_it() -> None:
    async def test(scene: Scene, caller: Caller, call: Call) -> None:
        control = Control(scene, call)
        running = await control.run()
        control.wire.say({"type": "session.update", "session": {"type": "realtime", "instructions": "Sing."}})
        control.wire.say({"type": "response.create"})
        await settle()
        assert control.types()[:3] == ["session.created", "session.updated", "response.created"]
        assert "response.done" in control.types()
        assert "response.output_audio.delta" not in control.types()
        assert caller.types()[-1] == "response.done"
        control.wire.go(reason="")
        await running
        assert call.ended is None

    on_a_call(test)


def test_what_is_malformed_is_its_own_business() -> None:
    async def test(scene: Scene, caller: Caller, call: Call) -> None:
        control = Control(scene, call)
        running = await control.run()
        control.wire.say("nonsense", {"type": "no.such.event", "event_id": "e1"})
        await settle()
        assert [error["code"] for error in control.wire.errors()] == ["invalid_json", "invalid_event"]
        assert "error" not in caller.types()
        control.wire.go(reason="")
        await running

    on_a_call(test)


def test_audio_is_heard_on_demand_and_may_be_appended() -> None:
    async def test(scene: Scene, caller: Caller, call: Call) -> None:
        control = Control(scene, call, audio=True)
        running = await control.run()
        off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        control.wire.say({"type": "session.update", "session": off})
        control.wire.say(append(bytes(48 * 200)), {"type": "input_audio_buffer.commit"}, {"type": "response.create"})
        await settle()
        assert {"input_audio_buffer.committed", "response.output_audio.delta"} <= set(control.types())
        control.wire.go(reason="")
        await running

    on_a_call(test)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (EndReason.API_HANGUP, 1000),
        (EndReason.CALLER_HANGUP, 1000),
        (EndReason.CALLER_ABUSE, 1000),
        (EndReason.MODEL_FAILED, 1000),
        (EndReason.SESSION_EXPIRED, 1001),
        (EndReason.SHUTDOWN, 1001),
    ],
)
def test_it_is_closed_when_the_call_is_over(reason: EndReason, code: int) -> None:
    async def test(scene: Scene, caller: Caller, call: Call) -> None:
        control = Control(scene, call)
        running = await control.run()
        call.hang_up(reason)
        await running
        assert control.wire.closed == (code, reason.value)

    on_a_call(test)


def test_one_that_does_not_read_is_dropped_and_the_call_goes_on() -> None:
    async def test(scene: Scene, caller: Caller, call: Call) -> None:
        slow = Control(scene, call, limits=WebSocketLimits(send_queue_bytes=50_000))
        fast = Control(scene, call)
        running = [await slow.run(), await fast.run()]
        slow.wire.reads.clear()
        for n in range(100):
            update = {"type": "session.update", "session": {"type": "realtime", "max_output_tokens": n + 1}}
            fast.wire.say(update)
        await settle()
        assert call.snapshot().taps == 1
        assert fast.types().count("session.updated") == caller.types().count("session.updated") == 100
        slow.wire.reads.set()
        await running[0]
        assert slow.wire.closed == (1008, "slow_reader")
        assert len(slow.wire.sent) < 100
        assert call.ended is None
        fast.wire.go(reason="")
        await running[1]

    on_a_call(test)


def test_one_that_never_came_to_be_leaves_nothing_behind() -> None:
    async def test(scene: Scene, caller: Caller, call: Call) -> None:
        control = Control(scene, call)
        assert call.snapshot().taps == 1
        control.sideband.leave()
        assert call.snapshot().taps == 0

    on_a_call(test)


def test_a_call_that_ends_before_the_upgrade_closes_it_at_once() -> None:
    async def test(scene: Scene, caller: Caller, call: Call) -> None:
        control = Control(scene, call)
        call.hang_up(EndReason.CALLER_HANGUP)
        running = await control.run()
        await running
        assert control.wire.closed == (1000, "caller_hangup")

    on_a_call(test)


def test_at_the_limit_of_a_call_its_websockets_are_told_and_closed() -> None:
    """The documented end of a session: ``session_expired``, then 1001."""

    async def main() -> None:
        scene = Scene(max_call_s=1800)
        wire = Wire()
        socket = scene.socket(wire)
        leg = WebSocketLeg(socket, limits=WebSocketLimits(), clock=scene.clock)
        call = scene.start(leg)
        wire.inbox.put_nowait({"type": "websocket.connect"})
        await socket.accept()
        wire.sent.clear()
        running = asyncio.create_task(leg.run())
        control = Control(scene, call)
        controlling = await control.run()
        await asyncio.sleep(1795)
        wire.say(append(bytes(4800)))
        await asyncio.sleep(10)
        await asyncio.gather(running, controlling)
        for end in (wire, control.wire):
            assert end.sent[0]["session"]["expires_at"] == STARTED + 1800
            assert end.sent[-1]["type"] == "error"
            assert end.sent[-1]["error"]["code"] == "session_expired"
            assert end.closed == (1001, "session_expired")

    run_virtual(main())
