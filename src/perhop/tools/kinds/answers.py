"""What an HTTP answer means for a tool."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from perhop.tools.errors import ToolError, ToolUnavailableError

__all__ = ["outcome_of"]

_MAX_DETAIL = 300
_TRY_AGAIN = {408: True, 425: False, 429: False, 500: True, 502: True, 503: True, 504: True}
"""Statuses after which another try may work, and whether the request may have had its effect."""

_REASONS = ("detail", "message", "error_description", "error", "title")


def outcome_of(name: str, status: int, headers: Mapping[str, str], content: bytes) -> object:
    """The result in an answer: its JSON, else its text; ``{"ok": true}`` when it says nothing.

    Args:
        name: of the tool, for messages.

    Raises:
        ToolError: the server refused; what it says why is passed on, clipped.
        ToolUnavailableError: another try may work.
    """
    value = _value(headers.get("content-type", ""), content)
    if 200 <= status < 300:
        return {"ok": True} if value is None else value
    reason = _reason(value)
    if status in _TRY_AGAIN:
        message = f"{name} is not available at the moment (HTTP {status})."
        raise ToolUnavailableError(message, sent=_TRY_AGAIN[status], retry_after_s=_retry_after(headers))
    if status >= 500:
        raise ToolUnavailableError(f"{name} failed (HTTP {status}).")
    if status in (401, 403):
        raise ToolError(f"{name} is not permitted (HTTP {status}).")
    raise ToolError(f"{name} refused (HTTP {status}){f': {reason}' if reason else '.'}")


def _value(content_type: str, content: bytes) -> object:
    if not content.strip():
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")) or not kind:
        try:
            value: object = orjson.loads(content)
        except orjson.JSONDecodeError:
            pass
        else:
            return value
    return {"text": content.decode(errors="replace")}


def _reason(value: object) -> str:
    """What the server says in one of the usual members of an error."""
    for name in _REASONS:
        found = value.get(name) if isinstance(value, dict) else None
        if isinstance(found, dict):
            found = found.get("message")
        if isinstance(found, str) and found:
            return found[:_MAX_DETAIL]
    return ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 8 else None
