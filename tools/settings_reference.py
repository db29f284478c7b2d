"""Writes the tables of all settings into docs/operations.md, from the settings' own types and docstrings.

python tools/settings_reference.py            # rewrites the part between the markers
python tools/settings_reference.py --check    # says whether it is up to date
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, HttpUrl, SecretStr
from pydantic.fields import FieldInfo

from perhop.config import Settings

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
BEGIN = "<!-- settings: begin (tools/settings_reference.py) -->"
END = "<!-- settings: end -->"

_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*): (.*)$")
_SIGNS = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}


def reference() -> str:
    """All tables, in the order of ``Settings``."""
    return "\n".join(_tables(Settings, ""))


def _tables(model: type[BaseModel], path: str) -> Iterator[str]:
    told = _attributes(model)
    plain = {name: field for name, field in model.model_fields.items() if not _tables_of(field) and name != "file"}
    if plain:
        yield f"### `{path}`\n" if path else "### Top of the file\n"
        about = inspect.cleandoc(model.__doc__ or "").split("Attributes:")[0].partition(": ")[2] if path else ""
        if about.strip():
            yield _cell(about)[0].upper() + _cell(about)[1:] + "\n"
        yield "| setting | default | values | meaning |"
        yield "|---|---|---|---|"
        for name, field in plain.items():
            yield f"| `{name}` | {_default(field)} | {_values(field)} | {_cell(told.get(name, ''))} |"
        yield ""
    for name, field in model.model_fields.items():
        inside = path.strip("[]")
        full = f"{inside}.{name}" if inside else name
        container = get_origin(field.annotation)
        heading = {dict: f"[{full}.<name>]", tuple: f"[[{full}]]"}.get(container, f"[{full}]")
        for inner in _tables_of(field):
            yield from _tables(inner, heading)


def _tables_of(annotation: Any) -> list[type[BaseModel]]:
    """The tables a field can hold; none for a plain value."""
    if isinstance(annotation, FieldInfo):
        annotation = annotation.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in get_args(annotation) if each is not annotation for found in _tables_of(each)]


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """What its docstring, and those of what it derives from, say of each attribute."""
    told: dict[str, str] = {}
    for each in reversed(model.__mro__):
        told.update(_attributes_in(inspect.cleandoc(each.__dict__.get("__doc__") or "")))
    return told


def _attributes_in(docstring: str) -> dict[str, str]:
    told: dict[str, str] = {}
    names: list[str] = []
    _, _, section = docstring.partition("Attributes:\n")
    for line in section.splitlines():
        found = _ATTRIBUTE.match(line.removeprefix("    ")) if line.startswith("    ") and line[4:5] != " " else None
        if found:
            names = found[1].split(", ")
            told.update(dict.fromkeys(names, found[2]))
        elif line.strip():
            for name in names:
                told[name] += " " + line.strip()
    return told


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    match value:
        case None | () | [] | {} | "":
            return "–"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple() | list():
            return ", ".join(f"`{each}`" for each in value)
    return f"`{value}`"


def _values(field: FieldInfo) -> str:
    return _cell(_bounded(_type(field.annotation), field.metadata))


def _bounded(text: str, metadata: Sequence[Any]) -> str:
    bounds = [entry for each in metadata for entry in (each.metadata if isinstance(each, FieldInfo) else [each])]
    shown = [
        f"{_SIGNS[type(each)]} {getattr(each, type(each).__name__.lower()):,}"
        for each in bounds
        if type(each) in _SIGNS
    ]
    return " ".join([text, *shown])


def _type(annotation: Any) -> str:
    """A type, for people who write TOML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _bounded(_type(arguments[0]), arguments[1:])
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(each) for each in arguments if each is not type(None)))
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, SecretStr):
        return "secret"
    if "Network" in getattr(annotation, "__name__", ""):
        return "network"
    names = {
        bool: "yes or no",
        int: "whole number",
        float: "number",
        str: "text",
        Path: "path",
        Decimal: "number",
        HttpUrl: "URL",
    }
    return names.get(annotation, getattr(annotation, "__name__", "text"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def page_with(tables: str) -> str:
    """The page with these tables between its markers."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def main() -> int:
    wanted = page_with(reference())
    if PAGE.read_text("utf-8") == wanted:
        return 0
    if "--check" in sys.argv:
        sys.stderr.write(f"{PAGE.name} does not show all settings; run: python tools/settings_reference.py\n")
        return 1
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
