"""Signatures of webhooks: Standard Webhooks 1.0, symmetric, as the Realtime API's own webhooks are signed.

The signature is HMAC-SHA256 over ``{webhook-id}.{webhook-timestamp}.{body}``, base64, behind the version ``v1,``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from perhop.errors import PerhopError

__all__ = ["MIN_KEY_BYTES", "SigningKey", "SigningKeyError"]

MIN_KEY_BYTES = 24
"""Shortest key; the specification asks for 24 to 64 random bytes."""

_PREFIX = "whsec_"


class SigningKeyError(PerhopError):
    """Not a signing secret; the message never repeats it."""


class SigningKey:
    """The key of one endpoint.

    Args:
        secret: ``whsec_`` and the base64 of at least 24 bytes.

    Raises:
        SigningKeyError: it is something else.
    """

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        remedy = "make one with: echo whsec_$(openssl rand -base64 32)"
        if not secret.startswith(_PREFIX):
            raise SigningKeyError(f"a webhook secret begins with {_PREFIX!r}; {remedy}")
        try:
            self._key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise SigningKeyError(f"what follows {_PREFIX!r} in a webhook secret must be base64; {remedy}") from None
        if len(self._key) < MIN_KEY_BYTES:
            raise SigningKeyError(f"a webhook secret holds at least {MIN_KEY_BYTES} bytes; {remedy}")

    def headers(self, message_id: str, body: bytes, *, timestamp: int) -> dict[str, str]:
        """The headers that sign one attempt.

        Args:
            message_id: the same for every attempt, so that receivers can tell a repetition.
            timestamp: Unix time of this attempt, s; receivers refuse what is more than five minutes off.
        """
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
        mac = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{mac}"}
