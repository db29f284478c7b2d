"""What the tests of the WebRTC edge share: sinks that remember, and a network without sockets or time of its own."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from bench.webrtc_client import OPUS, LightPeer

from perhop.call.legs import EndReason
from perhop.config import WebRTCSettings
from perhop.edges.webrtc import WebRTCEdge, WebRTCLeg
from perhop.media.dtls import DtlsIdentity
from perhop.media.ice import Address
from perhop.media.opus import OpusEncoder
from perhop.media.rtcp import ReceiverReport, ReportBlock, SenderReport, pack_compound, parse_compound
from perhop.media.rtp import RtpPacket, pack_packet
from perhop.realtime.audio import FRAME_BYTES, AudioChunk
from perhop.realtime.events import ClientEvent

EDGE_PORT = 8443
TICK = 0.005


class Handle:
    def __init__(self, callback: Callable[..., None]) -> None:
        self.callback: Callable[..., None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class HandLoop:
    """The two methods of an event loop that the pacer and the deadlines need; its time is set by hand.

    Attributes:
        late: by how much a timer is called late, or early if negative.
        calls: timers that were called.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.late = 0.0
        self.calls = 0
        self._timers: list[tuple[float, int, Handle]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None]) -> Handle:
        handle = Handle(callback)
        heapq.heappush(self._timers, (when, id(handle), handle))
        return handle

    @property
    def is_asleep(self) -> bool:
        return not any(handle.callback for _, _, handle in self._timers)

    def run(self, until: float) -> None:
        while self._timers and self._timers[0][0] <= until:
            when, _, handle = heapq.heappop(self._timers)
            self.now = max(self.now, when + self.late)
            if handle.callback is not None:
                self.calls += 1
                handle.callback()
        self.now = max(self.now, until)


class RecordingSink:
    """A call that only remembers."""

    def __init__(self) -> None:
        self.events: list[ClientEvent] = []
        self.audio = bytearray()
        self.played: list[tuple[str, str]] = []
        self.ready = 0
        self.closed: list[EndReason] = []
        self.echo: WebRTCLeg | None = None

    def on_caller_event(self, event: ClientEvent) -> None:
        self.events.append(event)

    def on_caller_audio(self, pcm: bytes) -> None:
        self.audio += pcm
        if self.echo is not None:
            self.echo.play(AudioChunk("resp_echo", "item_echo", 0, 0, pcm))

    def on_playout_started(self, response_id: str) -> None:
        self.played.append(("started", response_id))

    def on_playout_stopped(self, response_id: str) -> None:
        self.played.append(("stopped", response_id))

    def on_caller_ready(self) -> None:
        self.ready += 1

    def on_caller_closed(self, reason: EndReason) -> None:
        self.closed.append(reason)


class FakeSocket:
    """Where the edge's datagrams go in a network of the imagination."""

    def __init__(self, network: Network, index: int, host: str) -> None:
        self.index, self.host = index, host
        self.peers: dict[Address, object] = {}
        self._network = network

    def send(self, data: bytes, address: Address) -> None:
        self._network.from_edge(data, address)


class Network:
    """Carries datagrams between one edge and its callers at once; stands where the edge expects its port.

    Attributes:
        lost: decides per datagram and direction (``up`` to the edge, ``down`` from it) whether it is lost.
    """

    def __init__(self) -> None:
        self.port = EDGE_PORT
        self.sockets = [FakeSocket(self, 0, "203.0.113.5"), FakeSocket(self, 1, "10.0.0.5")]
        self.lost: Callable[[str, bytes], bool] = lambda _direction, _data: False
        self._handler: Callable[[bytes, Address, FakeSocket], None] | None = None
        self._listeners: dict[Address, Callable[[bytes], None]] = {}

    def start(self, _loop: object, handler: Callable[[bytes, Address, FakeSocket], None]) -> None:
        self._handler = handler

    def close(self, _loop: object) -> None:
        self._handler = None

    def listen(self, address: Address, receive: Callable[[bytes], None]) -> None:
        self._listeners[address] = receive

    def forget(self, address: Address) -> None:
        self._listeners.pop(address, None)

    def to_edge(self, data: bytes, source: Address, *, socket: int = 0) -> None:
        if self._handler is not None and not self.lost("up", data):
            self._handler(data, source, self.sockets[socket])

    def from_edge(self, data: bytes, target: Address) -> None:
        receive = self._listeners.get(target)
        if receive is not None and not self.lost("down", data):
            # Not at once: a datagram never arrives before it was sent.
            asyncio.get_running_loop().call_soon(receive, data)


