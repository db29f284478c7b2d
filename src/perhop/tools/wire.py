"""How a call of a tool travels to a worker: the headers around it, and the codes of the errors that come back.

The payload of the request is the arguments as a JSON object, that of the answer the result as JSON. An error comes back
as an error of the bus (:class:`~perhop.tools.bus.errors.RemoteError`) with one of these codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from perhop.tools.base import ToolContext

__all__ = [
    "AGENT_HEADER",
    "BUSY",
    "CALL_HEADER",
    "FUNCTION_CALL_HEADER",
    "INVALID_ARGUMENTS",
    "KEY_HEADER",
    "TENANT_HEADER",
    "TOOL_FAILED",
    "UNAVAILABLE",
    "UNKNOWN_OUTCOME",
    "UNKNOWN_TOOL",
    "context_headers",
    "context_of",
]

KEY_HEADER = "Idempotency-Key"
"""The same for every try of one effect; HTTP tools send it as well."""

TENANT_HEADER = "Perhop-Tenant"
CALL_HEADER = "Perhop-Call"
AGENT_HEADER = "Perhop-Agent"
FUNCTION_CALL_HEADER = "Perhop-Function-Call"

INVALID_ARGUMENTS = "invalid_arguments"
"""Nothing was done: the worker does not take these arguments."""

TOOL_FAILED = "tool_failed"
"""The tool says why it cannot be done; the message is for the model. Final: asking again gives the same."""

UNAVAILABLE = "unavailable"
"""Nothing was done, but another try may work: the worker's database is away, or it is about to stop."""

UNKNOWN_OUTCOME = "unknown_outcome"
"""It may have been done, and nobody can find out; it must not be tried again."""

UNKNOWN_TOOL = "unknown_tool"
"""Nothing was done: the worker has no such tool."""

BUSY = "busy"
"""Nothing was done: too much to do at once. The bus itself answers so too."""


def context_headers(context: ToolContext) -> dict[str, str]:
    """The headers that say on whose behalf a worker is asked. Ids are quoted: a model may write anything into them."""
    return {
        KEY_HEADER: context.idempotency_key,
        TENANT_HEADER: quote(context.tenant, safe=""),
        CALL_HEADER: quote(context.call_id, safe=""),
        AGENT_HEADER: quote(context.agent, safe=""),
        FUNCTION_CALL_HEADER: quote(context.function_call_id, safe=""),
    }


def context_of(headers: Mapping[str, str]) -> ToolContext:
    """The context that :func:`context_headers` wrote, as a worker gets it; what is missing is empty."""
    return ToolContext(
        call_id=unquote(headers.get(CALL_HEADER, "")),
        agent=unquote(headers.get(AGENT_HEADER, "")),
        tenant=unquote(headers.get(TENANT_HEADER, "")),
        function_call_id=unquote(headers.get(FUNCTION_CALL_HEADER, "")),
    )
