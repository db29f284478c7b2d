"""Tools that workers serve, asked over the bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import orjson

from perhop.tools.base import JsonObject, ToolContext
from perhop.tools.errors import InvalidArgumentsError, Problem, ToolError, ToolUnavailableError
from perhop.tools.kinds.described import DescribedTool
from perhop.tools.services import ToolServices
from perhop.tools.wire import BUSY, INVALID_ARGUMENTS, TOOL_FAILED, UNAVAILABLE, UNKNOWN_TOOL, context_headers

__all__ = ["BusTool"]

_NOT_DONE = (BUSY, UNAVAILABLE)
_MARGIN_S = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class BusTool(DescribedTool):
    """Asked at ``perhop.tools.<tenant>.<tool>``; see :mod:`perhop.tools.wire` for what is said there.

    Workers of this project remember outcomes under the key they are sent, so asking again is harmless: an effect is
    ``idempotent`` unless declared otherwise.

    Attributes:
        tool: the name it is served under; its own when empty.
    """

    kind: ClassVar[str] = "bus"

    tool: str = ""
    idempotent: bool = True

    async def execute(self, values: JsonObject, context: ToolContext, *, services: ToolServices) -> object:
        from perhop.tools.bus.errors import BusError, RemoteError
        from perhop.tools.bus.subjects import tool_subject

        if services.bus is None:
            raise ToolUnavailableError("There is no bus here.", sent=False)
        patience = self.timeout_s if self.attempt_s is None else min(self.attempt_s, self.timeout_s)
        try:
            answer = await services.bus.request(
                tool_subject(context.tenant, self.tool or self.name),
                orjson.dumps(values),
                headers=context_headers(context),
                timeout_s=max(patience - _MARGIN_S, patience / 2),
            )
        except RemoteError as error:
            raise self._refusal(error.code, str(error)) from None
        except BusError as error:
            raise ToolUnavailableError(f"{self.name} is not available at the moment.", sent=error.delivered) from None
        try:
            value: object = orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise ToolUnavailableError(f"{self.name} answered with something that is not JSON.") from None
        return value

    def _refusal(self, code: str, message: str) -> Exception:
        match code:
            case _ if code in _NOT_DONE:
                return ToolUnavailableError(f"{self.name} is not available at the moment.", sent=False)
            case _ if code == INVALID_ARGUMENTS:
                return InvalidArgumentsError([Problem("", message)])
            case _ if code == TOOL_FAILED:
                return ToolError(message)
            case _ if code == UNKNOWN_TOOL:
                return ToolError(f"{self.name} is not served at the moment.")
            case _:
                return ToolUnavailableError(f"{self.name} failed.")
