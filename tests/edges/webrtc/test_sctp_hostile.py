"""What a hostile peer can make aiortc's SCTP store and compute through the adapter; that no honest one is refused."""

from __future__ import annotations

import os
import random
import struct
import sys

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import DataChunk, ForwardTsnChunk, SackChunk
from google_crc32c import value as crc32c
from tests.edges.webrtc.test_sctp import PORT, Client
from tests.virtual_time import run_virtual

from perhop.edges.webrtc.sctp import MAX_DATA_CHUNKS, MAX_FRAGMENTS, MAX_OUT_OF_ORDER
from perhop.media.answer import MAX_MESSAGE_SIZE

pytestmark = pytest.mark.any_frames("hostile")

WHOLE = 3


def packet(client: Client, *chunks: bytes) -> bytes:
    header = struct.pack("!HHL", PORT, PORT, client.transport._remote_verification_tag)
    body = b"".join(chunks)
    return header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body


def data(tsn: int, stream: int | None, flags: int, payload: bytes = b"x") -> bytes:
    assert stream is not None
    chunk = DataChunk(flags)
    chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = tsn % 2**32, stream, 0, 51, payload
    return bytes(chunk)


def sack(cumulative_tsn: int, *gaps: tuple[int, int]) -> bytes:
    chunk = SackChunk()
    chunk.cumulative_tsn, chunk.advertised_rwnd, chunk.gaps = cumulative_tsn % 2**32, 1 << 20, list(gaps)
    return bytes(chunk)


def skip(tsn: int, *streams: int) -> bytes:
    chunk = ForwardTsnChunk()
    chunk.cumulative_tsn, chunk.streams = tsn % 2**32, [(stream, 1) for stream in streams]
    return bytes(chunk)


