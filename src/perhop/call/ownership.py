"""Who decides about a session: what an agent fixes stays fixed, the rest is the client's. The same for one response,
which may override most of what a session has.

A client's ``session.update`` never fails because of a lock: clients send instructions, voice and tools in one update
and would lose everything. Locked fields silently keep their value, and ``session.updated`` shows what is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from perhop.realtime.session_object import value_at

__all__ = ["WHOLE", "SessionLock", "succession", "turn_detection"]

WHOLE = frozenset({"turn_detection", "format", "transcription", "noise_reduction", "voice", "truncation", "prompt"})
"""Objects that are locked as one: half of an agent's turn detection and half of a client's would be neither's."""

_VOICE = ("audio", "output", "voice")


class SessionLock:
    """The fields of a session that an agent fixed.

    Args:
        fixed: a partial Realtime session object; every field in it is locked.
        tools: the agent's function tools in ``session.tools`` shape; always present, their names are taken.
    """

    def __init__(self, fixed: Mapping[str, Any], tools: Iterable[Mapping[str, Any]] = ()) -> None:
        self._fixed = {key: value for key, value in fixed.items() if key not in ("type", "tools")}
        self._tools = [dict(tool) for tool in tools]
        self._names = {tool.get("name") for tool in self._tools}

    def apply(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """What is left of a client's partial session object, or of the overrides for one response, which have the same
        names, once the agent's fields are taken out of it.

        Tools of the client are kept, behind the agent's; one that takes the name of an agent's tool is dropped.
        """
        allowed = _without(session, self._fixed)
        if self.instructs:
            # A stored prompt brings instructions of its own.
            allowed.pop("prompt", None)
        if self._tools and "tools" in session:
            given = session["tools"] or ()
            allowed["tools"] = [*self._tools, *(tool for tool in given if tool.get("name") not in self._names)]
        return allowed

    @property
    def instructs(self) -> bool:
        """Whether the instructions are the agent's."""
        return "instructions" in self._fixed

    @property
    def names(self) -> set[Any]:
        """Names of the agent's tools."""
        return self._names

    def shown_in(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """What an effective session object has in the agent's fields, and its tools among them."""
        shown = _within(session, self._fixed)
        if self._tools:
            shown["tools"] = [tool for tool in session.get("tools") or () if tool.get("name") in self._names]
        return shown

    def initial(self) -> dict[str, Any]:
        """The partial session object that puts the agent's fields in force."""
        session: dict[str, Any] = {"type": "realtime", **self._fixed}
        if self._tools:
            session["tools"] = list(self._tools)
        return session


def _without(given: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fixed:
            left[key] = value
        elif key not in WHOLE and isinstance(value, Mapping) and isinstance(fixed[key], Mapping):
            nested = _without(value, fixed[key])
            if nested:
                left[key] = nested
    return left


def _within(session: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``session`` that ``fixed`` has."""
    found: dict[str, Any] = {}
    for key, value in fixed.items():
        shown = session.get(key)
        if key not in WHOLE and isinstance(value, Mapping) and isinstance(shown, Mapping):
            found[key] = _within(shown, value)
        else:
            found[key] = shown
    return found


def succession(session: Mapping[str, Any], before: SessionLock, after: SessionLock) -> tuple[dict[str, Any], bool]:
    """What changes when one agent takes over from another in a session that is in force.

    The new agent's fields and tools come in force, the old one's tools and instructions go, and tools of the client
    stay unless they take a name of the new agent's.

    Returns:
        The partial session object, without a voice that is in force already; and whether the voice stays.
    """
    changes = deepcopy(after.initial())
    theirs = [tool for tool in session.get("tools") or () if tool.get("name") not in before.names | after.names]
    changes["tools"] = [*changes.get("tools", ()), *theirs]
    changes.setdefault("instructions", "")
    voice = value_at(changes, *_VOICE)
    same = voice is None or voice == value_at(session, *_VOICE)
    if same and voice is not None:
        del changes["audio"]["output"]["voice"]
    return changes, same


def turn_detection(session: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """``audio.input.turn_detection`` of an effective session object; None when it is off or absent."""
    detection = value_at(session, "audio", "input", "turn_detection")
    return detection if isinstance(detection, Mapping) else None
