"""An operation of an OpenAPI document is a tool: method, address, parameters and body are read off it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from perhop.tools.base import ToolContext
from perhop.tools.errors import InvalidArgumentsError, ToolDefinitionError
from perhop.tools.kinds.http import HttpTool
from perhop.tools.kinds.openapi import find_operation

CONTEXT = ToolContext(call_id="rtc_1", agent="desk", tenant="acme", function_call_id="call_1")

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://api.example/v2/"}],
    "paths": {
        "/rooms/{room}/bookings": {
            "parameters": [{"$ref": "#/components/parameters/Room"}],
            "post": {
                "operationId": "book",
                "summary": "Books a room.",
                "parameters": [
                    {"name": "dry", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Booking"}}},
                },
            },
            "get": {"operationId": "list", "description": "Lists them.", "parameters": []},
        },
        "/tree": {
            "post": {
                "operationId": "grow",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}},
                },
            },
            "put": {
                "operationId": "plant",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"type": "array", "items": {"type": "integer"}}}},
                },
            },
            "patch": {
                "operationId": "paint",
                "requestBody": {"required": True, "content": {"application/xml": {"schema": {}}}},
            },
            "delete": {"operationId": "fell", "parameters": [{"$ref": "https://evil.example/x.json"}]},
        },
    },
    "components": {
        "parameters": {
            "Room": {
                "name": "room",
                "in": "path",
                "required": True,
                "description": "Its number.",
                "schema": {"type": "integer"},
            }
        },
        "schemas": {
            "Booking": {
                "type": "object",
                "title": "Booking",
                "required": ["guest", "id"],
                "properties": {
                    "id": {"type": "integer", "readOnly": True},
                    "guest": {"$ref": "#/components/schemas/Guest"},
                    "note": {"type": "string", "nullable": True, "example": "x"},
                    "nights": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
                },
            },
            "Guest": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "Tree": {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}},
        },
    },
}


def tool_of(operation_id: str, document: dict[str, Any] = DOCUMENT, **options: Any) -> HttpTool:
    found = find_operation(document, operation_id, **options)
    return HttpTool(
        name=operation_id,
        description=found.description,
        parameters=found.parameters,
        method=found.method,
        url=found.url,
        query=found.query,
        header_arguments=found.header_arguments,
        body=found.body,
        body_type=found.body_type,
    )


def test_parameters_and_members_of_the_body_become_the_tools_parameters() -> None:
    tool = tool_of("book")
    assert (tool.method, tool.description) == ("POST", "Books a room.")
    properties = tool.parameters["properties"]
    assert list(properties) == ["room", "dry", "X-Trace", "guest", "note", "nights"]
    assert properties["room"] == {"type": "integer", "description": "Its number."}
    assert properties["note"] == {"type": ["string", "null"]}
    assert properties["nights"] == {"type": "integer", "exclusiveMinimum": 0}
    assert tool.parameters["required"] == ["room", "guest"]


def test_each_argument_goes_where_the_operation_says() -> None:
    tool = tool_of("book")
    arguments = {"room": 7, "dry": True, "X-Trace": "abc", "guest": {"name": "Ann"}, "note": None}
    request = tool.prepare(tool.validate(arguments), CONTEXT)
    assert request.url == "https://api.example/v2/rooms/7/bookings?dry=true"
    assert request.headers["X-Trace"] == "abc"
    assert json.loads(request.content or b"") == {"guest": {"name": "Ann"}, "note": None}


def test_a_body_that_is_no_object_is_one_parameter() -> None:
    tool = tool_of("plant")
    assert tool.prepare(tool.validate({"body": [1, 2]}), CONTEXT).content == b"[1,2]"
    with pytest.raises(InvalidArgumentsError):
        tool.validate({"body": ["x"]})


def test_the_address_can_be_given() -> None:
    assert tool_of("list", base="http://crm.internal:8080/api").url.startswith("http://crm.internal:8080/api/rooms/")


@pytest.mark.parametrize(
    ("operation_id", "says"),
    [
        ("nothing", "there are: list, book, grow, plant"),
        ("grow", "contains itself"),
        ("paint", "neither JSON nor a form"),
        ("fell", "leads out of the document"),
    ],
)
def test_what_a_tool_cannot_do_is_told(operation_id: str, says: str) -> None:
    with pytest.raises(ToolDefinitionError, match=says):
        tool_of(operation_id)


@pytest.mark.parametrize("url", ["/v2", "https://{region}.api.example", ""])
def test_a_server_without_a_fixed_address_needs_one(url: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["servers"] = [{"url": url}]
    with pytest.raises(ToolDefinitionError, match="give url as well"):
        tool_of("list", document)


def test_a_place_in_the_path_that_nothing_fills_is_told() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["paths"]["/rooms/{room}/bookings"]["parameters"] = []
    with pytest.raises(ToolDefinitionError, match="'room' that no parameter fills"):
        tool_of("list", document)


def test_references_in_a_circle_are_told() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["components"]["parameters"]["Room"] = {"$ref": "#/components/parameters/Room"}
    with pytest.raises(ToolDefinitionError, match="in a circle"):
        tool_of("book", document)
