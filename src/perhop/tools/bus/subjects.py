"""The subjects of the bus, and names inside them.

``perhop.tools.<tenant>.<tool>`` for calls of tools, ``perhop.calls.<tenant>.<call>.<kind>`` for events of calls.
"""

from __future__ import annotations

import re
from typing import Literal

from perhop.errors import PerhopError

__all__ = [
    "ANY",
    "CallEventKind",
    "call_subject",
    "matches",
    "name_of",
    "part",
    "parts",
    "tool_subject",
]

CallEventKind = Literal["transcript", "stats", "lifecycle"]

ANY = "*"
"""In place of a name: whichever."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,128}")
_ENCODED = re.compile(r"%([0-9A-F]{2})")


def part(name: str) -> str:
    """A name as one part of a subject. Dots would divide it, so they and the like become ``%2E``.

    Raises:
        PerhopError: names may have letters, digits and ``_ - . : @``, 128 of them.
    """
    if _PLAIN.fullmatch(name) or name == ANY:
        return name
    if not _NAME.fullmatch(name):
        raise PerhopError("a name on the bus has 1 to 128 letters, digits and _ - . : @")
    return "".join(c if _PLAIN.fullmatch(c) else f"%{ord(c):02X}" for c in name)


def name_of(part: str) -> str:
    """The name that :func:`part` was given."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), part)


def parts(subject: str) -> list[str]:
    """The names in a subject, decoded."""
    return [name_of(one) for one in subject.split(".")]


def tool_subject(tenant: str, tool: str) -> str:
    """Where calls of a tool go; :data:`ANY` as tenant is what a worker for all of them listens to."""
    return f"perhop.tools.{part(tenant)}.{part(tool)}"


def call_subject(tenant: str, call_id: str, kind: CallEventKind | Literal["*"]) -> str:
    """Where events of a call go."""
    return f"perhop.calls.{part(tenant)}.{part(call_id)}.{kind}"


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern with ``*`` (one part) and a last ``>`` (one part and all behind it)."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, one in enumerate(wanted):
        if one == ">":
            return len(given) > index
        if index >= len(given) or one not in (ANY, given[index]):
            return False
    return len(wanted) == len(given)
