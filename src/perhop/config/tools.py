"""``[tools.<name>]``: tools that are declared rather than written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, HttpUrl, SecretStr, StringConstraints, model_validator

from perhop.config.table import Name, Table

__all__ = [
    "BuiltinToolSettings",
    "BusToolSettings",
    "HttpToolSettings",
    "McpToolSettings",
    "Phrase",
    "ToolName",
    "ToolReference",
    "ToolSettings",
]

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

ToolReference = Annotated[
    str,
    StringConstraints(
        pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*|(builtin|bus):[A-Za-z0-9_-]{1,64}|[A-Za-z0-9_-]{1,64})$"
    ),
]
"""How agents name a tool: ``module:function``, ``builtin:hang_up``, ``bus:find_contact``, or the name of a table."""

Phrase = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r'^[^"\x00-\x1f]+$')]
"""What an agent says; quotation marks would end it early where a model is told to say it."""


class _Tool(Table):
    """What all declared tools share; unset fields keep the defaults of their kind.

    Attributes:
        title: completes "I can …".
        effect: ``once`` if it changes anything; ``none`` if it only looks.
        idempotent: asked again with the same ``Idempotency-Key``, it has its effect once.
        attempt_s: how long one try may take.
        max_concurrent: runs at once in this process.
        filler_after_s: when it takes longer, the agent says one of ``fillers``.
        samples: phrases that ask for it, with parameters in braces.
        say: how the built-in dialogue says the result.
    """

    title: str = ""
    description: str = ""
    effect: Literal["none", "once"] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    finish_on_hangup: bool | None = None
    idempotent: bool | None = None
    retries: Annotated[int, Field(ge=0, le=10)] | None = None
    attempt_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    filler_after_s: Annotated[float, Field(ge=0, le=60)] | None = None
    fillers: tuple[Phrase, ...] | None = None
    samples: tuple[str, ...] = ()
    say: str | None = None


class HttpToolSettings(_Tool):
    """``kind = "http"``: an HTTP endpoint. A private address also has to be allowed in ``[outgoing]``.

    Attributes:
        url: with ``{argument}`` in its path; with ``openapi`` the server's address, if the document's is not right.
        parameters: JSON Schema of the arguments.
        query: texts with ``{argument}`` by name of the query parameter.
        headers: fixed ones; credentials belong here.
        header_arguments: texts with ``{argument}`` by name of the header.
        body: a structure of texts with ``{argument}``; unset takes the arguments that nothing else names.
        openapi: file (JSON) with the OpenAPI document, relative to ``perhop.toml``.
        operation: the ``operationId`` in it, which then says method, path, parameters and body.
    """

    kind: Literal["http"]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Annotated[str, StringConstraints(max_length=2000)] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    header_arguments: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    body_type: Literal["json", "form"] = "json"
    openapi: Path | None = None
    operation: str | None = None

    @model_validator(mode="after")
    def _says_where_and_what(self) -> Self:
        if (self.openapi is None) != (self.operation is None):
            raise ValueError("openapi and operation must be given together")
        if self.openapi is None and (self.url is None or not self.description):
            raise ValueError("needs url and description, or openapi and operation")
        if self.openapi is not None and (self.parameters or self.query or self.header_arguments or self.body):
            raise ValueError("the operation says parameters, query, header_arguments and body; leave them out")
        return self


class BusToolSettings(_Tool):
    """``kind = "bus"``: a tool that workers serve.

    Attributes:
        tool: the name it is served under; that of the table when unset.
        parameters: JSON Schema of the arguments.
    """

    kind: Literal["bus"]
    tool: Name | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_described(self) -> Self:
        if not self.description:
            raise ValueError("needs a description")
        return self


class McpToolSettings(_Tool):
    """``kind = "mcp"``: all tools of an MCP server, under names that begin with ``prefix``.

    Attributes:
        url: of a server over streamable HTTP.
        command: starts a server over stdio: the program and its arguments. In files only.
        env: of that program, which otherwise gets a minimal environment.
        prefix: the table's name and ``_`` when unset.
        include: only these of its tools; all when empty.
        effects: by name of its tool. Without, tools that the server calls read-only have none, others one.
    """

    kind: Literal["mcp"]
    url: HttpUrl | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    env: dict[str, SecretStr] = Field(default_factory=dict)
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,32}$")] | None = None
    include: tuple[str, ...] = ()
    effects: dict[str, Literal["none", "once"]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_reached_in_one_way(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("needs either url or command")
        if self.command is not None and self.headers:
            raise ValueError("headers are for a server with a url")
        if self.url is not None and self.env:
            raise ValueError("env is for a server with a command")
        return self


class BuiltinToolSettings(_Tool):
    """``kind = "builtin"``: what acts on the call itself.

    Attributes:
        does: what.
        targets: where ``transfer`` may go, by the name the model uses: ``{sales = "tel:+14155550100"}``.
        agents: who may take over by ``hand_off``.
    """

    kind: Literal["builtin"]
    does: Literal["hang_up", "transfer", "hand_off", "send_dtmf"]
    targets: dict[str, Annotated[str, StringConstraints(pattern=r"^(tel:\+[0-9]{3,15}|sips?:[!-~]{1,200})$")]] = Field(
        default_factory=dict
    )
    agents: tuple[Name, ...] = ()


ToolSettings = Annotated[
    HttpToolSettings | BusToolSettings | McpToolSettings | BuiltinToolSettings, Field(discriminator="kind")
]
