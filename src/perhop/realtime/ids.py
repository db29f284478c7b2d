"""Identifiers of the protocol: a prefix that says what it names, then 120 random bits."""

from __future__ import annotations

import secrets
from collections.abc import Callable

__all__ = ["IdFactory", "new_id"]

IdFactory = Callable[[str], str]
"""Makes an id from its prefix; tests inject counters."""

_RANDOM_BYTES = 15  # 20 characters, so that ``item_`` ids stay within the 32 characters a client may use as well


def new_id(prefix: str) -> str:
    """A fresh url-safe id, e.g. ``new_id("item_")``.

    Args:
        prefix: with its underscore: ``event_``, ``item_``, ``resp_``, ``sess_``, ``conv_``, ``call_`` (a function
            call), ``rtc_`` (a call), ``ek_`` (a client secret).
    """
    return prefix + secrets.token_urlsafe(_RANDOM_BYTES)