def calls_of(client: Client, raw: bytes) -> int:
    """How many functions, Python's own included, the server calls for a packet."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        client.to_server(raw)
    finally:
        sys.setprofile(None)
    return calls


def stored(client: Client) -> int:
    return sum(len(stream.reassembly) for stream in client.server._transport._inbound_streams.values())


# -- acknowledgements -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "gaps"),
    [(0, [(1, 1 << 14)] * 256), (1 << 20, [(1, 1 << 14)]), (0, [(1, 5)] * 250), (0, [(2, 3), (2, 3)]), (0, [(3, 2)])],
    ids=["never sent", "of the future", "again and again", "twice", "backwards"],
)
def test_gaps_that_no_honest_peer_sends_cost_little(ahead: int, gaps: list[tuple[int, int]]) -> None:
    async def main() -> None:
        client = await Client().connected()
        await client.open()
        seen = client.transport._last_received_tsn
        assert seen is not None
        client.owner.wire = lambda _packet: None
        for number in range(5):
            client.owner.channels[0].send(f"{number}" * 1000)
        await client.until(lambda: len(client.server._transport._sent_queue) > 2)
        raw = packet(client, *[sack(seen + ahead, *gaps)] * (40 if len(gaps) < 10 else 1))
        assert calls_of(client, raw) < 5000
        assert not any(chunk._acked for chunk in client.server._transport._sent_queue)
        assert client.error is None

    run_virtual(main())


@pytest.mark.parametrize("wraps", [False, True])
def test_gaps_in_what_was_sent_are_taken(wraps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wraps:  # what everything starts to count from
        monkeypatch.setattr(os, "urandom", lambda count: b"\xff" * (count - 1) + b"\xfe")

    async def main() -> None:
        client = await Client().connected()
        await client.open()
        seen = client.transport._last_received_tsn
        assert seen is not None
        client.owner.wire = lambda _packet: None
        for number in range(3):
            client.owner.channels[0].send(f"{number}" * 1000)
        sent = client.server._transport._sent_queue
        await client.until(lambda: len(sent) == 3)
        assert [(chunk.tsn - seen) % 2**32 for chunk in sent] == [1, 2, 3]
        assert (sent[-1].tsn < 10) == wraps
        client.to_server(packet(client, sack(seen, (2, 2), (3, 3))))
        assert [chunk._acked for chunk in sent] == [False, True, True]
        client.to_server(packet(client, sack(seen - 1, (2, 4))))  # one from before that was overtaken
        assert len(sent) == 3
        client.to_server(packet(client, sack(seen + 3)))
        assert not sent
        assert client.error is None

    run_virtual(main())


# -- data that is skipped ---------------------------------------------------------------------------------------------


def test_streams_that_are_skipped_are_not_opened_without_end() -> None:
    async def main() -> None:
        client = await Client().connected()
        await client.open()
        tsn = client.transport._local_tsn
        for block in range(20):
            client.to_server(packet(client, skip(tsn + block, *range(block * 15, block * 15 + 15))))
        assert len(client.server._transport._inbound_streams) <= 16
        assert "skipped" in str(client.error)

    run_virtual(main())


def test_a_stream_is_not_skipped_again_and_again() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        assert channel.id is not None
        assert calls_of(client, packet(client, skip(client.transport._local_tsn, *[channel.id] * 480))) < 5000
        assert client.error is not None

    run_virtual(main())


def test_a_channel_that_may_lose_messages_goes_on_after_losses() -> None:
    async def main() -> None:
        client = await Client().connected()
        parameters = RTCDataChannelParameters(label="oai-events", maxRetransmits=0)
        channel = RTCDataChannel(client.transport, parameters)
        await client.until(lambda: channel.readyState == "open")
        dice = random.Random(5)
        client.lost = lambda raw: len(raw) > 1000 and dice.random() < 0.2
        for number in range(50):
            channel.send(f"{number:02}" * 5000)
        channel.send("last")
        await client.until(lambda: b"last" in client.owner.messages)
        assert 1 < len(client.owner.messages) < 51
        assert client.error is None

    run_virtual(main())


# -- fragments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, 2, 4, 6], ids=["middle", "first", "middle-unordered", "first-unordered"])
def test_fragments_in_order_that_never_end_are_not_hoarded(flags: int) -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        tsn = client.transport._local_tsn
        for number in range(0, 6000, 30):
            client.to_server(packet(client, *(data(tsn + number + each, channel.id, flags) for each in range(30))))
        assert stored(client) <= MAX_FRAGMENTS
        assert "never end" in str(client.error)

    run_virtual(main())


def test_a_packet_of_tiny_chunks_is_read_in_part_and_behind_a_hole_not_for_ever() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        tsn = client.transport._local_tsn
        for number in range(0, 3000, 30):  # every second one is missing
            client.to_server(
                packet(client, *(data(tsn + 100 + 2 * (number + i), channel.id, WHOLE) for i in range(30)))
            )
        assert len(client.server._transport._sack_misordered) == MAX_OUT_OF_ORDER
        before = len(client.owner.messages)
        client.to_server(packet(client, *(data(tsn + number, channel.id, WHOLE) for number in range(90))))
        assert len(client.owner.messages) == before + MAX_DATA_CHUNKS
        assert client.error is None

    run_virtual(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_the_largest_messages_of_many_channels_arrive_through_losses(ordered: bool) -> None:
    async def main() -> None:
        client = await Client().connected()
        parameters = [RTCDataChannelParameters(label=f"{number}", ordered=ordered) for number in range(6)]
        channels = [RTCDataChannel(client.transport, each) for each in parameters]
        await client.until(lambda: all(channel.readyState == "open" for channel in channels))
        dice = random.Random(3)
        client.lost = lambda _packet: dice.random() < 0.03
        sent = {(f"{number}" * MAX_MESSAGE_SIZE).encode() for number in range(6)}
        for number, channel in enumerate(channels):
            channel.send(f"{number}" * MAX_MESSAGE_SIZE)
            channel.send(f"and {number}")
        await client.until(lambda: len(client.owner.messages) == 12 or client.error is not None)
        assert client.error is None
        assert sent < set(client.owner.messages)

    run_virtual(main())


def test_a_largest_message_arrives_backwards() -> None:
    async def main() -> None:
        client = await Client().connected()
        channel = await client.open()
        tsn, size = client.transport._local_tsn, 1144
        pieces = [bytes([number]) * size for number in range(MAX_MESSAGE_SIZE // size)]
        for number in reversed(range(len(pieces))):
            flags = 2 if number == 0 else 1 if number == len(pieces) - 1 else 0
            client.to_server(packet(client, data(tsn + number, channel.id, flags, pieces[number])))
        assert client.owner.messages == [b"".join(pieces)]
        assert (stored(client), client.error) == (0, None)

    run_virtual(main())
