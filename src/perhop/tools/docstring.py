"""Google-style docstrings: what a function does, and what each of its parameters means."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Docstring", "parse_docstring"]

_ARGUMENTS = ("Args:", "Arguments:", "Parameters:")
_SECTION = re.compile(
    r"(Args|Arguments|Attributes|Example|Examples|Keyword Args|Note|Notes|Parameters|Raises|Returns|See Also|Todo"
    r"|Warning|Warnings|Yields):"
)
_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring taken apart.

    Attributes:
        description: everything before the first section; lines of a paragraph are joined.
        parameters: the entries of the ``Args`` section by name.
    """

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None) -> Docstring:
    """Reads a docstring of any indentation; None gives an empty one."""
    lines = inspect.cleandoc(text or "").splitlines()
    first = next((at for at, line in enumerate(lines) if _SECTION.fullmatch(line.rstrip())), len(lines))
    parameters: dict[str, str] = {}
    for at in range(first, len(lines)):
        if lines[at].rstrip() in _ARGUMENTS:
            parameters.update(_entries(_indented(lines[at + 1 :])))
    return Docstring(_paragraphs(lines[:first]), parameters)


def _indented(lines: Iterable[str]) -> list[str]:
    """The block that these lines begin with: up to the first line that stands at the margin again."""
    block: list[str] = []
    for line in lines:
        if line.strip() and not line[0].isspace():
            break
        block.append(line)
    return inspect.cleandoc("\n" + "\n".join(block)).splitlines()


def _entries(lines: list[str]) -> dict[str, str]:
    """``name (type): text`` entries; what is indented below one belongs to it."""
    entries: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        match = _ENTRY.fullmatch(line) if line and not line[0].isspace() else None
        if match is not None:
            current = entries.setdefault(match["name"], [])
            current.append(match["text"])
        else:
            current.append(line)
    return {name: _paragraphs(text) for name, text in entries.items()}


def _paragraphs(lines: Iterable[str]) -> str:
    """Lines joined with spaces, paragraphs kept apart by an empty line."""
    blocks = re.split(r"\n\s*\n", "\n".join(line.strip() for line in lines).strip())
    return "\n\n".join(" ".join(block.split()) for block in blocks if block)
