"""Calls of tools on the bus: what a request and its answer look like on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from perhop.errors import PerhopError
from perhop.tools.base import JsonObject, ToolContext
from perhop.tools.bus.base import Bus, Message
from perhop.tools.bus.errors import BusError
from perhop.tools.bus.subjects import parts, tool_subject

__all__ = ["MalformedCallError", "ToolReply", "ToolRequest", "call_tool"]

MAX_ID = 256
_SUBJECT_PARTS = 4


class MalformedCallError(PerhopError):
    """What came over the bus is no call of a tool, or no answer to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One call of a tool: ``{"call_id", "function_call_id", "agent", "expires", "arguments": {…}}``; tenant and tool
    are in the subject.

    Attributes:
        expires: Unix time, s, after which nobody waits for the answer, so that a worker need not begin; None for never.
    """

    tenant: str
    tool: str
    call_id: str
    function_call_id: str
    agent: str = ""
    expires: float | None = None
    arguments: JsonObject = field(default_factory=dict, repr=False)

    @property
    def subject(self) -> str:
        """Where it goes."""
        return tool_subject(self.tenant, self.tool)

    def encode(self) -> bytes:
        """The payload."""
        return orjson.dumps(
            {
                "call_id": self.call_id,
                "function_call_id": self.function_call_id,
                "agent": self.agent,
                "expires": self.expires,
                "arguments": self.arguments,
            }
        )

    @classmethod
    def decode(cls, message: Message) -> ToolRequest:
        """The call in a message.

        Raises:
            MalformedCallError: there is none.
        """
        names = parts(message.subject)
        body = _object(message.payload)
        expires = body.get("expires")
        arguments = body.get("arguments", {})
        ids = [body.get(name, "") for name in ("call_id", "function_call_id", "agent")]
        if len(names) != _SUBJECT_PARTS or not all(isinstance(one, str) and len(one) <= MAX_ID for one in ids):
            raise MalformedCallError(f"a call of a tool needs ids of at most {MAX_ID} characters")
        if not (expires is None or isinstance(expires, int | float)) or not isinstance(arguments, dict):
            raise MalformedCallError("a call of a tool needs an object of arguments and a time or null as expires")
        return cls(
            tenant=names[2],
            tool=names[3],
            call_id=ids[0],
            function_call_id=ids[1],
            agent=ids[2],
            expires=expires,
            arguments=arguments,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReply:
    """The answer: ``{"ok": true, "result": …}``, or ``{"ok": false, "error": {"code", "message", …}}``.

    Attributes:
        result: JSON value.
        code: one of :class:`~perhop.tools.result.ErrorCode`, or ``expired`` (it came too late and was not begun),
            ``conflict`` (the same ids came before with other arguments), ``unknown_outcome`` (it is not known whether
            the effect happened; never repeat it). None exactly when it is a result.
        message: for the model.
        details: further members of the error.
    """

    result: Any = field(default=None, repr=False)
    code: str | None = None
    message: str = field(default="", repr=False)
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether it is a result."""
        return self.code is None

    def encode(self) -> bytes:
        """The payload.

        Raises:
            TypeError: JSON cannot express the result.
        """
        if self.ok:
            return orjson.dumps({"ok": True, "result": self.result})
        return orjson.dumps({"ok": False, "error": {**self.details, "code": self.code, "message": self.message}})

    @classmethod
    def decode(cls, payload: bytes) -> ToolReply:
        """The answer in a payload.

        Raises:
            MalformedCallError: there is none.
        """
        body = _object(payload)
        if body.get("ok") is True:
            return cls(result=body.get("result"))
        error = body.get("error")
        if not isinstance(error, dict) or not isinstance(error.get("code"), str):
            raise MalformedCallError("an answer of a tool needs a result or an error with a code")
        details = {name: value for name, value in error.items() if name not in ("code", "message")}
        return cls(code=error["code"], message=str(error.get("message", "")), details=details)


async def call_tool(
    bus: Bus,
    tool: str,
    arguments: JsonObject,
    context: ToolContext,
    *,
    timeout_s: float,
    wall: Callable[[], float] = time.time,
) -> ToolReply:
    """Calls a tool at whichever worker serves it.

    Args:
        timeout_s: after it the worker need not begin, and nobody waits.
        wall: Unix time, s.

    Raises:
        BusError: no answer; ``delivered`` says whether the worker may have begun.
        MalformedCallError: the answer is none.
    """
    request = ToolRequest(
        tenant=context.tenant,
        tool=tool,
        call_id=context.call_id,
        function_call_id=context.function_call_id,
        agent=context.agent,
        expires=wall() + timeout_s,
        arguments=arguments,
    )
    try:
        payload = request.encode()
    except TypeError as error:
        raise BusError(f"arguments that JSON cannot express: {error}") from None
    return ToolReply.decode(await bus.request(request.subject, payload, timeout_s=timeout_s))


def _object(payload: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise MalformedCallError("not JSON") from None
    if not isinstance(body, dict):
        raise MalformedCallError("not a JSON object")
    return body
