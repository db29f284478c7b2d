"""WebRTC offers read, and answers written (RFC 8866 syntax; RFC 9429 use): one audio and one data section.

The reader is strict about what the edge relies on and ignores the rest. Every complaint names the line it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from perhop.errors import PerhopError
from perhop.media.ice import IceCredentials

__all__ = ["MAX_SDP", "Codec", "CodecName", "Direction", "Fingerprint", "Offer", "SdpError", "Section", "Setup"]

MAX_SDP = 64 << 10
"""Characters; a browser's offer has 2,000 to 8,000."""

MAX_SECTIONS = 32
DEFAULT_REMOTE_MESSAGE_SIZE = 64 << 10
DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Hash functions we verify a certificate by, weakest first."""

CodecName = Literal["opus", "pcmu", "pcma"]

STATIC_FORMATS = {"0": ("PCMU", 8000, 1), "8": ("PCMA", 8000, 1)}
CODECS: dict[tuple[str, int], CodecName] = {("OPUS", 48000): "opus", ("PCMU", 8000): "pcmu", ("PCMA", 8000): "pcma"}
"""What the edge can use, by encoding name and clock rate, in its order of preference."""

_TOKEN = re.compile(r"[!-~]{1,256}")
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_LINE = re.compile(r"([a-z])=(.*)", re.DOTALL)
_ICE = {"ice-ufrag": re.compile(r"[!-~]{4,256}"), "ice-pwd": re.compile(r"[!-~]{22,256}")}


class SdpError(PerhopError):
    """The offer cannot be read or answered. The message names the line, what is wrong with it, and what would do.

    Attributes:
        line: 1-based number of the line; 0 when it is about the offer as a whole.
    """

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(f"SDP line {line}: {message}" if line else f"SDP: {message}")
        self.line = line


class Direction(StrEnum):
    """Which way media flows, from the point of view of who says it."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def mirrored(self) -> Direction:
        """The same seen from the other side."""
        return _MIRROR.get(self, self)

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)


_MIRROR = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}

Setup = Literal["actpass", "active", "passive"]
"""Who starts the DTLS handshake (RFC 5763 section 5): either, the one who says it, or the other."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hash of a certificate (RFC 8122); ``algorithm`` is a key of :data:`DIGEST_BYTES`."""

    algorithm: str
    digest: bytes

    def __str__(self) -> str:
        """As it stands after ``a=fingerprint:``."""
        return f"{self.algorithm} {self.digest.hex(':').upper()}"


@dataclass(frozen=True, slots=True)
class Codec:
    """An audio format the edge can use.

    Attributes:
        parameters: of ``a=fmtp``, names in lower case.
    """

    payload_type: int
    name: CodecName
    clock_rate: int
    channels: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """One ``m=`` section as far as it matters here.

    Attributes:
        line: where it starts.
        protocol: such as ``UDP/TLS/RTP/SAVPF``, as written.
        formats: payload types or ``webrtc-datachannel``, as written.
        codecs: audio formats the edge can use, in its order of preference.
        sctp_port: of a data section.
        max_message_size: the largest message the peer takes, bytes; 0 means any.
        rejected: port 0 without ``a=bundle-only``: the offerer itself does not want it.
    """

    line: int
    kind: str
    protocol: str
    formats: tuple[str, ...]
    rejected: bool
    mid: str | None
    direction: Direction
    rtcp_mux: bool
    codecs: tuple[Codec, ...]
    sctp_port: int
    max_message_size: int
    ice: IceCredentials | None
    fingerprints: tuple[Fingerprint, ...]
    setup: Setup


