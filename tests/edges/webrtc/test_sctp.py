"""The adapter around aiortc's SCTP: what it promises, what it relies on, and what a hostile peer can do to it."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities, RTCSctpTransport
from aiortc.rtcsctptransport import DataChunk, SackChunk, serialize_packet
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.virtual_time import run_virtual

from perhop.edges.webrtc.sctp import Channel, SctpAssociation, SctpError
from perhop.media.answer import MAX_MESSAGE_SIZE

pytestmark = pytest.mark.any_frames("a channel carries whatever text it is given")

PORT = 5000


class Owner:
    """Remembers; packets to the peer go where :attr:`wire` says."""

    def __init__(self) -> None:
        self.wire: Callable[[bytes], None] = lambda _packet: None
        self.channels: list[Channel] = []
        self.messages: list[bytes] = []
        self.closed: list[str] = []

    def send_sctp(self, packet: bytes) -> None:
        self.wire(packet)

    def on_channel(self, channel: Channel) -> None:
        self.channels.append(channel)

    def on_message(self, channel: Channel, message: bytes) -> None:
        self.messages.append(message)

    def on_channel_closed(self, channel: Channel) -> None:
        self.closed.append(channel.label)


class Client:
    """A stock aiortc transport as the peer, in memory.

    Attributes:
        lost: decides per packet to us whether it is lost.
    """

    state = "connected"
    _role = "client"

    def __init__(self, *, max_message_size: int = MAX_MESSAGE_SIZE) -> None:
        self.owner = Owner()
        self.server = SctpAssociation(self.owner, is_client=False, port=PORT, max_message_size=max_message_size)
        self.transport = RTCSctpTransport(self, PORT)  # type: ignore[arg-type]
        self.lost: Callable[[bytes], bool] = lambda _packet: False
        self.error: SctpError | None = None
        self._loop = asyncio.get_running_loop()
        self.owner.wire = lambda packet: self._loop.call_soon(self._deliver, packet) and None

    async def connected(self, *, limit: int = MAX_MESSAGE_SIZE) -> Client:
        self.server.start()
        await self.transport.start(RTCSctpCapabilities(maxMessageSize=limit), PORT)
        await self.until(lambda: self.transport.state == "connected")
        return self

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not condition():  # noqa: ASYNC110 - on virtual time
                await asyncio.sleep(0.001)

    async def open(self, label: str = "oai-events") -> RTCDataChannel:
        channel = RTCDataChannel(self.transport, RTCDataChannelParameters(label=label))
        await self.until(lambda: channel.readyState == "open")
        return channel

    def to_server(self, packet: bytes) -> None:
        if self.error is None:
            try:
                self.server.receive(packet)
            except SctpError as error:
                self.error = error

    def chunk(self, stream: int, data: bytes, *, flags: int, ahead: int = 0) -> bytes:
        """A hand-made data packet that continues what the real transport has sent."""
        chunk = DataChunk(flags)
        chunk.tsn = (self.transport._local_tsn + ahead) % 2**32
        chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = stream, 0, 51, data
        return serialize_packet(PORT, PORT, self.transport._remote_verification_tag, chunk)

    # What aiortc asks of its DTLS transport.

    def _register_data_receiver(self, receiver: object) -> None: ...
    def _unregister_data_receiver(self, receiver: object) -> None: ...

    async def _send_data(self, data: bytes) -> None:
        if not self.lost(data):
            self._loop.call_soon(self.to_server, data)

    def _deliver(self, packet: bytes) -> None:
        asyncio.ensure_future(self.transport._handle_data(packet))  # noqa: RUF006


def test_a_channel_opens_and_carries_text_both_ways() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        heard: list[str] = []
        channel.on("message", heard.append)
        (ours,) = client.owner.channels
        assert (ours.label, ours.is_open) == ("oai-events", True)
        channel.send('{"type":"response.create"}')
        channel.send("grüß dich".encode())
        channel.send("")
        assert ours.send("ein Gruß zurück")
        await client.until(lambda: len(client.owner.messages) == 3 and bool(heard))
        assert client.owner.messages == [b'{"type":"response.create"}', "grüß dich".encode(), b""]
        assert heard == ["ein Gruß zurück"]
        await client.until(lambda: ours.buffered == 0)

    run_virtual(main())


def test_a_channel_agreed_on_beforehand_needs_no_opening() -> None:
    async def main() -> None:
        client = Client()
        client.server.agree(7, "oai-events")
        channel = RTCDataChannel(client.transport, RTCDataChannelParameters(label="oai-events", negotiated=True, id=7))
        await client.connected()
        await client.until(lambda: bool(client.owner.channels))
        channel.send("hello")
        await client.until(lambda: client.owner.messages == [b"hello"])

    run_virtual(main())


@pytest.mark.parametrize("size", [1, 1200, 200 << 10, MAX_MESSAGE_SIZE])
def test_messages_up_to_the_limit_arrive_whole(size: int) -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        heard: list[str] = []
        channel.on("message", heard.append)
        text = "".join(random.Random(size).choices("abcdef", k=size))
        channel.send(text)
        client.owner.channels[0].send(text)
        await client.until(lambda: bool(client.owner.messages) and bool(heard))
        assert client.owner.messages == [text.encode()]
        assert heard == [text]

    run_virtual(main())


def test_messages_arrive_whole_through_a_lossy_network() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        dice = random.Random(11)
        client.lost = lambda _packet: dice.random() < 0.1
        texts = ["".join(dice.choices("abcdef", k=20_000)) for _ in range(10)]
        for text in texts:
            channel.send(text)
        await client.until(lambda: len(client.owner.messages) == 10)
        assert client.owner.messages == [text.encode() for text in texts]

    run_virtual(main())


@pytest.mark.parametrize("size", [MAX_MESSAGE_SIZE + 1, 400_000, 3_000_000])
def test_a_message_over_the_limit_arrives_cut_and_the_next_one_whole(size: int) -> None:
    async def main() -> None:
        client = await Client().connected(limit=0)
        channel = await client.open()
        channel.send("x" * size)
        channel.send("still there")
        await client.until(lambda: len(client.owner.messages) == 2)
        cut, after = client.owner.messages
        assert MAX_MESSAGE_SIZE < len(cut) < MAX_MESSAGE_SIZE + 100_000
        assert after == b"still there"
        assert client.error is None

    run_virtual(main())


def test_an_event_too_long_for_the_peer_is_not_sent() -> None:
    async def main() -> None:
        client = await Client(max_message_size=1000).connected()
        await client.open()
        assert not client.owner.channels[0].send("x" * 1001)
        assert client.owner.channels[0].send("x" * 1000)

    run_virtual(main())


def test_text_that_is_not_utf_8_arrives_as_it_is() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        assert channel.id is not None
        client.to_server(client.chunk(channel.id, b"\xff\xfe", flags=3))
        assert client.owner.messages == [b"\xff\xfe"]
        assert client.server.broken_packets == 0

    run_virtual(main())


def test_closing_a_channel_waits_for_what_was_sent() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        heard: list[str] = []
        channel.on("message", heard.append)
        (ours,) = client.owner.channels
        for number in range(50):
            ours.send(f"{number:05}" * 1000)
        ours.close()
        await client.until(lambda: client.owner.closed == ["oai-events"])
        assert len(heard) == 50
        assert channel.readyState == "closed"
        assert not ours.send("too late")

    run_virtual(main())


def test_closing_the_association_closes_its_channels() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        client.server.close()
        client.server.close()
        assert client.owner.closed == ["oai-events"]
        await client.until(lambda: channel.readyState == "closed")
        client.to_server(b"whatever")

    run_virtual(main())


def test_a_peer_that_opens_channels_without_end_is_given_up() -> None:
    async def main() -> None:
        client = await Client().connected()
        for _ in range(40):
            RTCDataChannel(client.transport, RTCDataChannelParameters(label="more"))
        await client.until(lambda: client.error is not None)
        assert "data channels" in str(client.error) or "streams" in str(client.error)

    run_virtual(main())


def test_fragments_without_end_or_order_are_not_hoarded() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        assert channel.id is not None
        for number in range(5000):  # a hole in front: none of them can ever be delivered
            client.to_server(client.chunk(channel.id, bytes(1000), flags=0, ahead=number + 1))
        stored = sum(len(s.reassembly) for s in client.server._transport._inbound_streams.values())
        assert stored <= 2048
        assert client.error is None

    run_virtual(main())


def test_acknowledgements_of_what_was_never_sent_cost_nothing() -> None:
    async def main() -> None:
        client = await Client().connected()
        await client.open()
        sack = SackChunk()
        sack.cumulative_tsn = client.transport._last_received_tsn or 0
        sack.gaps = [(1, 65535)] * 200
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        packet = serialize_packet(PORT, PORT, client.transport._remote_verification_tag, sack)
        import sys

        sys.setprofile(count)
        client.to_server(packet)
        sys.setprofile(None)
        assert calls < 5000

    run_virtual(main())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=64)), max_size=8))
def test_chunks_of_garbage_never_raise_anything_else(chunks: list[tuple[int, int, bytes]]) -> None:
    async def main() -> None:
        client = await Client().connected()
        await client.open()
        body = b"".join(
            struct.pack("!BBH", kind, flags, len(data) + 4) + data + bytes(-len(data) % 4)
            for kind, flags, data in chunks
        )
        header = struct.pack("!HHL", PORT, PORT, client.transport._remote_verification_tag)
        from google_crc32c import value as crc32c

        client.to_server(header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body)
        client.to_server(body)

    run_virtual(main())


def test_a_peer_that_keeps_sending_garbage_is_given_up() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        header = struct.pack("!HHL", PORT, PORT, client.transport._remote_verification_tag)
        from google_crc32c import value as crc32c

        broken = struct.pack("!BBH", 0, 3, 5) + bytes(4)  # a data chunk of one byte
        packet = header + struct.pack("<L", crc32c(header + bytes(4) + broken)) + broken
        for _ in range(100):
            client.to_server(packet)
        assert client.error is not None
        assert channel.readyState == "open"

    run_virtual(main())


def test_the_names_of_aiortc_that_the_adapter_relies_on_are_there() -> None:
    """When an upgrade of aiortc fails here, ``sctp.py`` is the only file to look at."""

    async def main() -> None:
        client = await Client().connected()
        transport = client.server._transport
        assert transport._last_received_tsn is not None
        assert transport._sack_misordered == set()
        assert transport._advertised_rwnd == 1 << 20
        for name in ("_handle_data", "_receive_chunk", "_receive", "_data_channel_receive"):
            assert asyncio.iscoroutinefunction(getattr(RTCSctpTransport, name))
        await client.open()
        stream = next(iter(transport._inbound_streams.values()))
        assert stream.reassembly == []

    run_virtual(main())
