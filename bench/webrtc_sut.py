"""The system under test of ``webrtc_edge.py``: a process that answers offers and echoes audio.

Commands come as lines of JSON on stdin, answers go as lines of JSON to stdout: ``{"offer": sdp}`` is answered with
``{"answer": sdp}``, ``{"loop": true}`` with what the event loop did since the last such question.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import selectors
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import uvloop

from perhop.config import WebRTCSettings

Answerer = Callable[[str], Awaitable[str]]


class MeteredSelector(selectors.EpollSelector):
    """Notes how much thread CPU time passes between two waits: what the loop's callbacks of one round took together.

    CPU time and not wall time, because on a shared machine wall time measures the machine. A round can hold several
    callbacks, so its time is an upper bound of the longest. What wall time had in excess was stolen by somebody else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[float] = []
        self.stolen = 0.0
        self._since = time.thread_time()
        self._wall = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        used, now = time.thread_time() - self._since, time.monotonic()
        self.rounds.append(used)
        lost = now - self._wall - used
        ready = super().select(timeout)
        self._since, self._wall = time.thread_time(), time.monotonic()
        if not ready and timeout is not None:
            lost = max(lost, self._wall - now - timeout)  # it was to be woken earlier
        if lost > self.stolen:
            self.stolen = lost
        return ready

    def take(self) -> dict[str, float]:
        """Figures of all rounds since the last call, in ms."""
        rounds, self.rounds = sorted(self.rounds), []
        stolen, self.stolen = self.stolen, 0.0
        if not rounds:
            return {"stolen": 0.0, "p99": 0.0, "max": 0.0}
        return {
            "stolen": stolen * 1e3,
            "p99": rounds[int(len(rounds) * 0.99)] * 1e3,
            "max": rounds[-1] * 1e3,
        }


async def perhop_calls() -> Answerer:
    """The real path: edge, call, boundary, echo model."""
    from perhop.call.manager import CallManager, ModelKind
    from perhop.edges.webrtc import WebRTCEdge
    from perhop.models.echo import EchoModel
    from perhop.tools.runner import ToolRunner

    edge = await WebRTCEdge.open(WebRTCSettings(host="127.0.0.1"))
    runner = ToolRunner()
    calls = CallManager({"echo": ModelKind(open=EchoModel)}, runner, default_model="echo")

    async def answer(offer: str) -> str:
        leg = edge.answer(offer)
        calls.start(leg, agent=None, session={"audio": {"input": {"turn_detection": None}}}, tenant="bench")
        return leg.answer_sdp

    return answer


async def bridged_calls() -> Answerer:
    """The path of a gateway: edge, call, and a WebSocket to the model at ``PERHOP_BENCH_MODEL`` (a base URL)."""
    from pathlib import Path

    from pydantic import SecretStr

    from perhop.call.manager import CallManager
    from perhop.config import UpstreamSettings
    from perhop.edges.webrtc import WebRTCEdge
    from perhop.models.upstreams import upstream_kind
    from perhop.tools.runner import ToolRunner

    upstream = UpstreamSettings(url=os.environ["PERHOP_BENCH_MODEL"], key=SecretStr("sk-upstream"))
    edge = await WebRTCEdge.open(WebRTCSettings(host="127.0.0.1"))
    calls = CallManager(
        {"remote": upstream_kind("remote", upstream, base_dir=Path())}, ToolRunner(), default_model="remote"
    )
    session = json.loads(os.environ.get("PERHOP_BENCH_SESSION", "{}"))

    async def answer(offer: str) -> str:
        leg = edge.answer(offer)
        calls.start(leg, agent=None, session=session, tenant="bench")
        return leg.answer_sdp

    return answer


async def perhop_legs() -> Answerer:
    """The edge alone: what a leg hears it plays."""
    from perhop.edges.webrtc import WebRTCEdge, WebRTCLeg
    from perhop.realtime.audio import AudioChunk

    class Echo:
        def __init__(self, leg: WebRTCLeg) -> None:
            self._leg = leg

        def on_caller_audio(self, pcm: bytes) -> None:
            self._leg.play(AudioChunk("resp_echo", "item_echo", 0, 0, pcm))

        def on_caller_event(self, event: object) -> None: ...
        def on_playout_started(self, response_id: str) -> None: ...
        def on_playout_stopped(self, response_id: str) -> None: ...
        def on_caller_ready(self) -> None: ...
        def on_caller_closed(self, reason: object) -> None: ...

    edge = await WebRTCEdge.open(WebRTCSettings(host="127.0.0.1"))

    async def answer(offer: str) -> str:
        leg = edge.answer(offer)
        leg.attach(Echo(leg))
        return leg.answer_sdp

    return answer


async def aiortc_echo() -> Answerer:
    """aiortc as its own examples use it: the received track is sent back."""
    from aiortc import RTCPeerConnection, RTCSessionDescription

    peers: set[RTCPeerConnection] = set()

    async def answer(offer: str) -> str:
        peer = RTCPeerConnection()
        peers.add(peer)
        peer.on("track", peer.addTrack)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        description = await peer.createAnswer()
        assert description is not None
        await peer.setLocalDescription(description)
        return str(peer.localDescription.sdp)

    return answer


STACKS: dict[str, Callable[[], Awaitable[Answerer]]] = {
    "perhop": perhop_calls,
    "bridge": bridged_calls,
    "edge": perhop_legs,
    "aiortc": aiortc_echo,
}


async def serve(stack: str, meter: MeteredSelector) -> None:
    """Answers commands until stdin ends."""
    answer = await STACKS[stack]()
    gc.collect()
    gc.freeze()  # as a server does once everything is loaded: collections then look at what calls bring, not at modules
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say({"ready": True})
    while line := await reader.readline():
        command: dict[str, Any] = json.loads(line)
        _say({"answer": await answer(command["offer"])} if "offer" in command else meter.take())


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stack", choices=STACKS)
    parser.add_argument("--uvloop", action="store_true", help="the loop of servers; its rounds are not metered")
    arguments = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    meter = MeteredSelector()
    factory = uvloop.new_event_loop if arguments.uvloop else lambda: asyncio.SelectorEventLoop(meter)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(arguments.stack, meter))


if __name__ == "__main__":
    main()
