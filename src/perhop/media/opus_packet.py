"""What an Opus packet says about itself before it is decoded (RFC 6716 sections 3 and 4.2.2)."""

from __future__ import annotations

from perhop.media.libopus import OpusError

__all__ = ["has_fec", "is_dtx", "packet_duration_ms", "packet_samples"]

MAX_SAMPLES = 5760
"""Samples at 48 kHz a packet may hold: 120 ms."""

_CELT = (120, 240, 480, 960)
_FRAME_SAMPLES = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + _CELT * 4
"""Samples at 48 kHz of one frame, by the configuration number in the packet's first byte."""

_SAMPLES_OF_TOC = tuple(
    _FRAME_SAMPLES[toc >> 3] * (1, 2, 2, 0)[toc & 3]  # 0: the frame count stands in the second byte
    for toc in range(256)
)


def packet_samples(packet: bytes) -> int:
    """Duration of a packet in samples at 48 kHz, which is also RTP's clock for Opus (RFC 7587 section 4.1).

    Raises:
        OpusError: empty, or it claims no frame or more than 120 ms.
    """
    if not packet:
        raise OpusError("an Opus packet has at least one byte")
    samples = _SAMPLES_OF_TOC[packet[0]]
    if samples:
        return samples
    if len(packet) < 2:
        raise OpusError("an Opus packet of several frames lacks its frame count")
    samples = _FRAME_SAMPLES[packet[0] >> 3] * (packet[1] & 0x3F)
    if not 0 < samples <= MAX_SAMPLES:
        raise OpusError(f"an Opus packet claims {samples / 48:g} ms; 120 ms is the most")
    return samples


def packet_duration_ms(packet: bytes) -> float:
    """Duration of a packet in ms: 2.5-120. Raises OpusError."""
    return packet_samples(packet) / 48


def is_dtx(payload: bytes) -> bool:
    """Whether this packet says "nothing is being said": the encoder sends at most 2 bytes, then pauses."""
    return len(payload) <= 2


def has_fec(packet: bytes) -> bool:
    """Whether the packet carries a second, coarser copy of the frame before it (SILK's LBRR, RFC 6716 section 4.2.5).

    False for packets that cannot be understood.
    """
    if len(packet) < 2 or packet[0] >= 0x80:  # CELT-only packets carry no SILK layer
        return False
    start = _first_frame(packet)
    if start is None or start >= len(packet):
        return False
    # SILK begins with one voice-activity bit per 20 ms and one bit that announces LBRR, for mid and then for side.
    activity_bits = max(1, _FRAME_SAMPLES[packet[0] >> 3] // 960)
    flags = packet[start]
    if flags >> (7 - activity_bits) & 1:
        return True
    return bool(packet[0] & 0x04 and flags >> (6 - 2 * activity_bits) & 1)


def _first_frame(packet: bytes) -> int | None:
    """Offset of the first frame's first byte, or None when that frame is empty or the lengths make no sense."""
    code = packet[0] & 3
    if code < 2:
        return 1
    position = 1
    frames = 2
    variable = True
    if code == 3:
        frames = packet[1] & 0x3F
        variable = bool(packet[1] & 0x80)
        position = 2
        if packet[1] & 0x40:
            while position < len(packet) and packet[position] == 255:
                position += 1
            position += 1
    if not variable:
        return position
    for index in range(frames - 1):
        if position >= len(packet):
            return None
        if index == 0 and packet[position] == 0:
            return None
        position += 1 if packet[position] < 252 else 2
    return position
