"""One continuous conversation over successive model sessions: renewal, reconnection and failover, one mechanism."""

from __future__ import annotations

from perhop.call.line.host import Line, LineHost, Rejoin, Replacement
from perhop.call.line.line import ModelLine
from perhop.call.line.policy import LinePolicy

__all__ = ["Line", "LineHost", "LinePolicy", "ModelLine", "Rejoin", "Replacement"]
