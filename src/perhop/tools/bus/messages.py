"""Names of headers on the bus."""

from __future__ import annotations

__all__ = ["ERROR_CODE_HEADER", "ERROR_HEADER", "EXPIRES_HEADER", "ID_HEADER"]

ID_HEADER = "Nats-Msg-Id"
"""Of a kept message: what makes it the same when it comes again."""

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"

EXPIRES_HEADER = "Perhop-Expires"
"""Of a request: Unix time, s, after which nobody waits for the answer. One that comes later, because it lay in a buffer
while the bus was down, is not begun."""
