"""The answer to a WebRTC offer, as an ICE-lite endpoint behind one UDP port gives it (RFC 9429 section 5.3)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from perhop.media.ice import IceCredentials
from perhop.media.sdp import Codec, Direction, Fingerprint, Offer, Section

__all__ = ["MAX_MESSAGE_SIZE", "Answer", "setup_for"]

MAX_MESSAGE_SIZE = 262_144
"""Bytes of one data channel message that we take; what browsers announce as well."""

HOST_PREFERENCE = 126
OPUS_PARAMETERS = "minptime=10;maxplaybackrate=24000;stereo=0;useinbandfec=1"
"""Mono and nothing above 12 kHz, since the model hears 24 kHz mono; in-band FEC for the holes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What we say about ourselves.

    Attributes:
        addresses: where we can be reached, the preferred one first; IPv4 or IPv6 literals.
        port: UDP, the same at every address.
        session_id: any number below 2**62 that the next answer will not repeat.
        ssrc: of the audio we send.
        cname: ties that audio to a clock (RFC 7022).
    """

    ice: IceCredentials
    fingerprint: Fingerprint
    addresses: Sequence[str]
    port: int
    session_id: int
    ssrc: int
    cname: str

    def write(self, offer: Offer) -> str:
        """The answer: every section of the offer in its place, those not used with port 0."""
        used = [s for s in offer.sections if s is offer.audio or s is offer.data]
        lines = [
            "v=0",
            f"o=- {self.session_id} 1 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            "a=ice-lite",
        ]
        if offer.bundled:
            lines.append("a=group:BUNDLE " + " ".join(s.mid for s in used if s.mid is not None))
        if offer.audio is not None:
            lines.append("a=msid-semantic: WMS *")
        for section in offer.sections:
            if section in used:
                lines += self._accepted(section, offer, is_first=section is used[0])
            else:
                lines += _refused(section)
        return "\r\n".join(lines) + "\r\n"

    def _accepted(self, section: Section, offer: Offer, *, is_first: bool) -> Iterator[str]:
        default = ipaddress.ip_address(self.addresses[0])
        codec = offer.codec if section is offer.audio else None
        formats = str(codec.payload_type) if codec else " ".join(section.formats)
        yield f"m={section.kind} {self.port} {section.protocol} {formats}"
        yield f"c=IN IP{default.version} {default}"
        if section.mid is not None:
            yield f"a=mid:{section.mid}"
        yield f"a=ice-ufrag:{self.ice.ufrag}"
        yield f"a=ice-pwd:{self.ice.password}"
        yield f"a=fingerprint:{self.fingerprint}"
        yield f"a=setup:{setup_for(offer)}"
        if codec is not None:
            yield from self._audio(codec, section.direction.mirrored)
        else:
            yield from _data(section)
        if is_first:  # the others are bundled onto it (RFC 9429 section 5.3.1)
            yield from self._candidates()

    def _audio(self, codec: Codec, direction: Direction) -> Iterator[str]:
        yield f"a={direction}"
        yield "a=rtcp-mux"
        if codec.name == "opus":
            yield f"a=rtpmap:{codec.payload_type} opus/48000/2"
            yield f"a=fmtp:{codec.payload_type} {OPUS_PARAMETERS}"
        else:
            yield f"a=rtpmap:{codec.payload_type} {codec.name.upper()}/8000"
        yield "a=ptime:20"
        yield "a=maxptime:60"
        if direction.sends:  # pages take the stream from ``event.streams[0]``, so it needs a name
            yield "a=msid:perhop audio"
            yield f"a=ssrc:{self.ssrc} cname:{self.cname}"
            yield f"a=ssrc:{self.ssrc} msid:perhop audio"

    def _candidates(self) -> Iterator[str]:
        for index, address in enumerate(self.addresses):
            priority = HOST_PREFERENCE << 24 | (65535 - index) << 8 | 255
            yield f"a=candidate:{index + 1} 1 udp {priority} {address} {self.port} typ host"
        yield "a=end-of-candidates"


def setup_for(offer: Offer) -> Literal["active", "passive"]:
    """Our ``a=setup``: passive whenever the peer may start, so that no packet of ours precedes its first check."""
    return "active" if offer.setup == "passive" else "passive"


def _data(section: Section) -> Iterator[str]:
    if section.protocol == "DTLS/SCTP":
        yield f"a=sctpmap:{section.sctp_port} webrtc-datachannel 1024"
    else:
        yield f"a=sctp-port:{section.sctp_port}"
    yield f"a=max-message-size:{MAX_MESSAGE_SIZE}"


def _refused(section: Section) -> Iterator[str]:
    yield f"m={section.kind} 0 {section.protocol} {' '.join(section.formats)}"
    yield "c=IN IP4 0.0.0.0"
    if section.mid is not None:
        yield f"a=mid:{section.mid}"
    yield "a=inactive"
