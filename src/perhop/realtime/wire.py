"""JSON objects of the wire: the common model, bounded decoding, and validation errors in the protocol's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, AnyStr, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticUseDefault

from perhop.realtime.errors import ProtocolError

__all__ = [
    "MAX_DEPTH",
    "MAX_VALUES",
    "JsonObject",
    "NullIsDefault",
    "WireModel",
    "clipped",
    "decode_object",
    "protocol_error",
]

MAX_DEPTH = 64
"""Nesting a frame may have. Nothing in the protocol needs ten; JSON schemas of tools may need a few more."""

MAX_VALUES = 20_000
"""Values (keys and list entries) a frame may hold, which bounds what parsing and complaining about it can cost."""

_CLIP = 64

_JUDGED = 64
"""Complaints about one object that are looked at; a large frame may give rise to thousands."""

_MAX_STRUCTURE = 500_000
"""Commas and brackets a frame may hold. Prose has commas too, so this is far above :data:`MAX_VALUES`."""

_SPARSE = 16

_CONTAINERS = frozenset({dict, list})

JsonObject = dict[str, Any]
"""A JSON object as decoded; used only where the content is nobody's business but the peer's."""


class WireModel(BaseModel):
    """One JSON object: immutable, keeps fields it does not know, and writes exactly what was set.

    "Set" is what tells an explicit ``null`` from an absent key. ``type`` always counts as set.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    def model_post_init(self, _context: object, /) -> None:
        self.__pydantic_fields_set__.add("type")

    def to_dict(self) -> JsonObject:
        """The object as plain JSON values, unset fields left out."""
        return self.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> bytes:
        """The object as UTF-8 JSON, unset fields left out."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)

    @classmethod
    def parse(cls, obj: object, *, strict: bool, at: str = "") -> Self:
        """Validates a decoded JSON object.

        Args:
            strict: refuse unknown fields and coerce nothing (a client's event); else keep what is unknown.
            at: where the object stands in the event, for the error's ``param``.

        Raises:
            ProtocolError: naming the first offending field.
        """
        try:
            return cls.model_validate(obj, strict=strict, extra="forbid" if strict else None)
        except ValidationError as error:
            raise protocol_error(error, obj, at=at) from None


def _default_for_null(value: object) -> object:
    if value is None:
        raise PydanticUseDefault
    return value


NullIsDefault = BeforeValidator(_default_for_null)
"""``Annotated[T, NullIsDefault]``: an explicit null sets the field back to its default."""


# -- decoding ---------------------------------------------------------------------------------------------------------


def decode_object(data: bytes | str) -> JsonObject:
    """One JSON object from one frame, in time and memory linear in its size.

    Raises:
        ProtocolError: ``invalid_json`` for anything that is not UTF-8 JSON (RFC 8259: no NaN, no lone surrogates),
            nests deeper than :data:`MAX_DEPTH` or holds more than :data:`MAX_VALUES` values; ``invalid_event`` for
            JSON that is not an object.
    """
    # Refused before a tree many times its size is built. A frame that is shorter cannot hold as many.
    if len(data) > _MAX_STRUCTURE and _structural_characters(data) > _MAX_STRUCTURE:
        raise ProtocolError("invalid_json", f"The frame holds more than {MAX_VALUES} values.")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtocolError("invalid_json", f"The frame is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ProtocolError("invalid_event", "An event must be a JSON object.")
    if len(value) > _SPARSE or not _CONTAINERS.isdisjoint(map(type, value.values())):  # not so an append of audio
        _check_shape(value)
    return value


def _structural_characters(data: bytes | str) -> int:
    """At least as many as the frame has values."""
    if isinstance(data, str):
        return sum(_occurrences(data, mark) for mark in "{[,")
    return sum(_occurrences(data, mark) for mark in (b"{", b"[", b","))


def _occurrences(data: AnyStr, mark: AnyStr) -> int:
    """``find`` runs over audio, which has none, far faster than ``count``, and ``count`` over frames that have many."""
    at = -1
    for found in range(_SPARSE):
        at = data.find(mark, at + 1)
        if at < 0:
            return found
    return _SPARSE + data.count(mark, at + 1)


def _check_shape(obj: JsonObject) -> None:
    """Breadth first, so that neither depth nor width costs more than its limit."""
    level: list[Any] = [obj]
    values = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            children = node.values() if type(node) is dict else node
            values += len(children)
            if values > MAX_VALUES:
                raise ProtocolError(
                    "invalid_json", f"The frame holds more than {MAX_VALUES} values.", event_id=_event_id(obj)
                )
            below += [child for child in children if type(child) in _CONTAINERS]
        if not below:
            return
        level = below
    raise ProtocolError("invalid_json", f"The frame nests deeper than {MAX_DEPTH} levels.", event_id=_event_id(obj))


def _event_id(obj: JsonObject) -> str | None:
    value = obj.get("event_id")
    return value if isinstance(value, str) else None


# -- errors -----------------------------------------------------------------------------------------------------------


def protocol_error(error: ValidationError, obj: object, *, at: str = "") -> ProtocolError:
    """The first thing wrong in ``obj``, which the validation refused with ``error``."""
    found = [_judge(details, obj, at) for details in error.errors(include_url=False)[:_JUDGED]]
    first = found[0]
    # A union reports one error per branch; what is right in type but wrong in value says more than the other branches.
    better = (other for other in found if other.param == first.param and other.code == "invalid_value")
    return next(better, first)


def _judge(details: ErrorDetails, obj: object, at: str) -> ProtocolError:
    kind = details["type"]
    keys, value = _locate(details["loc"], obj, missing=kind == "missing")
    if kind == "union_tag_not_found" and isinstance(value, dict):
        kind = "unknown_tag" if "type" in value else "missing"
        keys, value = [*keys, "type"], value.get("type")
    param = _path(at, keys)
    if kind == "extra_forbidden":
        return ProtocolError("unknown_parameter", f"Unknown parameter: '{param}'.", param)
    if kind == "missing":
        return ProtocolError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
    if kind == "unknown_tag" and isinstance(value, str):
        return ProtocolError(
            "invalid_value", f"Invalid value for '{param}': '{clipped(value)}' is not known here.", param
        )
    if kind in {"union_tag_not_found", "unknown_tag"}:
        expected = "a string" if kind == "unknown_tag" else "an object"
        return ProtocolError("invalid_type", f"Invalid type for '{param}': it should be {expected}.", param)
    if _is_type_error(kind, value):
        return ProtocolError("invalid_type", f"Invalid type for '{param}': {_sentence(details)}", param)
    return ProtocolError("invalid_value", f"Invalid value for '{param}': {_sentence(details)}", param)


def _is_type_error(kind: str, value: object) -> bool:
    if kind == "literal_error":  # a wrong word is a wrong value, a number where a word belongs is a wrong type
        return not isinstance(value, str)
    return kind.endswith("_type")


def _sentence(details: ErrorDetails) -> str:
    text = details["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
    return text[:1].lower() + text[1:].rstrip(".") + "."


def clipped(value: str) -> str:
    """A peer's text as an error may repeat it."""
    return value if len(value) <= _CLIP else value[:_CLIP] + "…"


def _locate(loc: Sequence[int | str], obj: object, *, missing: bool) -> tuple[list[int | str], object]:
    """Follows a validator's location into the object itself; what names union branches instead of keys is skipped.

    Returns:
        The keys and the value they lead to.
    """
    keys: list[int | str] = []
    value = obj
    for position, step in enumerate(loc, 1):
        if isinstance(value, dict) and isinstance(step, str):
            if step in value or (missing and position == len(loc)):
                keys.append(step)
                value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            keys.append(step)
            value = value[step]
    return keys, value


def _path(at: str, keys: Sequence[int | str]) -> str:
    path = at
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        else:
            path = f"{path}.{clipped(key)}" if path else clipped(key)
    return path
