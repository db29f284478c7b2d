from __future__ import annotations

from tests.workers.calendar.radicale import radicale

__all__ = ["radicale"]
