"""The arguments of a function call as the model wrote them: JSON text from outside, read with suspicion."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NoReturn

from perhop.tools.base import JsonObject
from perhop.tools.errors import InvalidArgumentsError, Problem

__all__ = ["MAX_BYTES", "MAX_DEPTH", "parse_arguments"]

MAX_BYTES = 65_536
"""Of the text in UTF-8."""

MAX_DEPTH = 16
"""Of objects and lists inside each other, the outermost included."""

_INT64 = 1 << 63


def parse_arguments(text: str) -> JsonObject:
    """Reads one JSON object; nothing at all counts as ``{}``, which is how some models call without arguments.

    Stricter than JSON where readers disagree: a name may come only once, ``NaN`` and infinities are refused, numbers
    must fit 64 bits, and no text may hold the character NUL, which databases and C libraries take for its end. A number
    without a fraction is an ``int`` however it is written, as JSON Schema has it.

    Raises:
        InvalidArgumentsError: the text is too long, too deep, no JSON or no object.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        _refuse(f"more than {MAX_BYTES} bytes")
    if not text.strip():
        return {}
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        _refuse(f"not JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        _refuse(f"nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        _refuse("not a JSON object")
    if _deeper(value, MAX_DEPTH):
        _refuse(f"nested deeper than {MAX_DEPTH} levels")
    if "\\u0000" in text:  # JSON has no other way to write it
        _refuse_nul(value, ())
    return value


def _refuse(message: str) -> NoReturn:
    raise InvalidArgumentsError([Problem("", f"arguments: {message}")])


def _object(pairs: Sequence[tuple[str, object]]) -> JsonObject:
    found: JsonObject = {}
    for name, value in pairs:
        if name in found:
            raise InvalidArgumentsError([Problem(name, "is given twice")])
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is not a number in JSON")


def _float(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        _refuse("a number is too large")
    return int(value) if value.is_integer() and abs(value) < _INT64 else value


def _int(text: str) -> int:
    # Counting digits first keeps the conversion of a very long number from taking its quadratic time.
    value = int(text) if len(text) <= 20 else _INT64
    if not -_INT64 <= value < _INT64:
        _refuse("a number is too large")
    return value


def _refuse_nul(value: object, path: tuple[str, ...]) -> None:
    if isinstance(value, str) and "\0" in value:
        raise InvalidArgumentsError([Problem(".".join(path), "holds the character NUL, which no text may")])
    if isinstance(value, dict):
        for name, part in value.items():
            if "\0" in name:
                raise InvalidArgumentsError([Problem(".".join(path), "a name in it holds the character NUL")])
            _refuse_nul(part, (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            _refuse_nul(part, (*path, str(number)))


def _deeper(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        return depth == 0 or any(_deeper(part, depth - 1) for part in value.values())
    if isinstance(value, list):
        return depth == 0 or any(_deeper(part, depth - 1) for part in value)
    return False
