"""Result templates: the ``x-say`` of a tool, filled from what the tool returned.

A small subset of Mustache, made for speech: ``{field}`` is a field of the result (dots go deeper), else of the call's
arguments, said as its value suggests; ``{field:format}`` says how. ``{#list}…{/list}`` repeats for a list's entries (or
stands once for anything true), ``{^list}…{/list}`` stands when it is empty. Inside, ``{nth}`` is "first", ``{n}`` "1".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from perhop.brain.dialogue.phrasing import say_as, tidy
from perhop.brain.grammar.values import Json
from perhop.text.verbalise import say_ordinal

__all__ = ["SPOKEN_ENTRIES", "Template"]

SPOKEN_ENTRIES = 3
"""Entries of a list that are said at once; nobody remembers more."""

_TAG = re.compile(r"\{([#^/]?)\s*([A-Za-z_][\w.]*)\s*(?::([^{}]*))?\}")
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class _Field:
    path: str
    format: str


@dataclass(frozen=True, slots=True)
class _Section:
    path: str
    inverted: bool
    body: tuple[_Node, ...]


_Node = str | _Field | _Section


class Template:
    """A parsed template; text that is not well formed is taken literally.

    Args:
        text: the ``x-say`` of a tool.
    """

    def __init__(self, text: str) -> None:
        self._nodes, _ = _parse(text, 0, None, 0)

    def render(self, output: Json, arguments: Mapping[str, Json], *, today: date, offset: int = 0) -> str:
        """Fills the template.

        Args:
            output: what the tool returned; a bare list is called ``items``, a bare value ``value``.
            arguments: what it was called with.
            today: dates near it are said without their year.
            offset: how many entries of lists to leave out, because they have been said.
        """
        scopes = [arguments, {"args": dict(arguments)}, as_object(output)]
        return tidy(_render(self._nodes, scopes, today, offset))

    def render_entries(self, output: Json, arguments: Mapping[str, Json], *, today: date, offset: int) -> str:
        """Only the entries from ``offset`` on, for "more"; empty if the template has no list."""
        scopes = [arguments, {"args": dict(arguments)}, as_object(output)]
        lists = [n for n in self._nodes if isinstance(n, _Section) and isinstance(_lookup(scopes, n.path), list)]
        return tidy(_render(tuple(n for n in lists if not n.inverted), scopes, today, offset))


def as_object(output: Json) -> Mapping[str, Json]:
    """The result as something with fields."""
    if isinstance(output, dict):
        return output
    return {"items": output} if isinstance(output, list) else {"value": output}


def _parse(text: str, at: int, closing: str | None, depth: int) -> tuple[tuple[_Node, ...], int]:
    nodes: list[_Node] = []
    while match := _TAG.search(text, at):
        if match.start() > at:
            nodes.append(text[at : match.start()])
        at = match.end()
        mark, path, form = match.groups()
        if mark == "/":
            if path == closing:
                return tuple(nodes), at
        elif mark and depth < _MAX_DEPTH:
            body, at = _parse(text, at, path, depth + 1)
            nodes.append(_Section(path, mark == "^", body))
        elif not mark:
            nodes.append(_Field(path, (form or "").strip()))
    if at < len(text):
        nodes.append(text[at:])
    return tuple(nodes), len(text)


def _lookup(scopes: Sequence[Mapping[str, Json]], path: str) -> Json:
    first, *rest = path.split(".")
    for scope in reversed(scopes):
        if first in scope:
            value: Json = scope[first]
            for part in rest:
                value = value.get(part) if isinstance(value, dict) else None
            return value
    return None


def _render(nodes: Sequence[_Node], scopes: Sequence[Mapping[str, Json]], today: date, offset: int) -> str:
    pieces = []
    for node in nodes:
        match node:
            case str():
                pieces.append(node)
            case _Field():
                pieces.append(say_as(_lookup(scopes, node.path), node.format, key=node.path, today=today))
            case _Section():
                pieces.append(_render_section(node, scopes, today, offset))
    return "".join(pieces)


def _render_section(node: _Section, scopes: Sequence[Mapping[str, Json]], today: date, offset: int) -> str:
    value = _lookup(scopes, node.path)
    if node.inverted:
        return "" if value else _render(node.body, scopes, today, offset)
    if not value and (value != 0 or value is False):
        return ""
    if not isinstance(value, list):
        inner = [*scopes, value] if isinstance(value, dict) else scopes
        return _render(node.body, inner, today, offset)
    said = []
    for n, entry in enumerate(value[offset : offset + SPOKEN_ENTRIES], start=offset + 1):
        place: dict[str, Json] = {"n": n, "nth": say_ordinal(n), "value": None if isinstance(entry, dict) else entry}
        scope = {**place, **entry} if isinstance(entry, dict) else place
        said.append(_render(node.body, [*scopes, scope], today, 0))
    return " ".join(said)
