"""Errors of the HTTP API: one JSON shape, the Realtime API's own, for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from perhop.call.budget import BudgetExceededError
from perhop.errors import LimitExceededError, PerhopError
from perhop.realtime.errors import ProtocolError
from perhop.store import StoreDownError

__all__ = ["ApiError", "ErrorBody", "error_response", "install_error_handlers", "to_api_error"]

_log = structlog.get_logger(__name__)

_NO_ROUTE = {
    "Not Found": "There is nothing at this address; /docs lists those there are.",
    "Method Not Allowed": "This address does not take this method; /docs lists those it takes.",
}
_CODES: Mapping[int, str] = {
    400: "bad_request",
    401: "invalid_api_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    426: "upgrade_required",
}
_PLACES = frozenset({"body", "query", "path", "header"})


class ErrorDetail(BaseModel):
    """What went wrong: ``code`` for programs, ``message`` for people, ``param`` names the offending field."""

    message: str
    type: str
    code: str | None = None
    param: str | None = None


class ErrorBody(BaseModel):
    """The body of every response with a status of 400 or more."""

    error: ErrorDetail


class ApiError(PerhopError):
    """A request that gets an error response.

    Args:
        status: HTTP status.
        code: the machine-readable cause.
        message: what was wrong and what to do; never repeats a credential.
        param: the offending field, query parameter or part.
        headers: e.g. ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        type_: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.type = type_
        self.headers = dict(headers or {})


def to_api_error(error: PerhopError) -> ApiError:
    """The response that an error of a lower layer becomes."""
    match error:
        case ApiError():
            return error
        case ProtocolError():
            return ApiError(400, error.code, error.message, param=error.param, type_=error.type)
        case BudgetExceededError():
            return ApiError(
                429,
                "budget_exceeded",
                f"{error}.",
                type_="rate_limit_exceeded",
                headers={"Retry-After": str(error.retry_after_s)},
            )
        case StoreDownError():
            message = "The database does not answer; try again later."
            return ApiError(503, "store_unavailable", message, type_="server_error", headers={"Retry-After": "5"})
        case LimitExceededError():
            return ApiError(503, "server_overloaded", str(error), type_="server_error", headers={"Retry-After": "5"})
        case _:
            return ApiError(500, None, "Something went wrong here; the server's log says what.", type_="server_error")


def error_response(error: ApiError) -> JSONResponse:
    """The JSON response of an error."""
    detail = ErrorDetail(message=error.message, type=error.type, code=error.code, param=error.param)
    return JSONResponse(
        ErrorBody(error=detail).model_dump(),
        status_code=error.status,
        headers={"Cache-Control": "no-store", **error.headers},
    )


def install_error_handlers(app: FastAPI) -> None:
    """Makes every error of this app take the one shape."""

    async def on_perhop_error(request: HTTPConnection, error: Exception) -> JSONResponse:
        assert isinstance(error, PerhopError)
        answer = to_api_error(error)
        if answer.status >= 500 and answer.status != 503:
            _log.error("request failed", route=request.scope["path"], exc_info=error)
        request.state.error_code = answer.code
        return error_response(answer)

    async def on_http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        request.state.error_code = _CODES.get(error.status_code)
        # Starlette's own words for these two say nothing that the status does not.
        message = _NO_ROUTE.get(str(error.detail), str(error.detail))
        return error_response(
            ApiError(error.status_code, _CODES.get(error.status_code), message, headers=error.headers)
        )

    async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            answer = ApiError(400, "invalid_json", f"The body is not valid JSON: {first['ctx']['error']}.")
        else:
            where = ".".join(str(part) for part in first["loc"] if part not in _PLACES) or None
            code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
            answer = ApiError(400, code, f"{where or 'The body'}: {first['msg']}.", param=where)
        request.state.error_code = answer.code
        return error_response(answer)

    async def on_unexpected(_request: Request, _error: Exception) -> JSONResponse:
        # Starlette raises the error again after this response, so that the server logs it. This response is made
        # outside all middleware, hence the header that lets a page read it.
        answer = error_response(to_api_error(PerhopError()))
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer

    app.add_exception_handler(PerhopError, on_perhop_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(Exception, on_unexpected)
