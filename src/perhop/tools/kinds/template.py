"""Texts with places for arguments, filled so that no argument can leave its place.

A place is ``{name}``; ``{{`` and ``}}`` stand for braces. A template is taken apart once, when the tool is defined;
what is put into it is never read as a template again, and each kind of text has its own way to encode a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import quote

from perhop.tools.errors import InvalidArgumentsError, Problem, ToolDefinitionError

__all__ = ["JsonTemplate", "Template", "as_text", "for_header", "for_path"]

_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_-]{0,63})\}|(?P<stray>[{}])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Encode = Callable[[str, str], str]
"""(name of the argument, its text) → what is put into its place."""


def as_text(name: str, value: object) -> str:
    """A value that is one thing as text; numbers and truth values as JSON writes them.

    Raises:
        InvalidArgumentsError: a list, an object or null has no place in a text.
    """
    match value:
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            raise InvalidArgumentsError([Problem(name, "must be a text, a number or a truth value")])


def for_path(name: str, text: str) -> str:
    """One value inside a segment of a path: no slash of its own, and no way up."""
    _no_control(name, text)
    if any(part in (".", "..") for part in re.split(r"[/\\]", text)):
        raise InvalidArgumentsError([Problem(name, "must not be a path")])
    return _percent(name, text)


def for_header(name: str, text: str) -> str:
    """One value inside a header: printable ASCII, no line of its own."""
    if not text.isascii() or not text.isprintable():
        raise InvalidArgumentsError([Problem(name, "must be printable ASCII text")])
    return text


def _plain(name: str, text: str) -> str:  # noqa: ARG001 - the shape of an Encode
    return text


def _percent(name: str, text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise InvalidArgumentsError([Problem(name, "must be text that UTF-8 can express")]) from None


def _no_control(name: str, text: str) -> None:
    if _CONTROL.search(text):
        raise InvalidArgumentsError([Problem(name, "must not hold control characters")])


class Template:
    """One text with places.

    Args:
        text: with ``{name}`` for arguments.
        known: names there are.
        what: for messages.

    Attributes:
        names: those it has places for, in order.

    Raises:
        ToolDefinitionError: a brace stands alone, or a place is for something unknown.
    """

    def __init__(self, text: str, *, known: Collection[str], what: str) -> None:
        self._pieces: list[tuple[str, str | None]] = []
        at = 0
        for found in _PIECE.finditer(text):
            if found["stray"]:
                raise ToolDefinitionError(f"{what}: write {{name}} for an argument, {{{{ and }}}} for braces")
            name = found["name"]
            if name is not None and name not in known:
                raise ToolDefinitionError(f"{what}: no parameter {name!r}; there are: {', '.join(known) or 'none'}")
            literal = text[at : found.start()]
            self._pieces.append((literal + ("" if name is not None else found[0][0]), name))
            at = found.end()
        self._rest = text[at:]
        self.names = tuple(dict.fromkeys(name for _, name in self._pieces if name is not None))

    @property
    def single(self) -> str | None:
        """The one argument that this text consists of, if that is all there is."""
        if len(self._pieces) == 1 and self._pieces[0][0] == "" and not self._rest:
            return self._pieces[0][1]
        return None

    def fill(self, values: Mapping[str, Any], encode: Encode = _plain) -> str:
        """The text with these arguments in their places; an absent one leaves its place empty.

        Raises:
            InvalidArgumentsError: one cannot stand there.
        """
        filled = []
        for literal, name in self._pieces:
            filled.append(literal)
            if name is not None and values.get(name) is not None:
                filled.append(encode(name, as_text(name, values[name])))
        return "".join(filled) + self._rest


class JsonTemplate:
    """A JSON structure whose texts may have places. A text that is one place becomes the value itself, of whatever
    type; where that argument is absent its entry is left out.

    Raises:
        ToolDefinitionError: as :class:`Template` does.
    """

    def __init__(self, structure: Any, *, known: Collection[str], what: str) -> None:
        self.names: tuple[str, ...] = ()
        self._structure = self._compiled(structure, known, what)

    def fill(self, values: Mapping[str, Any]) -> Any:
        """The structure with these arguments."""
        return self._filled(self._structure, values)

    def _compiled(self, part: Any, known: Collection[str], what: str) -> Any:
        if isinstance(part, str):
            template = Template(part, known=known, what=what)
            self.names = tuple(dict.fromkeys([*self.names, *template.names]))
            return template if template.names else template.fill({})
        if isinstance(part, Mapping):
            return {key: self._compiled(value, known, what) for key, value in part.items()}
        if isinstance(part, list | tuple):
            return [self._compiled(value, known, what) for value in part]
        return part

    def _filled(self, part: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(part, Template):
            return values.get(part.single) if part.single is not None else part.fill(values)
        if isinstance(part, dict):
            return {key: self._filled(value, values) for key, value in part.items() if not _absent(value, values)}
        if isinstance(part, list):
            return [self._filled(value, values) for value in part if not _absent(value, values)]
        return part


def _absent(part: Any, values: Mapping[str, Any]) -> bool:
    return isinstance(part, Template) and part.single is not None and part.single not in values
