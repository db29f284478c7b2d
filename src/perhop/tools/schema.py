"""From a function's signature to the JSON Schema a model sees, and to the check its arguments must pass."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, get_type_hints

from pydantic import (
    ConfigDict,
    GetJsonSchemaHandler,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, PydanticSerializationError, to_jsonable_python
from typing_extensions import TypedDict

from perhop.tools.base import JsonObject, ToolContext
from perhop.tools.docstring import Docstring
from perhop.tools.errors import InvalidArgumentsError, Problem, ToolDefinitionError
from perhop.tools.jsonschema import inlined, without_noise
from perhop.tools.values import json_only

__all__ = ["Parameters", "Slot"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # by identity: unions must hash what is in Annotated
class Slot:
    """What the built-in dialogue should know about a parameter; put it into ``Annotated[…, Slot(…)]``.

    Attributes:
        prompt: the question that asks for it (``"For which day?"``).
        say: how its value is read back.
        values: known values of an open vocabulary, such as city names; others are still accepted. A mapping also says
            how each is spoken: ``{"SFO": ["San Francisco", "the city"]}``; of a number, those that have a name
            besides: ``{0: ["studio"]}``.
        pronounce: CMU phones of words no dictionary has (``{"Alviso": ["AE L V IY S OW"]}``), several for variants.
        data: what kind of personal data it is, where that needs more care than any other.
    """

    prompt: str | None = None
    say: str | None = None
    values: Sequence[str] | Mapping[str, Sequence[str]] | Mapping[int, Sequence[str]] = ()
    pronounce: Mapping[str, Sequence[str]] = field(default_factory=dict)
    data: Literal["health"] | None = None

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Adds the ``x-…`` keys to the parameter's schema (a hook of pydantic)."""
        schema = dict(handler(core_schema))
        if self.prompt:
            schema["x-prompt"] = self.prompt
        if self.say:
            schema["x-say"] = self.say
        if self.values:
            spoken = self.values
            schema["x-values"] = (
                {str(value): list(words) for value, words in spoken.items()}
                if isinstance(spoken, Mapping)
                else list(spoken)
            )
        if self.pronounce:
            schema["x-pronounce"] = {word: list(phones) for word, phones in self.pronounce.items()}
        if self.data:
            schema["x-data"] = self.data
        return schema


