"""RTCP: sender and receiver reports, source descriptions, goodbyes and feedback (RFC 3550 section 6, RFC 4585)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from perhop.errors import PerhopError
from perhop.media.ntp import seconds_from_short

__all__ = [
    "Feedback",
    "Goodbye",
    "OtherPacket",
    "PacketType",
    "ReceiverReport",
    "ReportBlock",
    "RtcpError",
    "RtcpPacket",
    "SenderReport",
    "SourceDescription",
    "pack_compound",
    "parse_compound",
    "round_trip",
]


class PacketType(IntEnum):
    """The types that have a class here."""

    SENDER_REPORT = 200
    RECEIVER_REPORT = 201
    SOURCE_DESCRIPTION = 202
    GOODBYE = 203
    TRANSPORT_FEEDBACK = 205
    PAYLOAD_FEEDBACK = 206


CNAME = 1
NACK = 1
PICTURE_LOSS = 1

_HEADER = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_MAX_COUNT = 31
_MAX_PACKETS = 64


class RtcpError(PerhopError):
    """Bytes that are not RTCP, or a packet that cannot be written."""


@dataclass(slots=True)
class ReportBlock:
    """What a receiver says about one stream (RFC 3550 section 6.4.1).

    Attributes:
        ssrc: the stream reported on.
        fraction_lost: lost share since the last report in 1/256.
        packets_lost: expected minus received since the start, -2^23 to 2^23-1; duplicates can make it negative.
        highest_sequence: extended: wraps counted in the upper 16 bits.
        jitter: of the arrival times, in ticks of the stream's clock.
        lsr: middle 32 bits of the last sender report's NTP timestamp; 0 when none came.
        dlsr: time since that report came, in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int = 0
    packets_lost: int = 0
    highest_sequence: int = 0
    jitter: int = 0
    lsr: int = 0
    dlsr: int = 0

    def __bytes__(self) -> bytes:
        lost = self.fraction_lost << 24 | self.packets_lost & 0xFF_FFFF
        return _BLOCK.pack(self.ssrc, lost, self.highest_sequence, self.jitter, self.lsr, self.dlsr)

    @classmethod
    def parse(cls, data: bytes, offset: int = 0) -> ReportBlock:
        """The block at ``offset``; the caller has checked that 24 bytes are there."""
        ssrc, lost, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(data, offset)
        total = lost & 0xFF_FFFF
        return cls(ssrc, lost >> 24, total - (1 << 24) if total & 0x80_0000 else total, highest, jitter, lsr, dlsr)


@dataclass(slots=True)
class SenderReport:
    """SR: what was sent, and when (RFC 3550 section 6.4.1).

    Attributes:
        ntp: 64-bit NTP timestamp of this report; any steady clock will do, receivers only return it.
        rtp_timestamp: the same moment on the stream's clock.
        octets: payload bytes sent, modulo 2^32.
    """

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int
    blocks: list[ReportBlock] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        body = _SENDER.pack(self.ssrc, self.ntp, self.rtp_timestamp, self.packets, self.octets)
        return _pack(PacketType.SENDER_REPORT, len(self.blocks), body + b"".join(map(bytes, self.blocks)))


@dataclass(slots=True)
class ReceiverReport:
    """RR: what was received, from an endpoint that sends nothing (RFC 3550 section 6.4.2)."""

    ssrc: int
    blocks: list[ReportBlock] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        body = struct.pack("!I", self.ssrc) + b"".join(map(bytes, self.blocks))
        return _pack(PacketType.RECEIVER_REPORT, len(self.blocks), body)


@dataclass(slots=True)
class SourceDescription:
    """SDES: the canonical name and other items of each source, as ``{ssrc: {item type: text}}``; type 1 is CNAME."""

    sources: dict[int, dict[int, bytes]] = field(default_factory=dict)

    @classmethod
    def cname(cls, ssrc: int, name: str) -> SourceDescription:
        """The one item every compound packet must carry."""
        return cls({ssrc: {CNAME: name.encode()}})

    def __bytes__(self) -> bytes:
        body = bytearray()
        for ssrc, items in self.sources.items():
            body += struct.pack("!I", ssrc)
            for kind, text in items.items():
                if not 0 < kind < 256 or len(text) > 255:
                    raise RtcpError(f"RTCP source description item {kind} of {len(text)} bytes cannot be written")
                body += bytes((kind, len(text))) + text
            body += bytes(4 - len(body) % 4)  # at least one zero ends the list
        return _pack(PacketType.SOURCE_DESCRIPTION, len(self.sources), bytes(body))