@dataclass(frozen=True, slots=True)
class Offer:
    """A readable offer that the edge can answer.

    Attributes:
        sections: all of them, in order; the answer has as many.
        audio: the one that will carry the call's audio, if any.
        data: the one that will carry the event channel, if any.
        codec: what audio is exchanged in; None without audio.
        bundled: whether the offer groups its sections.
        ice: the peer's credentials.
        fingerprints: of its certificate, all by the strongest hash it names.
        setup: its DTLS role.
    """

    sections: tuple[Section, ...]
    audio: Section | None
    data: Section | None
    codec: Codec | None
    bundled: bool
    ice: IceCredentials
    fingerprints: tuple[Fingerprint, ...]
    setup: Setup

    @classmethod
    def parse(cls, text: str) -> Offer:
        """Reads an offer.

        Raises:
            SdpError: it is malformed, too long, or holds nothing that can be answered: no audio or data section, an
                audio section without Opus or G.711, no DTLS, no ICE credentials, sections that are not bundled.
        """
        if len(text) > MAX_SDP:
            raise SdpError(f"{len(text)} characters, the limit is {MAX_SDP}")
        session, blocks = _split(text)
        lite = next((line for line, name, _ in session if name == "ice-lite"), 0)
        if lite:
            raise SdpError("the offer is ICE-lite and so are we: nobody would start the checks", line=lite)
        groups = [value.split()[1:] for _, name, value in session if name == "group" and _is_bundle(value)]
        sections = tuple(_section(block, session) for block in blocks)
        _mids_differ(sections)
        bundle = groups[0] if groups else None
        audio = next((s for s in sections if s.kind == "audio" and s.codecs and _usable(s, bundle)), None)
        data = next((s for s in sections if s.kind == "application" and _usable(s, bundle)), None)
        if audio is None:
            _audio_was_not_meant(sections, bundle)
        used = [s for s in (audio, data) if s is not None]
        if not used:
            raise SdpError("there is no audio section and no data channel section (m=application)")
        if bundle is None and len(used) > 1:
            raise SdpError("audio and data must share one transport: add a=group:BUNDLE with both mids")
        carrier = _carrier(used, bundle)
        if audio is not None:
            _audio_is_protected(audio)
        if carrier.ice is None:
            raise SdpError("this section has no a=ice-ufrag and a=ice-pwd", line=carrier.line)
        if not carrier.fingerprints:
            known = ", ".join(DIGEST_BYTES)
            raise SdpError(f"this section has no a=fingerprint by one of {known}", line=carrier.line)
        return cls(
            sections=sections,
            audio=audio,
            data=data,
            codec=audio.codecs[0] if audio else None,
            bundled=bundle is not None,
            ice=carrier.ice,
            fingerprints=_strongest(carrier.fingerprints),
            setup=carrier.setup,
        )


_Attribute = tuple[int, str, str]
"""Line number, attribute name and value; other lines go by their one letter."""


def _split(text: str) -> tuple[list[_Attribute], list[list[_Attribute]]]:
    """The lines of the session part, and those of each section, its ``m=`` line first."""
    session: list[_Attribute] = []
    blocks: list[list[_Attribute]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").rstrip("\n").split("\n"), 1):
        match = _LINE.fullmatch(line.rstrip("\r "))
        if match is None:
            raise SdpError(f"a line is a letter, '=' and a value, not {_shown(line)}", line=number)
        letter, value = match[1], match[2]
        if number == 1 and (letter, value) != ("v", "0"):
            raise SdpError(f"an SDP starts with v=0, not {_shown(line)}", line=1)
        if letter == "m":
            if len(blocks) == MAX_SECTIONS:
                raise SdpError(f"more than {MAX_SECTIONS} sections", line=number)
            blocks.append([(number, "m", value)])
            continue
        name, _, content = value.partition(":") if letter == "a" else (letter, "", value)
        (blocks[-1] if blocks else session).append((number, name, content))
    if not blocks:
        raise SdpError("there is no section (m= line)")
    return session, blocks


def _section(block: Sequence[_Attribute], session: Sequence[_Attribute]) -> Section:
    line, _, value = block[0]
    words = value.split()
    if len(words) < 4:
        raise SdpError("an m= line has a kind, a port, a protocol and at least one format", line=line)
    kind, port, protocol = words[:3]
    formats = tuple(words[3:])
    if not all(map(_TOKEN.fullmatch, words)):
        raise SdpError("the m= line holds something that is not printable ASCII", line=line)
    number, _, _count = port.partition("/")
    at_port = _integer(number, 0, 65535, "the port", line)
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
        max_message_size=_number(own, "max-message-size", DEFAULT_REMOTE_MESSAGE_SIZE, 2**63),
        ice=_credentials(own, common),
        fingerprints=tuple(f for f in (_fingerprint(at, content) for at, content in prints) if f is not None),
        setup=_setup(own.get("setup") or common.get("setup")),
    )


