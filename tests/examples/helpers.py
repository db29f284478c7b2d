"""The moment the tests of the examples live in, and the type of their way to call a tool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

Ask = Callable[..., Awaitable[Any]]

THURSDAY_NOON = datetime(2026, 11, 26, 12, 15, tzinfo=UTC)
