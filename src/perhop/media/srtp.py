"""SRTP and SRTCP (RFC 3711, RFC 7714) with keys from a DTLS handshake (RFC 5764), on top of libsrtp."""

from __future__ import annotations

from enum import Enum

import pylibsrtp

from perhop.errors import PerhopError

__all__ = [
    "EXPORTER_LABEL",
    "REPLAY_WINDOW",
    "SrtpAuthError",
    "SrtpError",
    "SrtpProfile",
    "SrtpReplayError",
    "SrtpSession",
    "split_keys",
]

EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"
"""Label of the TLS exporter that yields the keying material (RFC 5764 section 4.2)."""

REPLAY_WINDOW = 1024
"""Packets; wide enough for any reordering a live call can use."""

MAX_SSRCS = 64
"""Streams one peer may open. libsrtp keeps a context for each, so the number must have an end."""

_AUTH_FAILURES = frozenset({"authentication failure", "cipher failure"})
_REPLAY_FAILURES = frozenset(
    {
        "replay check failed (bad index)",
        "replay check failed (index too old)",
        "packet index is too old to consider",
    }
)


class SrtpError(PerhopError):
    """A packet that libsrtp refuses, or keys it cannot use. Such a packet changes nothing; drop it and go on."""


class SrtpAuthError(SrtpError):
    """The packet was not written by the peer, or was changed on its way."""


class SrtpReplayError(SrtpError):
    """The packet was seen before, or is older than the replay window."""


class SrtpProfile(Enum):
    """A protection profile and its lengths in bytes; the members stand in the order we prefer them.

    GCM comes first because it is one pass and the cheaper one with AES instructions.
    """

    AEAD_AES_128_GCM = ("SRTP_AEAD_AES_128_GCM", 0x0007, 16, 12, pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    AEAD_AES_256_GCM = ("SRTP_AEAD_AES_256_GCM", 0x0008, 32, 12, pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM)
    AES128_CM_SHA1_80 = ("SRTP_AES128_CM_SHA1_80", 0x0001, 16, 14, pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80)
    AES128_CM_SHA1_32 = ("SRTP_AES128_CM_SHA1_32", 0x0002, 16, 14, pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32)

    openssl_name: str
    identifier: int
    key_length: int
    salt_length: int
    libsrtp_profile: int

    def __init__(
        self, openssl_name: str, identifier: int, key_length: int, salt_length: int, libsrtp_profile: int
    ) -> None:
        self.openssl_name = openssl_name
        self.identifier = identifier
        self.key_length = key_length
        self.salt_length = salt_length
        self.libsrtp_profile = libsrtp_profile

    @property
    def material_length(self) -> int:
        """Bytes to ask the TLS exporter for: a key and a salt for either direction."""
        return 2 * (self.key_length + self.salt_length)

    @classmethod
    def from_openssl(cls, name: str | bytes) -> SrtpProfile:
        """The profile OpenSSL says was negotiated.

        Raises:
            SrtpError: unknown, or the handshake negotiated none (an empty name).
        """
        text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        for profile in cls:
            if profile.openssl_name == text:
                return profile
        raise SrtpError(f"DTLS negotiated no SRTP profile we know: {text!r}")

    @classmethod
    def openssl_list(cls) -> bytes:
        """All profiles as ``SSL_CTX_set_tlsext_use_srtp`` takes them, in order of preference."""
        return ":".join(profile.openssl_name for profile in cls).encode()


def split_keys(profile: SrtpProfile, material: bytes, *, is_client: bool) -> tuple[bytes, bytes]:
    """Splits what the TLS exporter gave into ``(local, remote)`` master key + salt (RFC 5764 section 4.2).

    Args:
        is_client: whether we were the DTLS client, whose write key comes first.

    Raises:
        SrtpError: the material has the wrong length.
    """
    if len(material) != profile.material_length:
        raise SrtpError(
            f"{profile.openssl_name} needs {profile.material_length} bytes of keying material, not {len(material)}"
        )
    key, salt = profile.key_length, profile.salt_length
    client = material[:key] + material[2 * key : 2 * key + salt]
    server = material[key : 2 * key] + material[2 * key + salt :]
    return (client, server) if is_client else (server, client)


class SrtpSession:
    """Both directions of one DTLS association: everything we send and everything the peer sends, any SSRC.

    ``protect`` and ``unprotect`` cost about 1.5 µs each. A refused packet raises and changes nothing.
    """

    __slots__ = ("_inbound", "_known", "_outbound", "_protect", "_unprotect", "profile")

    def __init__(self, profile: SrtpProfile, material: bytes, *, is_client: bool, window: int = REPLAY_WINDOW) -> None:
        """Keys the session.

        Args:
            material: ``profile.material_length`` bytes from the exporter under :data:`EXPORTER_LABEL`.
            is_client: whether we were the DTLS client.
            window: replay window in packets, 64-32767.

        Raises:
            SrtpError: wrong length of material, or a profile this libsrtp lacks.
        """
        local, remote = split_keys(profile, material, is_client=is_client)
        self.profile = profile
        self._outbound = _session(profile, local, pylibsrtp.Policy.SSRC_ANY_OUTBOUND, window=window)
        self._inbound = _session(profile, remote, pylibsrtp.Policy.SSRC_ANY_INBOUND, window=window)
        self._protect = self._outbound.protect
        self._unprotect = self._inbound.unprotect
        self._known: set[bytes] = set()

    def protect(self, packet: bytes) -> bytes:
        """Encrypts and signs an RTP packet of at most 1356 bytes. Raises SrtpError."""
        try:
            return self._protect(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise _typed(error) from None

    def unprotect(self, packet: bytes) -> bytes:
        """Checks and decrypts an SRTP packet. Raises SrtpAuthError, SrtpReplayError, or SrtpError for anything else."""
        known = packet[8:12] in self._known
        if not known and len(self._known) >= MAX_SSRCS:
            raise SrtpError(f"more than {MAX_SSRCS} streams from one peer")
        try:
            plain = self._unprotect(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise _typed(error) from None
        if not known:  # only now, so that strangers cannot use the streams up
            self._known.add(packet[8:12])
        return plain

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypts and signs a compound RTCP packet. Raises SrtpError."""
        try:
            return self._outbound.protect_rtcp(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise _typed(error) from None

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Checks and decrypts an SRTCP packet; raises as :meth:`unprotect` does."""
        known = packet[4:8] in self._known
        if not known and len(self._known) >= MAX_SSRCS:
            raise SrtpError(f"more than {MAX_SSRCS} streams from one peer")
        try:
            plain = self._inbound.unprotect_rtcp(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise _typed(error) from None
        if not known:
            self._known.add(packet[4:8])
        return plain


def _session(profile: SrtpProfile, key: bytes, ssrc_type: int, *, window: int) -> pylibsrtp.Session:
    try:
        policy = pylibsrtp.Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile.libsrtp_profile)
        policy.window_size = window
        return pylibsrtp.Session(policy)
    except pylibsrtp.Error as error:
        raise SrtpError(f"libsrtp refuses {profile.openssl_name} with a window of {window}: {error}") from None


def _typed(error: Exception) -> SrtpError:
    reason = str(error)
    if reason in _AUTH_FAILURES:
        return SrtpAuthError(reason)
    if reason in _REPLAY_FAILURES:
        return SrtpReplayError(reason)
    return SrtpError(reason)
