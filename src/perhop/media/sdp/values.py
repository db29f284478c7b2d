"""What an SDP says of one WebRTC media section, as values (RFC 8866; RFC 9429)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from perhop.errors import PerhopError
from perhop.media.ice import IceCredentials

__all__ = ["CODECS", "DIGEST_BYTES", "Codec", "CodecName", "Direction", "Fingerprint", "SdpError", "Section", "Setup"]

DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Hash functions we verify a certificate by, weakest first."""

CodecName = Literal["opus", "pcmu", "pcma"]

CODECS: dict[tuple[str, int], CodecName] = {("OPUS", 48000): "opus", ("PCMU", 8000): "pcmu", ("PCMA", 8000): "pcma"}
"""What the edge can use, by encoding name and clock rate, in its order of preference."""


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
