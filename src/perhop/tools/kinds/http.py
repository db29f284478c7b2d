"""HTTP endpoints as tools."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import unquote, urlencode

import orjson
from pydantic import SecretStr

from perhop.tools.base import JsonObject, ToolContext
from perhop.tools.errors import InvalidArgumentsError, Problem, ToolDefinitionError, ToolError, ToolUnavailableError
from perhop.tools.kinds.answers import outcome_of
from perhop.tools.kinds.described import DescribedTool
from perhop.tools.kinds.template import JsonTemplate, Template, as_text, for_header, for_path
from perhop.tools.services import ToolServices
from perhop.tools.wire import KEY_HEADER

__all__ = ["BodyType", "HttpMethod", "HttpTool", "Prepared"]

HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
BodyType = Literal["json", "form"]

_BASE = re.compile(r"(https?)://(?:\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?=/|$)", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_BODYLESS = ("GET", "HEAD", "DELETE")
_OURS = ("host", "content-length", "transfer-encoding", "connection", "content-type", KEY_HEADER.lower())
_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_SAME_REQUEST = (307, 308)
"""Redirects that ask for the same request elsewhere; every other one answers it and leads to a page."""

MAX_URL = 8_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class HttpTool(DescribedTool):
    """One endpoint. Arguments that the URL, the query, the headers and the body name go there; those that nothing names
    go into the query where a method has no body, else into the body as they are.

    Attributes:
        url: http(s), with ``{name}`` in its path only; host and scheme are fixed.
        query: texts by name of the parameter. One that is a single place takes lists too, and is left out when its
            argument is.
        headers: fixed ones, credentials among them.
        header_arguments: texts by name of the header.
        body: a structure of texts; None takes what is left over.
        body_type: how the body is written.
    """

    kind: ClassVar[str] = "http"

    method: HttpMethod
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    header_arguments: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    body_type: BodyType = "json"
    _plan: _Plan = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_plan", _Plan(self))

    def validate(self, arguments: JsonObject) -> JsonObject:
        values = super().validate(arguments)
        self._plan.prepare(values)  # a value that has no place in a URL or a header is wrong too
        return values

    def prepare(self, values: JsonObject, context: ToolContext) -> Prepared:
        """The request for validated arguments.

        Raises:
            InvalidArgumentsError: a value cannot stand where it belongs.
        """
        url, headers, content = self._plan.prepare(values)
        fixed = {name: secret.get_secret_value() for name, secret in self.headers.items()}
        key = {KEY_HEADER: context.idempotency_key} if self.effect == "once" else {}
        return Prepared(self.method, url, {"accept": "application/json", **headers, **fixed, **key}, content)

    async def execute(self, values: JsonObject, context: ToolContext, *, services: ToolServices) -> object:
        from perhop.tools.guard.errors import OutgoingError

        if services.guard is None:
            raise ToolUnavailableError("Requests over HTTP are not possible here.", sent=False)
        request = self.prepare(values, context)
        try:
            response = await services.guard.request(
                request.method, request.url, headers=request.headers, content=request.content
            )
        except OutgoingError as error:
            raise ToolUnavailableError(f"{self.name} could not be asked: {error}", sent=error.sent) from None
        try:
            return outcome_of(self.name, response.status_code, response.headers, response.content)
        except (ToolError, ToolUnavailableError) as error:
            if self.effect == "none" or all(hop.status_code in _SAME_REQUEST for hop in response.history):
                raise
            # The request itself was taken; what answers here is a page it led to, which cannot say what became of it.
            raise ToolUnavailableError(str(error)) from None


class _Plan:
    """Where each argument of a tool goes; made once."""

    def __init__(self, tool: HttpTool) -> None:
        what = f"tool {tool.name}"
        known = list(tool.parameters["properties"])
        base = _BASE.match(tool.url)
        if base is None:
            raise ToolDefinitionError(f"{what}: url must begin with http:// or https:// and a fixed host")
        if "?" in tool.url or "#" in tool.url:
            raise ToolDefinitionError(f"{what}: url must be without ? and #; what follows ? belongs into query")
        self._base = base[0]
        segments = tool.url[base.end() :].split("/")
        self._segments = [Template(segment, known=known, what=f"{what}: url") for segment in segments]
        self._query = {
            name: Template(text, known=known, what=f"{what}: query.{name}") for name, text in tool.query.items()
        }
        self._headers = {
            name: Template(text, known=known, what=f"{what}: header_arguments.{name}")
            for name, text in tool.header_arguments.items()
        }
        self._check_headers(tool, what)
        in_path = [name for segment in self._segments for name in segment.names]
        required = tool.parameters.get("required", [])
        for name in in_path:
            if name not in required:
                raise ToolDefinitionError(f"{what}: {name!r} stands in the url, so it has to be required")
        self._body = None if tool.body is None else JsonTemplate(tool.body, known=known, what=f"{what}: body")
        used = {
            *in_path,
            *(name for template in [*self._query.values(), *self._headers.values()] for name in template.names),
            *(self._body.names if self._body is not None else ()),
        }
        self._rest = [name for name in known if name not in used]
        self._bodyless = tool.method in _BODYLESS
        self._body_type = tool.body_type
        if self._body is not None and self._bodyless:
            raise ToolDefinitionError(f"{what}: a {tool.method} has no body")
        if self._body is not None and self._rest:
            raise ToolDefinitionError(f"{what}: nothing says where {', '.join(self._rest)} should go")

    def prepare(self, values: JsonObject) -> tuple[str, dict[str, str], bytes | None]:
        """URL, headers and body for these arguments. Raises InvalidArgumentsError."""
        rest = {name: values[name] for name in self._rest if name in values}
        # What a schema with additionalProperties lets in has no place of its own either.
        url = self._base + "/".join(self._segment(segment, values) for segment in self._segments)
        pairs = [pair for name, text in self._query.items() for pair in _query_pairs(name, text, values)]
        headers = {name: text.fill(values, for_header) for name, text in self._headers.items()}
        content = None
        if self._bodyless:
            pairs += [pair for name, value in rest.items() for pair in _pairs(name, name, value)]
        elif self._body is not None or rest:
            content = self._encoded(self._body.fill(values) if self._body is not None else rest)
            headers["content-type"] = _TYPES[self._body_type]
        if pairs:
            url += "?" + _urlencoded(pairs)
        if len(url) > MAX_URL:
            raise InvalidArgumentsError([Problem("", "the arguments are too long for an address")])
        return url, headers, content

    @staticmethod
    def _segment(template: Template, values: JsonObject) -> str:
        filled = template.fill(values, for_path)
        if template.names and unquote(filled) in ("", ".", ".."):
            raise InvalidArgumentsError([Problem(template.names[0], "must not be empty or dots alone")])
        return filled

    def _encoded(self, body: Any) -> bytes:
        try:
            if self._body_type == "json":
                return orjson.dumps(body)
            if not isinstance(body, Mapping):
                raise InvalidArgumentsError([Problem("", "a form needs an object")])
            return _urlencoded([pair for name, value in body.items() for pair in _pairs(name, name, value)]).encode()
        except TypeError:
            raise InvalidArgumentsError([Problem("", "not expressible as JSON")]) from None

    @staticmethod
    def _check_headers(tool: HttpTool, what: str) -> None:
        for name in [*tool.headers, *tool.header_arguments]:
            if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
                raise ToolDefinitionError(f"{what}: the header {name[:80]!r} cannot be set")
        for name, secret in tool.headers.items():
            value = secret.get_secret_value()
            if not value.isascii() or not value.isprintable():
                raise ToolDefinitionError(f"{what}: headers.{name} must be printable ASCII text")
        fixed = {name.lower() for name in tool.headers}
        for name in tool.header_arguments:
            if name.lower() in fixed:
                raise ToolDefinitionError(f"{what}: the header {name!r} is set twice")


def _query_pairs(name: str, template: Template, values: JsonObject) -> Sequence[tuple[str, str]]:
    argument = template.single
    if argument is not None:
        return _pairs(name, argument, values[argument]) if argument in values else ()
    return [(name, template.fill(values))]


def _pairs(name: str, argument: str, value: Any) -> Sequence[tuple[str, str]]:
    if isinstance(value, list):
        return [(name, as_text(argument, one)) for one in value]
    return [] if value is None else [(name, as_text(argument, value))]


def _urlencoded(pairs: Sequence[tuple[str, str]]) -> str:
    try:
        return urlencode(pairs)
    except UnicodeEncodeError:
        raise InvalidArgumentsError([Problem("", "must be text that UTF-8 can express")]) from None
