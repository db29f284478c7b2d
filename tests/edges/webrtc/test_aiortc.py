"""The edge judged by a stock client over real sockets: aiortc, used as its documentation says."""

from __future__ import annotations

import asyncio
import fractions
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aioice.ice
import numpy as np
import pytest
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame
from numpy.typing import NDArray
from tests.edges.webrtc.helpers import RecordingSink
from tests.edges.webrtc.test_udp import needs_ipv6

from perhop.call.legs import EndReason
from perhop.config import WebRTCSettings
from perhop.edges.webrtc import WebRTCEdge, WebRTCLeg
from perhop.realtime.audio import SAMPLE_RATE, AudioChunk
from perhop.realtime.events import ConversationItemCreate, OutputAudioBufferStarted, ResponseCreate

TONE = 600


class Tone(MediaStreamTrack):
    """A microphone that hears a tone."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = 0
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> AudioFrame:
        due = self._began + self._samples / 48_000
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        time = (np.arange(960) + self._samples) / 48_000
        tone = (8000 * np.sin(2 * np.pi * TONE * time)).astype(np.int16)
        frame = AudioFrame.from_ndarray(tone.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._samples, fractions.Fraction(1, 48_000)
        self._samples += 960
        return frame


def purity(samples: NDArray[Any], rate: int) -> float:
    """The share of the energy that lies within 40 Hz of the tone."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    return float(spectrum[np.abs(frequency - TONE) < 40].sum() / max(spectrum.sum(), 1e-9))


class Client:
    """A page, as it were."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.sink = RecordingSink()
        self.messages: list[dict[str, Any]] = []
        self.heard: list[NDArray[Any]] = []
        self.rate = 0
        self.channel: RTCDataChannel | None = None
        self.leg: WebRTCLeg
        self._listening: set[asyncio.Task[None]] = set()
        self.connection.on("track", self._listen)

    def open_channel(self, **options: Any) -> RTCDataChannel:
        self.channel = self.connection.createDataChannel("oai-events", **options)
        self.channel.on("message", lambda text: self.messages.append(json.loads(text)))
        return self.channel

    async def call(self, edge: WebRTCEdge, *, dcid: int | None = None) -> Client:
        offer = await self.connection.createOffer()
        assert offer is not None
        await self.connection.setLocalDescription(offer)
        self.leg = edge.answer(self.connection.localDescription.sdp, dcid=dcid)
        self.leg.attach(self.sink)
        await self.connection.setRemoteDescription(RTCSessionDescription(self.leg.answer_sdp, "answer"))
        await until(lambda: self.connection.connectionState == "connected")
        if self.channel is not None:
            channel = self.channel
            await until(lambda: channel.readyState == "open" and self.sink.ready == 1)
        return self

    def _listen(self, track: MediaStreamTrack) -> None:
        async def run() -> None:
            try:
                while True:
                    frame = await track.recv()
                    assert isinstance(frame, AudioFrame)
                    self.rate = frame.sample_rate
                    self.heard.append(frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)])
            except MediaStreamError:
                return

        task = asyncio.get_running_loop().create_task(run())
        self._listening.add(task)
        task.add_done_callback(self._listening.discard)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what real sockets and another library take their time for."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - conditions of a library that offers no events for them
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc leaves loopback addresses out, and so would fail on a machine without a network."""

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return ["127.0.0.1"] * use_ipv4 + ["::1"] * use_ipv6

    monkeypatch.setattr(aioice.ice, "get_host_addresses", addresses)


@pytest.fixture
async def edge() -> AsyncIterator[WebRTCEdge]:
    opened = await WebRTCEdge.open(WebRTCSettings(host="127.0.0.1"))
    yield opened
    await opened.close()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.connection.close()


def tone_chunk(seconds: float) -> AudioChunk:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return AudioChunk("resp_1", "item_1", 0, 0, (8000 * np.sin(2 * np.pi * TONE * time)).astype("<i2").tobytes())


