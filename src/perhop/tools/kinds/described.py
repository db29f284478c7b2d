"""Tools that are described by a JSON Schema instead of a function's signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jsonschema_rs
import orjson

from perhop.tools.base import JsonObject, Tool
from perhop.tools.errors import InvalidArgumentsError, Problem, ToolDefinitionError

__all__ = ["DescribedTool", "SchemaCheck"]

_VALUE = "the value"


class SchemaCheck:
    """Checks arguments against a JSON Schema (draft 2020-12), formats included.

    References out of the schema are refused rather than fetched, and patterns run in linear time, so that a schema from
    somebody else's server can do no harm.

    Args:
        schema: of the arguments as a whole.
        what: the tool, for messages.

    Raises:
        ToolDefinitionError: it is no valid schema of an object.
    """

    def __init__(self, schema: Mapping[str, Any], *, what: str) -> None:
        if schema.get("type") != "object":
            raise ToolDefinitionError(f'{what}: parameters must be a schema of "type": "object"')
        properties = schema.get("properties", {})
        self._known = ", ".join(properties) if isinstance(properties, Mapping) else ""
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                _without_stricter_formats(dict(schema)),
                validate_formats=True,
                offline=True,
                # Messages go to the model and must not repeat what a caller said.
                mask=_VALUE,
                pattern_options=jsonschema_rs.RegexOptions(),
            )
        except ValueError as error:
            reason = str(error).splitlines()[0][:200]
            raise ToolDefinitionError(f"{what}: parameters are no valid JSON Schema: {reason}") from None

    def check(self, arguments: JsonObject) -> None:
        """Raises InvalidArgumentsError: saying which are wrong, and how."""
        try:
            orjson.dumps(arguments)  # refuses halves of characters, which the validator overlooks
            problems = [self._problem(error) for error in self._validator.iter_errors(arguments)]
        except (ValueError, TypeError, OverflowError):
            raise InvalidArgumentsError([Problem("", "not expressible as JSON")]) from None
        if problems:
            raise InvalidArgumentsError(problems)

    def _problem(self, error: jsonschema_rs.ValidationError) -> Problem:
        path = [str(part) for part in error.instance_path]
        kind = error.kind
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
            return Problem(".".join([*path, str(kind.property)]), "is required")
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
            where = f"; its parameters: {self._known or 'none'}" if not path else ""
            return Problem(".".join([*path, *kind.unexpected[:1]]), f"is not a parameter of this tool{where}")
        return Problem(".".join(path), error.message.replace(_VALUE, "it", 1))


def _without_stricter_formats(schema: Any) -> Any:
    """The schema as our own tools mean it: RFC 3339 wants a time zone in every time, a time to meet at has none. Where
    a pattern says how times are written, it says all there is to check."""
    if isinstance(schema, Mapping):
        written = isinstance(schema.get("pattern"), str) and schema.get("format") in ("time", "date-time")
        return {
            key: _without_stricter_formats(value) for key, value in schema.items() if not (written and key == "format")
        }
    return [_without_stricter_formats(one) for one in schema] if isinstance(schema, list) else schema


@dataclass(frozen=True, kw_only=True, eq=False)
class DescribedTool(Tool):
    """A tool whose arguments are checked against its ``parameters`` alone. What those leave open is closed: arguments
    that no property describes are refused unless the schema itself allows them."""

    kind: ClassVar[str] = "described"

    checks: SchemaCheck = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        given: JsonObject = {"type": "object", "properties": {}, **self.parameters}
        given.setdefault("additionalProperties", False)
        name = self.name.replace("_", " ").replace("-", " ").strip()
        title = self.title or name
        # Whoever reads the schema can make more of a tool without a title than its name.
        given = {**({"x-title": title} if title != name else {}), "x-effect": self.effect, **given}
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "parameters", given)
        object.__setattr__(self, "checks", SchemaCheck(given, what=f"tool {self.name}"))

    def validate(self, arguments: JsonObject) -> JsonObject:
        self.checks.check(arguments)
        return arguments