class Parameters:
    """The parameters of one function.

    Values are taken as strictly as JSON writes them: ``"3"`` is no number, ``1`` is no bool, dates, times and
    date-times are ISO 8601 strings. Arguments that no parameter takes are refused.

    Args:
        function: with a type hint on every parameter; one of them may be a :class:`ToolContext`, or what a worker makes
            of it.
        docs: its docstring, for the descriptions.

    Attributes:
        schema: JSON Schema (draft 2020-12), an object with ``additionalProperties: false``.
        context: name of the parameter that takes the :class:`ToolContext`, if any.

    Raises:
        ToolDefinitionError: a parameter has no hint, or one that JSON cannot express.
    """

    def __init__(self, function: Callable[..., object], docs: Docstring) -> None:
        self._name = getattr(function, "__qualname__", repr(function))
        signature = inspect.signature(function)
        hints = self._hints(function)
        self.context: str | None = None
        fields: dict[str, object] = {}
        defaults: dict[str, object] = {}
        for name, parameter in signature.parameters.items():
            hint = self._hint_of(parameter, hints)
            if isinstance(hint, type) and issubclass(hint, ToolContext):
                if self.context is not None:
                    raise self._wrong("only one parameter can take the ToolContext")
                self.context = name
                continue
            hint = json_only(hint)
            if parameter.default is inspect.Parameter.empty:
                fields[name] = hint
            else:
                fields[name] = NotRequired[hint]
                defaults[name] = parameter.default
        self._check_docs(docs, signature)
        self._adapter = self._build_adapter(fields)
        self.schema = self._build_schema(docs, defaults)

    def validate(self, arguments: JsonObject) -> JsonObject:
        """The arguments as the function takes them, by parameter name; left-out ones stay left out.

        Raises:
            InvalidArgumentsError: saying which are wrong, and how.
        """
        try:
            text = json.dumps(arguments, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise InvalidArgumentsError([Problem("", "not expressible as JSON")]) from None
        try:
            return self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            raise InvalidArgumentsError([self._problem(detail) for detail in details]) from None

    def _problem(self, detail: ErrorDetails) -> Problem:
        path = ".".join(str(part) for part in detail["loc"])
        match detail["type"]:
            case "missing":
                message = "is required"
            case "extra_forbidden":
                known = ", ".join(self.schema["properties"]) or "none"
                message = f"is not a parameter of this tool; its parameters: {known}"
            case _:
                message = detail["msg"].removeprefix("Value error, ")
        return Problem(path, message)

    def _hints(self, function: Callable[..., object]) -> dict[str, Any]:
        try:
            return get_type_hints(function, include_extras=True)
        except NameError as error:
            raise self._wrong(
                f"type hint not known: {error}; define or import it in the module, at run time"
            ) from error
        except (TypeError, AttributeError, SyntaxError) as error:
            raise self._wrong(f"its type hints cannot be read: {error}") from error

    def _hint_of(self, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
        if parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.VAR_KEYWORD:
            raise self._wrong(f"parameter {parameter} cannot be described to a model; name each parameter")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise self._wrong(f"parameter {parameter.name!r} is positional-only; models pass arguments by name")
        if parameter.name not in hints:
            raise self._wrong(f"parameter {parameter.name!r} needs a type hint")
        if isinstance(parameter.default, FieldInfo):
            raise self._wrong(f"parameter {parameter.name!r}: write Annotated[…, Field(…)] and a plain default")
        return hints[parameter.name]

    def _check_docs(self, docs: Docstring, signature: inspect.Signature) -> None:
        for name in docs.parameters:
            if name not in signature.parameters:
                raise self._wrong(f"its docstring describes {name!r}, which is not a parameter")

    def _build_adapter(self, fields: dict[str, object]) -> TypeAdapter[JsonObject]:
        make: Callable[[str, dict[str, object]], Any] = TypedDict  # type: ignore[assignment]
        arguments = make("Arguments", fields)
        arguments.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)
        try:
            return TypeAdapter(arguments)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise self._wrong(f"a type hint cannot be checked: {str(error).splitlines()[0]}") from error

    def _build_schema(self, docs: Docstring, defaults: Mapping[str, object]) -> JsonObject:
        try:
            schema = inlined(without_noise(self._adapter.json_schema()))
        except PydanticInvalidForJsonSchema as error:
            raise self._wrong(f"a type hint has no JSON Schema: {str(error).splitlines()[0]}") from error
        properties: dict[str, JsonObject] = schema.get("properties", {})
        for name, prop in properties.items():
            if name in docs.parameters:
                prop["description"] = docs.parameters[name]
            if name in defaults:
                properties[name] = _with_default(prop, defaults[name])
        required = {"required": schema["required"]} if schema.get("required") else {}
        rest = {"$defs": schema["$defs"]} if "$defs" in schema else {}
        return {"type": "object", "properties": properties, **required, "additionalProperties": False, **rest}

    def _wrong(self, problem: str) -> ToolDefinitionError:
        return ToolDefinitionError(f"tool function {self._name}: {problem}")


def _with_default(schema: JsonObject, default: object) -> JsonObject:
    if default is None:
        # "May be null" and "may be left out" would say the same thing twice; small models stumble over the former.
        return _without_null(schema)
    try:
        return {**schema, "default": to_jsonable_python(default)}
    except PydanticSerializationError:
        return schema


def _without_null(schema: JsonObject) -> JsonObject:
    options = schema.get("anyOf")
    if not options or {"type": "null"} not in options:
        return schema
    left = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**left[0], **rest} if len(left) == 1 else {"anyOf": left, **rest}