async def test_audio_flows_both_ways(edge: WebRTCEdge, client: Client) -> None:
    client.connection.addTrack(Tone())
    await client.call(edge)
    client.leg.play(tone_chunk(1.5))
    client.leg.end_audio("resp_1")
    await until(lambda: len(client.sink.audio) > 2 * SAMPLE_RATE and ("stopped", "resp_1") in client.sink.played)
    await until(lambda: len(client.heard) > 60)
    up = np.frombuffer(bytes(client.sink.audio), "<i2")[-SAMPLE_RATE // 2 :].astype(float)
    assert purity(up, SAMPLE_RATE) > 0.95
    down = np.concatenate(client.heard[10:60]).astype(float)
    assert np.abs(down).max() > 4000
    assert purity(down, client.rate) > 0.95
    assert client.leg.position("item_1").sent_ms == 1500


async def test_statistics_agree(edge: WebRTCEdge, client: Client) -> None:
    client.connection.addTrack(Tone())
    await client.call(edge)
    client.leg.play(tone_chunk(5))
    await until(lambda: client.leg.stats().rtt_ms is not None)
    await until(lambda: client.leg.stats().packets_received > 20)
    ours = client.leg.stats()
    assert ours.rtt_ms is not None
    assert ours.rtt_ms < 100
    assert (ours.packets_lost, ours.remote_packets_lost) == (0, 0)
    theirs: dict[str, Any] = {}
    async with asyncio.timeout(20):
        while not theirs.get("remote-inbound-rtp") or theirs["remote-inbound-rtp"].roundTripTime is None:
            await asyncio.sleep(0.05)
            theirs = {report.type: report for report in (await client.connection.getStats()).values()}
    assert theirs["remote-inbound-rtp"].packetsLost == 0
    assert theirs["remote-inbound-rtp"].roundTripTime < 0.1
    assert theirs["remote-outbound-rtp"].packetsSent > 10


async def test_events_flow_both_ways_and_bad_ones_are_answered(edge: WebRTCEdge, client: Client) -> None:
    channel = client.open_channel()
    client.connection.addTrack(Tone())
    await client.call(edge)
    channel.send('{"type":"response.create","event_id":"e1"}')
    channel.send(b'{"type":"response.create"}')
    channel.send('{"type":"nothing","event_id":"e2"}')
    await until(lambda: len(client.sink.events) == 2 and len(client.messages) == 1)
    assert all(isinstance(event, ResponseCreate) for event in client.sink.events)
    assert client.messages[0]["error"]["event_id"] == "e2"
    client.leg.send(OutputAudioBufferStarted(event_id="event_1", response_id="resp_1"))
    await until(lambda: len(client.messages) == 2)
    assert client.messages[1] == {
        "type": "output_audio_buffer.started",
        "event_id": "event_1",
        "response_id": "resp_1",
    }


@pytest.mark.any_frames("the client's own message goes back, because it is long")
async def test_a_message_of_200_kib_arrives_and_one_over_the_limit_is_refused(edge: WebRTCEdge, client: Client) -> None:
    channel = client.open_channel()
    await client.call(edge)
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * (200 << 10)}]}
    channel.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await until(lambda: len(client.sink.events) == 1)
    event = client.sink.events[0]
    assert isinstance(event, ConversationItemCreate)
    assert len(event.item.text()) == 200 << 10
    client.leg.send(event.model_copy())  # type: ignore[arg-type]
    await until(lambda: len(client.messages) == 1)
    with pytest.raises(ValueError, match="262144"):
        channel.send("x" * 262_145)  # a client that obeys the answer does not even try
    channel.transport._remote_max_message_size = 0
    channel.send(json.dumps({"event_id": "big", "type": "response.create", "x": "x" * 300_000}))
    channel.send('{"type":"response.create"}')
    await until(lambda: len(client.messages) == 2 and len(client.sink.events) == 2)
    assert client.messages[1]["error"]["code"] == "message_too_large"
    assert client.messages[1]["error"]["event_id"] == "big"


async def test_a_channel_agreed_on_by_dcid(edge: WebRTCEdge, client: Client) -> None:
    channel = client.open_channel(negotiated=True, id=3)
    await client.call(edge, dcid=3)
    channel.send('{"type":"response.create"}')
    await until(lambda: len(client.sink.events) == 1)
    client.leg.send(OutputAudioBufferStarted(event_id="event_1", response_id="resp_1"))
    await until(lambda: len(client.messages) == 1)


async def test_a_call_of_data_alone(edge: WebRTCEdge, client: Client) -> None:
    channel = client.open_channel()
    await client.call(edge)
    channel.send('{"type":"response.create"}')
    await until(lambda: len(client.sink.events) == 1)
    client.leg.play(tone_chunk(0.1))
    client.leg.end_audio("resp_1")
    await until(lambda: client.sink.played == [("started", "resp_1"), ("stopped", "resp_1")])


async def test_a_caller_that_only_listens(edge: WebRTCEdge, client: Client) -> None:
    client.connection.addTransceiver("audio", direction="recvonly")
    await client.call(edge)
    assert "a=sendonly" in client.leg.answer_sdp
    client.leg.play(tone_chunk(1))
    await until(lambda: len(client.heard) > 30)
    assert not client.sink.audio