@dataclass(slots=True)
class Goodbye:
    """BYE: these sources stop."""

    sources: list[int]
    reason: bytes = b""

    def __bytes__(self) -> bytes:
        body = struct.pack(f"!{len(self.sources)}I", *self.sources)
        if self.reason:
            if len(self.reason) > 255:
                raise RtcpError("the reason of an RTCP BYE has at most 255 bytes")
            body += bytes((len(self.reason),)) + self.reason
            body += bytes(-len(body) % 4)
        return _pack(PacketType.GOODBYE, len(self.sources), body)


@dataclass(slots=True)
class Feedback:
    """RTPFB or PSFB (RFC 4585 section 6.1), its control information kept as bytes.

    Attributes:
        packet_type: 205 (transport: NACK, congestion control) or 206 (payload: PLI, FIR, REMB).
        format: the feedback message type within ``packet_type``.
    """

    packet_type: int
    format: int
    ssrc: int
    media_ssrc: int
    body: bytes = b""

    def __bytes__(self) -> bytes:
        return _pack(self.packet_type, self.format, struct.pack("!II", self.ssrc, self.media_ssrc) + self.body)

    @property
    def is_picture_loss(self) -> bool:
        """Whether this is a PLI."""
        return self.packet_type == PacketType.PAYLOAD_FEEDBACK and self.format == PICTURE_LOSS

    def lost_sequences(self) -> list[int]:
        """The sequence numbers a generic NACK asks for (RFC 4585 section 6.2.1); empty for other messages."""
        if self.packet_type != PacketType.TRANSPORT_FEEDBACK or self.format != NACK:
            return []
        lost: list[int] = []
        for offset in range(0, len(self.body) - 3, 4):
            first, mask = struct.unpack_from("!HH", self.body, offset)
            lost.append(first)
            lost += [(first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1]
        return lost


@dataclass(slots=True)
class OtherPacket:
    """A packet type we have no use for (APP, XR, …), kept whole."""

    packet_type: int
    count: int
    body: bytes = b""

    def __bytes__(self) -> bytes:
        return _pack(self.packet_type, self.count, self.body)


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye | Feedback | OtherPacket


def pack_compound(*packets: RtcpPacket) -> bytes:
    """The packets one after another. The first should be a report, and an SDES with the CNAME should follow.

    Raises:
        RtcpError: a field is out of range.
    """
    try:
        return b"".join(map(bytes, packets))
    except struct.error as error:
        raise RtcpError(f"RTCP field out of range: {error}") from None


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """The packets of a compound, or of a reduced-size packet (RFC 5506), in order.

    Raises:
        RtcpError: not version 2, or a length that does not fit. Unknown types are no error.
    """
    packets: list[RtcpPacket] = []
    offset = 0
    while offset < len(data):
        if len(packets) == _MAX_PACKETS:
            raise RtcpError(f"more than {_MAX_PACKETS} RTCP packets in one datagram")
        if offset + 4 > len(data):
            raise RtcpError(f"RTCP header at byte {offset} is cut off")
        first, packet_type, words = _HEADER.unpack_from(data, offset)
        if first >> 6 != 2:
            raise RtcpError(f"RTCP version at byte {offset} is {first >> 6}, not 2")
        end = offset + 4 + 4 * words
        if end > len(data):
            raise RtcpError(
                f"RTCP packet at byte {offset} claims {end - offset} of the {len(data) - offset} bytes left"
            )
        body = data[offset + 4 : end]
        if first & 0x20:
            body = _without_padding(body, offset)
        packets.append(_parse_body(packet_type, first & 0x1F, body))
        offset = end
    if not packets:
        raise RtcpError("an RTCP datagram has at least one packet")
    return packets


def round_trip(block: ReportBlock, now_middle: int) -> float | None:
    """Seconds of round trip by a report on our own stream (RFC 3550 section 6.4.1, figure 2); None before the first.

    Args:
        now_middle: when the block came: middle 32 bits of NTP time, on the clock our sender reports use.
    """
    if not block.lsr:
        return None
    delay = (now_middle - block.lsr - block.dlsr) & 0xFFFF_FFFF
    # A small negative delay is rounding on the other side; a huge one is a report that never was ours.
    return 0.0 if delay >= 0x8000_0000 else seconds_from_short(delay)


def _pack(packet_type: int, count: int, body: bytes) -> bytes:
    if not 0 <= count <= _MAX_COUNT:
        raise RtcpError(f"an RTCP packet carries at most {_MAX_COUNT} parts, not {count}")
    if len(body) % 4 or len(body) > 0xFFFF * 4:
        raise RtcpError(f"an RTCP body of {len(body)} bytes is not a number of 32-bit words")
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body


def _without_padding(body: bytes, offset: int) -> bytes:
    padding = body[-1] if body else 0
    if padding == 0 or padding > len(body):
        raise RtcpError(f"RTCP padding at byte {offset} does not fit its packet")
    return body[:-padding]


def _parse_body(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    match packet_type:
        case PacketType.SENDER_REPORT:
            if len(body) < _SENDER.size + count * _BLOCK.size:
                raise RtcpError(f"RTCP sender report with {count} blocks has only {len(body)} bytes")
            ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(body)
            return SenderReport(ssrc, ntp, timestamp, packets, octets, _parse_blocks(body, _SENDER.size, count))
        case PacketType.RECEIVER_REPORT:
            if len(body) < 4 + count * _BLOCK.size:
                raise RtcpError(f"RTCP receiver report with {count} blocks has only {len(body)} bytes")
            return ReceiverReport(int.from_bytes(body[:4]), _parse_blocks(body, 4, count))
        case PacketType.SOURCE_DESCRIPTION:
            return SourceDescription(_parse_sources(body, count))
        case PacketType.GOODBYE:
            return _parse_goodbye(body, count)
        case PacketType.TRANSPORT_FEEDBACK | PacketType.PAYLOAD_FEEDBACK:
            if len(body) < 8:
                raise RtcpError(f"RTCP feedback of {len(body)} bytes lacks its SSRCs")
            ssrc, media_ssrc = struct.unpack_from("!II", body)
            return Feedback(packet_type, count, ssrc, media_ssrc, body[8:])
        case _:
            return OtherPacket(packet_type, count, body)


def _parse_blocks(body: bytes, offset: int, count: int) -> list[ReportBlock]:
    return [ReportBlock.parse(body, offset + index * _BLOCK.size) for index in range(count)]


def _parse_sources(body: bytes, count: int) -> dict[int, dict[int, bytes]]:
    sources: dict[int, dict[int, bytes]] = {}
    position = 0
    for _ in range(count):
        if position + 4 > len(body):
            raise RtcpError("RTCP source description ends before its last source")
        items = sources.setdefault(int.from_bytes(body[position : position + 4]), {})
        position += 4
        while True:
            if position >= len(body):
                raise RtcpError("RTCP source description lacks the zero that ends it")
            kind = body[position]
            if kind == 0:
                position += 4 - position % 4
                break
            if position + 2 > len(body) or position + 2 + body[position + 1] > len(body):
                raise RtcpError(f"RTCP source description item {kind} runs past the end")
            items[kind] = body[position + 2 : position + 2 + body[position + 1]]
            position += 2 + body[position + 1]
    return sources


def _parse_goodbye(body: bytes, count: int) -> Goodbye:
    if len(body) < 4 * count:
        raise RtcpError(f"RTCP BYE of {count} sources has only {len(body)} bytes")
    rest = body[4 * count :]
    if rest and 1 + rest[0] > len(rest):
        raise RtcpError("the reason of an RTCP BYE runs past the end")
    return Goodbye(list(struct.unpack_from(f"!{count}I", body)), rest[1 : 1 + rest[0]] if rest else b"")
