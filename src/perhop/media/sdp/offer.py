"""WebRTC offers read: one audio and one data section, among whatever else is offered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perhop.media.ice import IceCredentials
from perhop.media.sdp.lines import split_sections
from perhop.media.sdp.sections import read_section
from perhop.media.sdp.values import DIGEST_BYTES, Codec, Fingerprint, SdpError, Section, Setup

__all__ = ["MAX_SDP", "Offer"]

MAX_SDP = 64 << 10
"""Characters; a browser's offer has 2,000 to 8,000."""


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
        session, blocks = split_sections(text)
        lite = next((line for line, name, _ in session if name == "ice-lite"), 0)
        if lite:
            raise SdpError("the offer is ICE-lite and so are we: nobody would start the checks", line=lite)
        groups = [value.split()[1:] for _, name, value in session if name == "group" and _is_bundle(value)]
        sections = tuple(read_section(block, session) for block in blocks)
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
