"""STUN messages (RFC 8489) as far as ICE connectivity checks use them (RFC 8445): parse, verify, build.

Values only: no sockets, no clock. A parsed message keeps the bytes it came from, because integrity is computed over
them and not over what was understood.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from perhop.errors import PerhopError

__all__ = [
    "Attribute",
    "MessageClass",
    "StunError",
    "StunMessage",
    "binding_error",
    "binding_request",
    "binding_success",
    "is_stun",
]

BINDING = 0x001
HEADER = 20
MAGIC_COOKIE = b"\x21\x12\xa4\x42"
MAX_MESSAGE = 1280
FINGERPRINT_XOR = 0x5354554E

_HEADER = struct.Struct("!HH4s12s")
_ATTRIBUTE = struct.Struct("!HH")


class StunError(PerhopError):
    """The bytes are not a well-formed STUN message."""


class MessageClass(IntEnum):
    """The two class bits of the message type (RFC 8489 section 5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute(IntEnum):
    """Attribute types this module knows; types below 0x8000 must be understood by the receiver."""

    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


_KNOWN = frozenset(Attribute)


def is_stun(data: bytes) -> bool:
    """Whether a datagram looks like STUN: first byte 0 to 3 (RFC 7983) and the magic cookie in its place."""
    return len(data) >= HEADER and data[0] < 4 and data[4:8] == MAGIC_COOKIE


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One received message.

    Attributes:
        transaction_id: 12 bytes.
        attributes: the first value of each type, in the order received; what follows MESSAGE-INTEGRITY is left out,
            as it is not protected (RFC 8489 section 14.5).
        raw: the datagram itself.
        integrity_at: offset of the MESSAGE-INTEGRITY attribute in ``raw``; 0 when there is none.
    """

    message_class: MessageClass
    method: int
    transaction_id: bytes
    attributes: dict[int, bytes]
    raw: bytes
    integrity_at: int

    @classmethod
    def parse(cls, data: bytes) -> StunMessage:
        """Reads one datagram.

        Raises:
            StunError: it is not STUN, lengths do not add up, or its FINGERPRINT is wrong.
        """
        size = len(data)
        if not HEADER <= size <= MAX_MESSAGE:
            raise StunError(f"a STUN message has {HEADER} to {MAX_MESSAGE} bytes, not {size}")
        kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
        if kind & 0xC000 or cookie != MAGIC_COOKIE:
            raise StunError("no STUN header")
        if length % 4 or length != size - HEADER:
            raise StunError(f"length field says {length}, {size - HEADER} bytes follow")
        attributes: dict[int, bytes] = {}
        integrity_at = 0
        at = HEADER
        while at < size:
            name, length = _ATTRIBUTE.unpack_from(data, at)
            end = at + 4 + length
            if end > size:
                raise StunError(f"attribute 0x{name:04x} at byte {at} is longer than the message")
            value = data[at + 4 : end]
            if name == Attribute.FINGERPRINT:
                _check_fingerprint(data, at, value)
                break
            if not integrity_at:
                attributes.setdefault(name, value)
                if name == Attribute.MESSAGE_INTEGRITY:
                    if length != hashlib.sha1(b"", usedforsecurity=False).digest_size:
                        raise StunError(f"MESSAGE-INTEGRITY has {length} bytes")
                    integrity_at = at
            at = end + (-length & 3)
        return cls(
            MessageClass((kind >> 4 & 1) | (kind >> 7 & 2)),
            (kind & 0x000F) | (kind >> 1 & 0x0070) | (kind >> 2 & 0x0F80),
            transaction_id,
            attributes,
            data,
            integrity_at,
        )

    @property
    def is_binding_request(self) -> bool:
        """Whether this is a connectivity or consent check."""
        return self.message_class is MessageClass.REQUEST and self.method == BINDING

    @property
    def username(self) -> tuple[str, str] | None:
        """The two ICE ufrags of USERNAME, the receiver's first (RFC 8445 section 7.2.2); None if there are not two."""
        first, colon, second = self.attributes.get(Attribute.USERNAME, b"").partition(b":")
        if not colon or not first.isascii() or not second.isascii():
            return None
        return first.decode("ascii"), second.decode("ascii")

    @property
    def use_candidate(self) -> bool:
        """Whether the controlling agent nominates the pair this check ran on."""
        return Attribute.USE_CANDIDATE in self.attributes

    @property
    def unknown_required(self) -> tuple[int, ...]:
        """Attribute types that must be understood (below 0x8000) and are not."""
        return tuple(name for name in self.attributes if name < 0x8000 and name not in _KNOWN)

    def verify(self, key: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY is there and was made with ``key`` (the receiver's ICE password)."""
        if not self.integrity_at:
            return False
        expected = _integrity(self.raw, self.integrity_at, key)
        return hmac.compare_digest(expected, self.attributes[Attribute.MESSAGE_INTEGRITY])

    def error_code(self) -> int | None:
        """The number in ERROR-CODE, such as 487; None when there is none."""
        value = self.attributes.get(Attribute.ERROR_CODE, b"")
        return value[2] % 8 * 100 + value[3] if len(value) >= 4 else None

    def mapped_address(self) -> tuple[str, int] | None:
        """Address and port in XOR-MAPPED-ADDRESS; None when missing or malformed."""
        value = self.attributes.get(Attribute.XOR_MAPPED_ADDRESS, b"")
        if (len(value), value[1:2]) not in ((8, b"\x01"), (20, b"\x02")):
            return None
        mask = MAGIC_COOKIE + self.transaction_id
        host = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
        return str(ipaddress.ip_address(host)), int.from_bytes(value[2:4], "big") ^ 0x2112


def binding_request(
    *, transaction_id: bytes, username: str, key: bytes, priority: int, tie_breaker: int, nominate: bool | None = None
) -> bytes:
    """A check as ICE sends it (RFC 8445 section 7.2.2).

    Args:
        username: ``receiver:sender``, the ufrags.
        key: the receiver's password.
        nominate: None from a controlled agent; from a controlling one, whether it nominates the pair.
    """
    attributes: list[tuple[int, bytes]] = [
        (Attribute.USERNAME, username.encode("ascii")),
        (Attribute.PRIORITY, priority.to_bytes(4, "big")),
        (
            Attribute.ICE_CONTROLLED if nominate is None else Attribute.ICE_CONTROLLING,
            tie_breaker.to_bytes(8, "big"),
        ),
    ]
    if nominate:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    return _build(MessageClass.REQUEST, transaction_id, attributes, key)


def binding_success(request: StunMessage, *, host: str, port: int, key: bytes) -> bytes:
    """The answer to a good check: where it came from, protected with the password the check was made with."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    mask = MAGIC_COOKIE + request.transaction_id
    value = struct.pack("!BBH", 0, 1 if address.version == 4 else 2, port ^ 0x2112)
    value += bytes(a ^ b for a, b in zip(address.packed, mask, strict=False))
    return _build(MessageClass.SUCCESS, request.transaction_id, [(Attribute.XOR_MAPPED_ADDRESS, value)], key)


def binding_error(
    request: StunMessage, code: int, reason: str, *, key: bytes | None = None, unknown: Iterable[int] = ()
) -> bytes:
    """An error response (RFC 8489 section 14.8); without ``key`` it carries no integrity, as for 400 and 401."""
    text = struct.pack("!HBB", 0, code // 100, code % 100) + reason.encode()
    attributes: list[tuple[int, bytes]] = [(Attribute.ERROR_CODE, text)]
    missing = b"".join(name.to_bytes(2, "big") for name in unknown)
    if missing:
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, missing))
    return _build(MessageClass.ERROR, request.transaction_id, attributes, key)


def _build(
    message_class: MessageClass, transaction_id: bytes, attributes: Iterable[tuple[int, bytes]], key: bytes | None
) -> bytes:
    body = b"".join(_ATTRIBUTE.pack(name, len(value)) + value + bytes(-len(value) & 3) for name, value in attributes)
    kind = BINDING | (message_class & 1) << 4 | (message_class & 2) << 7
    data = _HEADER.pack(kind, len(body), MAGIC_COOKIE, transaction_id) + body
    if key is not None:
        digest = _integrity(data, len(data), key)
        data = _with_length(data, len(data) + 24 - HEADER) + _ATTRIBUTE.pack(Attribute.MESSAGE_INTEGRITY, 20) + digest
    data = _with_length(data, len(data) + 8 - HEADER)
    return data + _ATTRIBUTE.pack(Attribute.FINGERPRINT, 4) + _fingerprint(data)


def _with_length(data: bytes, length: int) -> bytes:
    return data[:2] + length.to_bytes(2, "big") + data[4:]


def _integrity(data: bytes, at: int, key: bytes) -> bytes:
    """HMAC-SHA1 of what precedes the attribute, the length field counting up to its end (RFC 8489 section 14.5)."""
    return hmac.digest(key, _with_length(data[:at], at + 24 - HEADER), "sha1")


def _fingerprint(data: bytes) -> bytes:
    return (zlib.crc32(data) ^ FINGERPRINT_XOR).to_bytes(4, "big")


def _check_fingerprint(data: bytes, at: int, value: bytes) -> None:
    if at + 8 != len(data) or value != _fingerprint(data[:at]):
        raise StunError("FINGERPRINT does not match")
