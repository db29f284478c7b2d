"""Media sections of an SDP read: strict about what the edge relies on, and ignoring the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from perhop.media.ice import IceCredentials
from perhop.media.sdp.lines import Attribute, Found, excerpt, read_integer
from perhop.media.sdp.values import CODECS, DIGEST_BYTES, Codec, Direction, Fingerprint, SdpError, Section, Setup

__all__ = ["read_section"]

DEFAULT_REMOTE_MESSAGE_SIZE = 64 << 10

STATIC_FORMATS = {"0": ("PCMU", 8000, 1), "8": ("PCMA", 8000, 1)}

_TOKEN = re.compile(r"[!-~]{1,256}")
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_ICE = {"ice-ufrag": re.compile(r"[!-~]{4,256}"), "ice-pwd": re.compile(r"[!-~]{22,256}")}


def read_section(block: Sequence[Attribute], session: Sequence[Attribute]) -> Section:
    """Reads one section.

    Args:
        block: its lines, the ``m=`` line first.
        session: the lines that hold for every section which does not say otherwise.

    Raises:
        SdpError: a line that matters here is wrong.
    """
    line, _, value = block[0]
    words = value.split()
    if len(words) < 4:
        raise SdpError("an m= line has a kind, a port, a protocol and at least one format", line=line)
    kind, port, protocol = words[:3]
    formats = tuple(words[3:])
    if not all(map(_TOKEN.fullmatch, words)):
        raise SdpError("the m= line holds something that is not printable ASCII", line=line)
    number, _, _count = port.partition("/")
    at_port = read_integer(number, 0, 65535, "the port", line)
    own = {name: (at, content) for at, name, content in reversed(block[1:])}
    common = {name: (at, content) for at, name, content in reversed(session)}
    mid = own.get("mid", (0, None))
    if mid[1] is not None and not _TOKEN.fullmatch(mid[1]):
        raise SdpError("a=mid is a token of printable ASCII", line=mid[0])
    prints = [(at, content) for at, name, content in block if name == "fingerprint"]
    prints = prints or [(at, content) for at, name, content in session if name == "fingerprint"]
    return Section(
        line=line,
        kind=kind,
        protocol=protocol,
        formats=formats,
        rejected=at_port == 0 and "bundle-only" not in own,
        mid=mid[1],
        direction=next(
            (d for d in Direction if d in own), next((d for d in Direction if d in common), Direction.SENDRECV)
        ),
        rtcp_mux="rtcp-mux" in own,
        codecs=tuple(_codecs(block, formats)) if kind == "audio" else (),
        sctp_port=_sctp_port(own, formats) if kind == "application" else 0,
        max_message_size=_max_message_size(own),
        ice=_credentials(own, common),
        fingerprints=tuple(f for f in (_fingerprint(at, content) for at, content in prints) if f is not None),
        setup=_setup(own.get("setup") or common.get("setup")),
    )


def _codecs(block: Sequence[Attribute], formats: Sequence[str]) -> Iterator[Codec]:
    """The usable formats of an audio section in our order of preference."""
    maps: dict[str, tuple[str, int, int]] = dict(STATIC_FORMATS)
    parameters: dict[str, str] = {}
    for line, name, value in block[1:]:
        if name == "rtpmap":
            number, _, encoding = value.partition(" ")
            parts = encoding.strip().split("/")
            if len(parts) not in (2, 3):
                raise SdpError("a=rtpmap is a payload type, then name/rate or name/rate/channels", line=line)
            rate = read_integer(parts[1], 1, 10**6, "the clock rate", line)
            maps[number] = (
                parts[0].upper(),
                rate,
                read_integer(parts[2], 1, 255, "channels", line) if parts[2:] else 1,
            )
        elif name == "fmtp":
            number, _, content = value.partition(" ")
            parameters[number] = content
    found: list[Codec] = []
    for text in formats:
        encoding, rate, channels = maps.get(text, ("", 0, 0))
        codec = CODECS.get((encoding, rate))
        if codec is None or channels > 2:
            continue
        payload_type = read_integer(text, 0, 127, "a payload type", block[0][0])
        found.append(Codec(payload_type, codec, rate, channels, _fmtp(parameters.get(text, ""))))
    order = list(CODECS.values())
    yield from sorted(found, key=lambda c: order.index(c.name))


def _fmtp(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _sctp_port(own: Found, formats: Sequence[str]) -> int:
    if "sctpmap" in own:  # the form before RFC 8841: a=sctpmap:5000 webrtc-datachannel 1024
        line, value = own["sctpmap"]
        return read_integer(value.split(" ", 1)[0], 1, 65535, "the SCTP port", line)
    if "sctp-port" in own:
        line, value = own["sctp-port"]
        return read_integer(value, 1, 65535, "a=sctp-port", line)
    return int(formats[0]) if formats[0].isdecimal() and 0 < int(formats[0]) < 65536 else 5000


def _max_message_size(own: Found) -> int:
    line, value = own.get("max-message-size", (0, ""))
    return read_integer(value, 0, 2**63, "a=max-message-size", line) if line else DEFAULT_REMOTE_MESSAGE_SIZE


def _credentials(own: Found, common: Found) -> IceCredentials | None:
    values: list[str] = []
    for name, pattern in _ICE.items():
        line, value = own.get(name) or common.get(name) or (0, "")
        if not line:
            return None
        if not pattern.fullmatch(value):
            raise SdpError(f"a={name} has the wrong length or characters (RFC 8839 section 5.4)", line=line)
        values.append(value)
    return IceCredentials(*values)


def _fingerprint(line: int, value: str) -> Fingerprint | None:
    """None for a hash function that is unknown or too weak."""
    algorithm, _, digits = value.strip().partition(" ")
    length = DIGEST_BYTES.get(algorithm.lower())
    if length is None:
        return None
    if not _HEX_PAIRS.fullmatch(digits.strip()) or len(digits.strip()) != 3 * length - 1:
        raise SdpError(f"a {algorithm.lower()} fingerprint is {length} hex pairs with colons between", line=line)
    return Fingerprint(algorithm.lower(), bytes.fromhex(digits.strip().replace(":", "")))


def _setup(found: tuple[int, str] | None) -> Setup:
    line, value = found or (0, "actpass")
    match value:
        case "actpass" | "active" | "passive":
            return value
    raise SdpError(f"a=setup is actpass, active or passive, not {excerpt(value)}", line=line)