def open_edge(network: Network, **settings: object) -> WebRTCEdge:
    """An edge on a network of the imagination, in the running loop."""
    return WebRTCEdge(
        network,  # type: ignore[arg-type]
        WebRTCSettings(**settings),  # type: ignore[arg-type]
        announce=("203.0.113.5",),
        loop=asyncio.get_running_loop(),
    )


class Caller:
    """A light peer on that network, with the leg it got.

    Attributes:
        heard: ``(time, packet)`` of the RTP that came.
        reported_at: when the last RTCP came.
    """

    def __init__(
        self,
        network: Network,
        edge: WebRTCEdge,
        *,
        port: int = 5000,
        attach: bool = True,
        identity: DtlsIdentity | None = None,
    ) -> None:
        self.network = network
        self.loop = asyncio.get_running_loop()
        self.address: Address = ("192.0.2.7", port)
        self.peer = LightPeer(identity=identity)
        self.sink = RecordingSink()
        self.leg = edge.answer(self.peer.offer)
        if attach:
            self.leg.attach(self.sink)
        self.peer.accept(self.leg.answer_sdp)
        self.heard: list[tuple[float, RtpPacket]] = []
        self.reported_at = 0.0
        self._reports_at: list[float] = []
        self.alive = True
        self._encoder = OpusEncoder(48_000)
        self._sequence = 100
        self._timestamp = 0
        network.listen(self.address, self._receive)
        self._tick()

    async def connected(self) -> Caller:
        """Waits until DTLS is up on both sides."""
        async with asyncio.timeout(20):
            while not (self.peer.connected and self.leg.peer.is_connected):  # noqa: ASYNC110 - on virtual time
                await asyncio.sleep(TICK)
        return self

    def move(self, port: int) -> None:
        """The NAT in front of this caller gives it another port."""
        self.network.forget(self.address)
        self.address = ("192.0.2.7", port)
        self.network.listen(self.address, self._receive)

    def vanish(self) -> None:
        """As by ``kill -9``: says nothing any more and hears nothing."""
        self.alive = False
        self.network.forget(self.address)

    def send(self, datagram: bytes) -> None:
        self.network.to_edge(datagram, self.address)

    def rtp(self, pcm: bytes = bytes(1920)) -> bytes:
        """The next packet of its audio: 20 ms at 48 kHz, protected."""
        self._sequence += 1
        self._timestamp += 960
        payload = self._encoder.encode(pcm)
        return self.peer.protect(pack_packet(OPUS, self._sequence, timestamp=self._timestamp, ssrc=1, payload=payload))

    def report(self, *, round_trip: float = 0.0, lost: int = 0) -> None:
        """Reports on the edge's stream like a receiver that far away with that much loss (of 256)."""
        now = self.loop.time()
        old_enough = zip(self._reports_at, self.peer.reports, strict=True)
        at, report = [(at, report) for at, report in old_enough if at <= now - round_trip][-1]
        sender = next(part for part in parse_compound(report) if isinstance(part, SenderReport))
        held = now - at - round_trip
        block = ReportBlock(
            sender.ssrc, fraction_lost=lost, lsr=(sender.ntp >> 16) & 0xFFFFFFFF, dlsr=round(held * 65536)
        )
        assert self.peer.dtls is not None
        assert self.peer.dtls.srtp is not None
        self.send(self.peer.dtls.srtp.protect_rtcp(pack_compound(ReceiverReport(1, [block]))))

    async def talk(self, frames: int) -> None:
        """Sends so many frames of silence, 20 ms apart."""
        for _ in range(frames):
            self.send(self.rtp())
            await asyncio.sleep(0.020)

    def _receive(self, datagram: bytes) -> None:
        now = self.loop.time()
        reports = len(self.peer.reports)
        self.peer.receive(datagram, ("203.0.113.5", EDGE_PORT), now)
        if len(self.peer.reports) > reports:
            self.reported_at = now
            self._reports_at += [now] * (len(self.peer.reports) - reports)
        self.heard += [(now, RtpPacket.parse(packet)) for packet in self.peer.received]
        self.peer.received.clear()
        self._flush()

    def _tick(self) -> None:
        if self.alive:
            self.peer.tick(self.loop.time())
            self._flush()
            self.loop.call_later(TICK, self._tick)

    def _flush(self) -> None:
        for datagram in self.peer.outgoing():
            self.send(datagram)


def chunk(ms: int, *, response: str = "resp_1", item: str = "item_1") -> AudioChunk:
    """Model audio of this length: silence, of which the encoder makes small packets."""
    return AudioChunk(response, item, 0, 0, bytes(FRAME_BYTES * ms // 20))
