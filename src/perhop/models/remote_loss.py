"""Why the session with a remote model is over, and whether trying again can help."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import orjson
from picows import WSError, WSHandshakeError

from perhop.call.legs import EndReason

__all__ = ["FATAL_CODES", "Loss", "LossError"]

FATAL_CODES = frozenset(
    {
        "account_deactivated",
        "beta_api_shape_disabled",
        "credit_balance_exhausted",
        "forbidden",
        "invalid_api_key",
        "invalid_model",
        "model_not_found",
        "session_not_found",
        "unsupported_country_region_territory",
    }
)
"""Error codes that another try will meet again."""

_PASSING = frozenset({408, 421, 425, 429})
"""Refusals of an upgrade that are about this moment, not about the request; so is everything from 500 on."""

_FATAL_CLOSES = frozenset({1002, 1003, 1007, 1008, 1010, 3000})
"""Close codes that say we did something wrong: the protocol, data, policy, extensions, authorisation."""

_SECONDS = re.compile(r"[0-9]{1,6}")
"""Whole ones; no more than a few days of them."""

_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""What of a model's own text may be repeated in logs: words such as error codes, never sentences."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The end of a session that nobody on this side asked for.

    Attributes:
        detail: for logs: a code, no payload.
        fatal: another try would meet the same end.
        retry_after_s: how long the model asks to be left alone (``Retry-After``), if it does.
    """

    reason: EndReason
    detail: str
    fatal: bool
    retry_after_s: float | None = None

    @classmethod
    def of_close(cls, code: int | None, reason: str, *, error: str | None) -> Loss:
        """The socket was closed.

        Args:
            code: of the model's close frame; None when there was none.
            error: code of an ``error`` event that came right before.
        """
        if code is None and error is None:
            return cls(EndReason.MODEL_FAILED, "connection lost", fatal=False)
        fatal = error in FATAL_CODES if error is not None else _closes_for_good(code, reason)
        orderly = code in (1000, 1001) and not fatal
        said = _word(error or reason)
        detail = (
            f"close {code} {said}".rstrip()
            if code is not None
            else f"connection lost after {said}".removesuffix(" after ")
        )
        return cls(EndReason.MODEL_CLOSED if orderly else EndReason.MODEL_FAILED, detail, fatal)

    @classmethod
    def of_exception(cls, error: BaseException) -> Loss:
        """The connection could not be made."""
        match error:
            case TimeoutError():
                return cls(EndReason.MODEL_FAILED, "timeout", fatal=False)
            case WSHandshakeError() if error.response is not None:
                return _of_refusal(error.response.status.value, error.raw_body, error.response.headers)
            case ssl.SSLCertVerificationError():
                return cls(EndReason.MODEL_FAILED, "certificate not trusted", fatal=True)
            case OSError() | WSError():
                return cls(EndReason.MODEL_FAILED, f"unreachable ({type(error).__name__})", fatal=False)
            case _:
                return cls(EndReason.MODEL_FAILED, type(error).__name__, fatal=True)


class LossError(Exception):
    """The connection could not be made."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.detail)
        self.loss = loss


def _of_refusal(status: int, body: bytes | None, headers: Mapping[str, str]) -> Loss:
    code = _error_code(body)
    fatal = code in FATAL_CODES or (status < 500 and status not in _PASSING)
    return Loss(EndReason.MODEL_FAILED, f"http {status} {code}".rstrip(), fatal, _retry_after(headers))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """``Retry-After`` (RFC 9110 §10.2.3) in s: a number, or a moment on the clock of whoever gave it."""
    given = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(given):
        return float(given)
    try:
        moment, now = (parsedate_to_datetime(text) for text in (given, headers.get("Date", "")))
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _closes_for_good(code: int | None, reason: str) -> bool:
    if code is None:
        return False
    return code in _FATAL_CLOSES or 4000 <= code <= 4999 or reason.rpartition(".")[2] in FATAL_CODES


def _error_code(body: bytes | None) -> str:
    """``error.code`` of a JSON body."""
    try:
        answer = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return ""
    error = answer.get("error") if isinstance(answer, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return _word(code) if isinstance(code, str) else ""


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else ""