def _codecs(block: Sequence[_Attribute], formats: Sequence[str]) -> Iterator[Codec]:
    """The usable formats of an audio section in our order of preference."""
    maps: dict[str, tuple[str, int, int]] = dict(STATIC_FORMATS)
    parameters: dict[str, str] = {}
    for line, name, value in block[1:]:
        if name == "rtpmap":
            number, _, encoding = value.partition(" ")
            parts = encoding.strip().split("/")
            if len(parts) not in (2, 3):
                raise SdpError("a=rtpmap is a payload type, then name/rate or name/rate/channels", line=line)
            rate = _integer(parts[1], 1, 10**6, "the clock rate", line)
            maps[number] = (parts[0].upper(), rate, _integer(parts[2], 1, 255, "channels", line) if parts[2:] else 1)
        elif name == "fmtp":
            number, _, content = value.partition(" ")
            parameters[number] = content
    found: list[Codec] = []
    for text in formats:
        encoding, rate, channels = maps.get(text, ("", 0, 0))
        codec = CODECS.get((encoding, rate))
        if codec is None or channels > 2:
            continue
        payload_type = _integer(text, 0, 127, "a payload type", block[0][0])
        found.append(Codec(payload_type, codec, rate, channels, _fmtp(parameters.get(text, ""))))
    order = list(CODECS.values())
    yield from sorted(found, key=lambda c: order.index(c.name))


def _fmtp(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _sctp_port(own: Mapping[str, tuple[int, str]], formats: Sequence[str]) -> int:
    if "sctpmap" in own:  # the form before RFC 8841: a=sctpmap:5000 webrtc-datachannel 1024
        line, value = own["sctpmap"]
        return _integer(value.split(" ", 1)[0], 1, 65535, "the SCTP port", line)
    if "sctp-port" in own:
        line, value = own["sctp-port"]
        return _integer(value, 1, 65535, "a=sctp-port", line)
    return int(formats[0]) if formats[0].isdecimal() and 0 < int(formats[0]) < 65536 else 5000


def _credentials(own: Mapping[str, tuple[int, str]], common: Mapping[str, tuple[int, str]]) -> IceCredentials | None:
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
    raise SdpError(f"a=setup is actpass, active or passive, not {_shown(value)}", line=line)


def _is_bundle(value: str) -> bool:
    return value.split(" ", 1)[0] == "BUNDLE"


def _usable(section: Section, bundle: Sequence[str] | None) -> bool:
    if section.rejected or (bundle is not None and section.mid not in bundle):
        return False
    return section.kind != "application" or "DTLS/SCTP" in section.protocol


def _mids_differ(sections: Sequence[Section]) -> None:
    seen: set[str] = set()
    for section in sections:
        if section.mid is not None and section.mid in seen:
            raise SdpError(f"a=mid:{section.mid} is used twice", line=section.line)
        seen.add(section.mid or "")


def _audio_was_not_meant(sections: Sequence[Section], bundle: Sequence[str] | None) -> None:
    for section in sections:
        if section.kind == "audio" and not section.rejected:
            if bundle is not None and section.mid not in bundle:
                raise SdpError("this audio section is not in a=group:BUNDLE", line=section.line)
            raise SdpError("this audio section offers none of opus/48000/2, PCMU/8000, PCMA/8000", line=section.line)


def _audio_is_protected(audio: Section) -> None:
    if "TLS/RTP/SAVP" not in audio.protocol and audio.protocol not in ("RTP/SAVPF", "RTP/SAVP"):
        raise SdpError(f"{audio.protocol} is not protected by DTLS; use UDP/TLS/RTP/SAVPF", line=audio.line)
    if not audio.rtcp_mux:
        raise SdpError("RTCP must share the port: add a=rtcp-mux", line=audio.line)


def _carrier(used: Sequence[Section], bundle: Sequence[str] | None) -> Section:
    """The section whose ICE and DTLS attributes count: of a bundle, the first named (RFC 9143 section 7.2)."""
    if bundle is None:
        return used[0]
    tagged = sorted(used, key=lambda s: bundle.index(s.mid or ""))
    return next((s for s in tagged if s.ice and s.fingerprints), tagged[0])


def _strongest(fingerprints: Sequence[Fingerprint]) -> tuple[Fingerprint, ...]:
    best = max(fingerprints, key=lambda f: DIGEST_BYTES[f.algorithm]).algorithm
    return tuple(f for f in fingerprints if f.algorithm == best)


def _number(own: Mapping[str, tuple[int, str]], name: str, default: int, most: int) -> int:
    line, value = own.get(name, (0, ""))
    return _integer(value, 0, most, f"a={name}", line) if line else default


def _integer(text: str, least: int, most: int, what: str, line: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise SdpError(f"{what} is a number from {least} to {most}, not {_shown(text)}", line=line)
    return int(text)


def _shown(text: str) -> str:
    """A piece of the input for a message: short, and escaped."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")
