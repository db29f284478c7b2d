"""One operation of an OpenAPI document (3.0 or 3.1, JSON) as a tool over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from perhop.tools.base import JsonObject
from perhop.tools.errors import ToolDefinitionError
from perhop.tools.kinds.http import BodyType, HttpMethod

__all__ = ["Operation", "find_operation"]

_METHODS = ("get", "head", "post", "put", "patch", "delete")
_BODIES: Mapping[str, BodyType] = {"application/json": "json", "application/x-www-form-urlencoded": "form"}
_MAX_DEPTH = 24
_PLACE = re.compile(r"\{([^{}]+)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What an operation says, in the terms of :class:`~perhop.tools.kinds.http.HttpTool`."""

    method: HttpMethod
    url: str
    description: str
    parameters: JsonObject
    query: Mapping[str, str]
    header_arguments: Mapping[str, str]
    body: Any
    body_type: BodyType


def find_operation(document: Mapping[str, Any], operation_id: str, *, base: str | None = None) -> Operation:
    """Reads one operation.

    Its parameters and the members of its body become the tool's parameters; where a member's name is taken already, and
    where the body is no object, it becomes one parameter ``body``. References that leave the document are refused.

    Args:
        base: where the server is, with the path that all of its operations share; the document's first server when
            None.

    Raises:
        ToolDefinitionError: there is no such operation, or it needs what a tool cannot do.
    """
    what = f"operation {operation_id!r}"
    path, method, shared, operation = _find(document, operation_id)
    reader = _Reader(document, what)
    properties: dict[str, Any] = {}
    required: list[str] = []
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    for given in _merged(reader, [*shared, *operation.get("parameters", [])]):
        name, where = given["name"], given["in"]
        needed = bool(given.get("required"))
        if where == "cookie" or not _NAME.fullmatch(name):
            if needed:
                raise ToolDefinitionError(f"{what}: its {where} parameter {name[:80]!r} cannot be filled by a model")
            continue
        schema = reader.schema(given.get("schema", {}))
        properties[name] = {**schema, **({"description": given["description"]} if given.get("description") else {})}
        if needed:
            required.append(name)
        if where == "query":
            query[name] = f"{{{name}}}"
        elif where == "header":
            headers[name] = f"{{{name}}}"
    body, body_type = _body(reader, operation, properties, required, what)
    for place in _PLACE.findall(path):
        if place not in properties:
            raise ToolDefinitionError(f"{what}: its path has a place {place[:80]!r} that no parameter fills")
    summary = operation.get("description") or operation.get("summary") or operation_id
    return Operation(
        method=method,
        url=_address(document, base, what) + path,
        description=str(summary).strip(),
        parameters={
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            "additionalProperties": False,
        },
        query=query,
        header_arguments=headers,
        body=body,
        body_type=body_type,
    )


def _find(document: Mapping[str, Any], operation_id: str) -> tuple[str, HttpMethod, list[Any], Mapping[str, Any]]:
    known = []
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            operation = item.get(method) if isinstance(item, Mapping) else None
            if isinstance(operation, Mapping):
                if operation.get("operationId") == operation_id:
                    return path, cast("HttpMethod", method.upper()), item.get("parameters", []), operation
                known.append(str(operation.get("operationId")))
    raise ToolDefinitionError(f"no operation {operation_id!r} in the document; there are: {', '.join(known[:50])}")


def _address(document: Mapping[str, Any], base: str | None, what: str) -> str:
    servers = document.get("servers") or [{}]
    given = str(servers[0].get("url", "")) if isinstance(servers[0], Mapping) else ""
    address = base or given
    if not address.startswith(("http://", "https://")) or "{" in address:
        raise ToolDefinitionError(f"{what}: the document names no server with a fixed address; give url as well")
    return address.rstrip("/")


def _merged(reader: _Reader, parameters: list[Any]) -> Iterator[Mapping[str, Any]]:
    """Parameters of the operation go before those of its path."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for given in parameters:
        parameter = reader.resolved(given)
        found[str(parameter.get("name")), str(parameter.get("in"))] = parameter
    yield from found.values()


def _body(
    reader: _Reader, operation: Mapping[str, Any], properties: dict[str, Any], required: list[str], what: str
) -> tuple[Any, BodyType]:
    """Adds the members of the body to the parameters; returns the body's template."""
    if "requestBody" not in operation:
        return None, "json"
    request = reader.resolved(operation["requestBody"])
    content = request.get("content", {})
    media = next((media for media in _BODIES if media in content), None)
    if media is None:
        if request.get("required"):
            raise ToolDefinitionError(f"{what}: its body is neither JSON nor a form")
        return None, "json"
    schema = reader.schema(content[media].get("schema", {}))
    members = schema.get("properties", {})
    plain = all(_NAME.fullmatch(name) for name in members)
    if schema.get("type") == "object" and members and plain and not set(members) & set(properties):
        properties.update(members)
        if request.get("required"):
            required += schema.get("required", [])
        return {name: f"{{{name}}}" for name in members}, _BODIES[media]
    if "body" in properties:
        raise ToolDefinitionError(f"{what}: it has a parameter named 'body' and a body")
    properties["body"] = schema
    if request.get("required"):
        required.append("body")
    return "{body}", _BODIES[media]


class _Reader:
    """Resolves references of one document and brings its schemas to JSON Schema."""

    def __init__(self, document: Mapping[str, Any], what: str) -> None:
        self._document = document
        self._what = what

    def resolved(self, part: Any, depth: int = 0) -> Mapping[str, Any]:
        """What a reference refers to; anything else as it is."""
        if not isinstance(part, Mapping):
            raise ToolDefinitionError(f"{self._what}: the document is not well-formed")
        reference = part.get("$ref")
        if reference is None:
            return part
        if not isinstance(reference, str) or not reference.startswith("#/") or depth > _MAX_DEPTH:
            raise ToolDefinitionError(f"{self._what}: a reference leads out of the document or in a circle")
        found: Any = self._document
        for step in reference[2:].split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return self.resolved(found, depth + 1)

    def schema(self, part: Any, depth: int = 0) -> JsonObject:
        """A schema without references, and with the null of OpenAPI 3.0 written as JSON Schema writes it."""
        if depth > _MAX_DEPTH:
            raise ToolDefinitionError(f"{self._what}: a schema contains itself, which a model cannot be shown")
        if part is True or part is False:
            return {} if part else {"not": {}}
        schema = dict(self.resolved(part))
        for name in ("xml", "externalDocs", "example", "examples", "discriminator", "title", "readOnly", "writeOnly"):
            schema.pop(name, None)
        nullable = schema.pop("nullable", False) is True
        for name in ("items", "additionalProperties", "not"):
            if isinstance(schema.get(name), Mapping):
                schema[name] = self.schema(schema[name], depth + 1)
        for name in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(name), list):
                schema[name] = [self.schema(one, depth + 1) for one in schema[name]]
        if isinstance(schema.get("properties"), Mapping):
            schema["properties"] = {
                name: self.schema(one, depth + 1) for name, one in schema["properties"].items() if not _read_only(one)
            }
            if isinstance(schema.get("required"), list):
                schema["required"] = [name for name in schema["required"] if name in schema["properties"]]
        for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive):
                schema[exclusive] = schema.pop(limit, None)
        if nullable and isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
            if isinstance(schema.get("enum"), list):
                schema["enum"] = [*schema["enum"], None]
        return schema


def _read_only(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("readOnly") is True
