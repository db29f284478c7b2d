"""Names of headers on the bus."""

from __future__ import annotations

__all__ = ["ERROR_CODE_HEADER", "ERROR_HEADER", "ID_HEADER"]

ID_HEADER = "Nats-Msg-Id"
"""Of a kept message: what makes it the same when it comes again."""

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
