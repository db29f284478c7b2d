"""Reads an SDP offer from a request, in each of the forms that clients send it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from perhop.api.errors import ApiError
from perhop.realtime.session import parse_session

__all__ = ["Offer", "read_offer"]

_MAX_PARTS = 8


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer and the partial session object that came with it (empty when none did)."""

    sdp: str
    session: dict[str, Any] = field(default_factory=dict)


async def read_offer(request: Request, *, max_sdp_bytes: int) -> Offer:
    """The offer of a request: a raw ``application/sdp`` body, or ``multipart/form-data`` with the parts ``sdp`` and,
    optionally, ``session``. Parts may be typed (``application/sdp``, ``application/json``), plain fields, or files.

    Raises:
        ApiError: 415 for another content type, 413 for an offer over the limit, 400 for a missing or broken part.
        ProtocolError: the session is not a valid session object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return Offer(_sdp(await request.body(), max_sdp_bytes))
    if kind == "multipart/form-data":
        return await _from_form(request, max_sdp_bytes)
    shown = f"not {kind!r}" if kind and len(kind) <= 64 else "which this request does not say"
    raise ApiError(
        415,
        "unsupported_media_type",
        f"The body must be application/sdp or multipart/form-data, {shown}.",
        param="content-type",
    )


async def _from_form(request: Request, max_sdp_bytes: int) -> Offer:
    try:
        # The whole body is bounded by the body limit, so a part may be as large as that.
        form = await request.form(max_files=_MAX_PARTS, max_fields=_MAX_PARTS, max_part_size=1 << 30)
    except HTTPException as error:
        raise ApiError(400, "invalid_multipart", f"The multipart body is broken: {error.detail}") from None
    async with request.form(max_files=_MAX_PARTS, max_fields=_MAX_PARTS):
        sdp = await _part(form.get("sdp"))
        if sdp is None:
            raise ApiError(400, "missing_required_parameter", "The part 'sdp' is missing.", param="sdp")
        session = await _part(form.get("session"))
        return Offer(_sdp(sdp, max_sdp_bytes), _session(session) if session is not None else {})


async def _part(value: UploadFile | str | None) -> bytes | None:
    if isinstance(value, UploadFile):
        return await value.read()
    return value.encode() if value is not None else None


def _sdp(data: bytes, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise ApiError(413, "request_too_large", f"The SDP offer is over the limit of {max_bytes} bytes.", param="sdp")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "invalid_sdp", "The SDP offer is not UTF-8 text.", param="sdp") from None
    if not text.strip():
        raise ApiError(400, "invalid_sdp", "The SDP offer is empty.", param="sdp")
    return text


def _session(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ApiError(
            400, "invalid_json", f"The part 'session' is not valid JSON: {error}.", param="session"
        ) from None
    if not isinstance(value, dict):
        raise ApiError(400, "invalid_type", "The part 'session' must be a JSON object.", param="session")
    return parse_session(value)