@pytest.mark.parametrize("name", ["PCMU", "PCMA"])
async def test_g711_alone(edge: WebRTCEdge, client: Client, name: str) -> None:
    client.connection.addTrack(Tone())
    codecs = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.name == name]
    client.connection.getTransceivers()[0].setCodecPreferences(codecs)
    await client.call(edge)
    client.leg.play(tone_chunk(2))
    await until(lambda: len(client.sink.audio) > SAMPLE_RATE and len(client.heard) > 40)
    up = np.frombuffer(bytes(client.sink.audio), "<i2")[-SAMPLE_RATE // 3 :].astype(float)
    assert purity(up, SAMPLE_RATE) > 0.95
    down = np.concatenate(client.heard[10:40]).astype(float)
    assert purity(down, client.rate) > 0.9


@needs_ipv6
async def test_ipv6(client: Client) -> None:
    edge = await WebRTCEdge.open(WebRTCSettings(host="::1"))
    client.connection.addTrack(Tone())
    await client.call(edge)
    assert "c=IN IP6 ::1" in client.leg.answer_sdp
    await until(lambda: len(client.sink.audio) > SAMPLE_RATE // 2)
    await edge.close()


async def test_video_is_declined(edge: WebRTCEdge, client: Client) -> None:
    client.connection.addTrack(Tone())
    offer = await client.connection.createOffer()
    assert offer is not None
    await client.connection.setLocalDescription(offer)
    sdp = client.connection.localDescription.sdp
    leg = edge.answer(
        sdp + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\n"
    )
    assert "\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n" in leg.answer_sdp
    leg.close(EndReason.API_HANGUP)


async def test_a_caller_that_hangs_up(edge: WebRTCEdge, client: Client) -> None:
    client.open_channel()
    client.connection.addTrack(Tone())
    await client.call(edge)
    await client.connection.close()
    await until(lambda: client.sink.closed == [EndReason.CALLER_HANGUP])
    assert edge.legs == []


async def test_last_words_arrive_before_the_leg_is_gone(edge: WebRTCEdge, client: Client) -> None:
    channel = client.open_channel()
    client.connection.addTrack(Tone())
    await client.call(edge)
    for number in range(100):
        client.leg.send(OutputAudioBufferStarted(event_id=f"event_{number}", response_id="r" * 1000))
    client.leg.close(EndReason.SESSION_EXPIRED)
    client.leg.send(OutputAudioBufferStarted(event_id="too_late", response_id="r"))
    await until(lambda: channel.readyState == "closed")
    assert [message["event_id"] for message in client.messages] == [f"event_{number}" for number in range(100)]
    await until(lambda: edge.legs == [] and client.connection.connectionState == "closed")
    assert client.sink.closed == []


async def test_a_caller_that_reads_nothing_is_closed_and_others_go_on(edge: WebRTCEdge, client: Client) -> None:
    client.open_channel()
    await client.call(edge)
    other = Client()
    other.open_channel()
    await other.call(edge)
    assert client.connection.sctp is not None
    client.connection.sctp.transport._data_receiver = None  # it acknowledges nothing any more
    for number in range(3000):
        client.leg.send(OutputAudioBufferStarted(event_id=f"event_{number}", response_id="r" * 1000))
    await until(lambda: client.sink.closed == [EndReason.CALLER_LOST])
    other.leg.send(OutputAudioBufferStarted(event_id="event_1", response_id="resp_1"))
    await until(lambda: len(other.messages) == 1)
    assert other.sink.closed == []
    assert edge.legs == [other.leg]
    await other.connection.close()


async def test_a_flood_of_messages_is_throttled_then_closed(edge: WebRTCEdge, client: Client) -> None:
    channel = client.open_channel()
    await client.call(edge)
    for _ in range(4000):
        channel.send('{"type":"response.create"}')
    await until(lambda: client.sink.closed == [EndReason.CALLER_ABUSE])
    assert len(client.sink.events) < 1500
    assert client.messages[0]["error"]["code"] == "rate_limit_exceeded"


def talk_back(leg: WebRTCLeg) -> None:
    """The agent says something."""
    leg.play(AudioChunk("resp_1", "item_1", 0, 0, bytes(SAMPLE_RATE * 2)))


async def audio_goes_on(client: Client) -> None:
    """Whether the agent hears and is heard after this moment."""
    heard_by_agent, heard_by_caller = len(client.sink.audio), len(client.heard)
    talk_back(client.leg)
    await until(lambda: len(client.sink.audio) > heard_by_agent + SAMPLE_RATE // 2)
    await until(lambda: len(client.heard) > heard_by_caller + 20)
    assert client.sink.closed == []


async def test_a_data_channel_that_is_closed_leaves_the_audio_alone(edge: WebRTCEdge, client: Client) -> None:
    channel = client.open_channel()
    client.connection.addTrack(Tone())
    await client.call(edge)
    channel.close()
    await until(lambda: channel.readyState == "closed")
    client.leg.send(OutputAudioBufferStarted(event_id="event_1", response_id="resp_1"))
    await audio_goes_on(client)


async def test_a_data_channel_that_stalls_leaves_the_audio_alone(edge: WebRTCEdge, client: Client) -> None:
    client.open_channel()
    client.connection.addTrack(Tone())
    await client.call(edge)
    assert client.connection.sctp is not None
    client.connection.sctp.transport._data_receiver = None  # it acknowledges nothing any more
    for number in range(3000):
        client.leg.send(OutputAudioBufferStarted(event_id=f"event_{number}", response_id="r" * 1000))
    await audio_goes_on(client)
