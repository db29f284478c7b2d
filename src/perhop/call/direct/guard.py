"""What an agent fixes, in a session that its caller can change at the model directly.

The caller of a direct call sends its ``session.update`` to the model, where nobody stands in between. So what the agent
fixes cannot be refused; it is put back.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from perhop.call.ownership import WHOLE, SessionLock

__all__ = ["MAX_RESTORES", "SessionGuard"]

MAX_RESTORES = 20
"""How often one caller may change what is fixed; it is no accident then."""


class SessionGuard:
    """Watches the session of one call.

    What the model first shows is how it reads the agent's configuration (with defaults filled in, numbers rounded):
    that is what later sessions are held against. The first session must therefore be seen before the caller can
    change it.

    Attributes:
        restores: how often something was put back.
    """

    def __init__(self) -> None:
        self.restores = 0
        self._lock: SessionLock | None = None
        self._fixed: dict[str, Any] = {}
        self._tools: list[Any] = []

    @property
    def exhausted(self) -> bool:
        """Whether the caller has changed fixed fields too often."""
        return self.restores > MAX_RESTORES

    def observe(self, session: Mapping[str, Any], lock: SessionLock) -> dict[str, Any] | None:
        """Takes in a session that is in force.

        Args:
            lock: what the agent fixes; another agent brings another one, whose first session is believed again.

        Returns:
            The partial session object that puts back what was changed; None when nothing was.
        """
        shown = lock.shown_in(session)
        tools = shown.pop("tools", [])
        if lock is not self._lock:
            self._lock, self._fixed, self._tools = lock, deepcopy(shown), deepcopy(tools)
            return None
        changed = _changed(self._fixed, shown)
        if tools != self._tools:
            theirs = [tool for tool in session.get("tools") or () if tool.get("name") not in lock.names]
            changed["tools"] = [*self._tools, *theirs]
        if not changed:
            return None
        self.restores += 1
        return {"type": "realtime", **changed}


def _changed(fixed: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of ``fixed`` that ``shown`` does not have as they are."""
    changed: dict[str, Any] = {}
    for key, value in fixed.items():
        now = shown.get(key)
        if key not in WHOLE and isinstance(value, Mapping) and isinstance(now, Mapping):
            nested = _changed(value, now)
            if nested:
                changed[key] = nested
        elif now != value:
            changed[key] = value
    return changed
