"""The REST side of a remote model: short-lived secrets, SDP offers, hang-ups. The model's key stays in this process."""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from perhop.config import UpstreamSettings
from perhop.errors import PerhopError
from perhop.models.azure import azure_endpoint
from perhop.models.openai import openai_endpoint
from perhop.models.remote_endpoint import Endpoint
from perhop.models.remote_session import session_for_model
from perhop.realtime.session import SessionConfig
from perhop.realtime.wire import JsonObject

__all__ = ["ModelAnswer", "ModelRest", "ModelRestError", "ModelSecret"]

_MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read."""

_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class ModelRestError(PerhopError):
    """The model did not do what it was asked; the message holds its status and error code, no payload.

    Attributes:
        status: HTTP status; None when there was no answer.
        code: the model's ``error.code``, if it gave one.
        fatal: another try would meet the same end.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None, fatal: bool) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fatal = fatal


@dataclass(frozen=True, slots=True)
class ModelSecret:
    """A client secret of the model.

    Attributes:
        value: ``ek_…``.
        expires_at: Unix seconds.
        session: what it is bound to, as the model shows it.
    """

    value: SecretStr
    expires_at: int
    session: JsonObject


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The model's answer to an offer.

    Attributes:
        call_id: ``rtc_…`` at the model: for hang-up and control.
    """

    sdp: str
    call_id: str


class _Minted(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    value: SecretStr
    expires_at: int
    session: dict[str, Any] = {}


class ModelRest:
    """The REST side of one model. Redirects are not followed, nothing is tried twice.

    Args:
        endpoint: where.
        transcription_model: transcribes callers where nobody named a model for it.
        extensions: whether the model reads the ``x-…`` keys of tools.
        timeout_s: one request, connection included.
        transport: what carries requests, for tests.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transcription_model: str = "gpt-4o-mini-transcribe",
        extensions: bool = False,
        timeout_s: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._transcription_model = transcription_model
        self._extensions = extensions
        self._client = httpx.AsyncClient(
            headers=dict(endpoint.headers),
            verify=endpoint.tls if endpoint.tls is not None else True,
            timeout=httpx.Timeout(timeout_s),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=8),
            follow_redirects=False,
            transport=transport,
            trust_env=False,
        )

    @classmethod
    def of(cls, settings: UpstreamSettings, *, tls: ssl.SSLContext | None = None) -> ModelRest:
        """The REST side of the model that ``[models.<name>]`` describes."""
        make = azure_endpoint if settings.kind == "azure" else openai_endpoint
        return cls(
            make(settings, tls=tls),
            transcription_model=settings.transcription_model,
            extensions=settings.extensions,
            timeout_s=settings.connect_timeout_s,
        )

    async def mint(self, session: SessionConfig, *, ttl_s: int | None = None) -> ModelSecret:
        """Has the model make a client secret that is bound to this session.

        Args:
            ttl_s: how long it can be used; the model's default when None.

        Raises:
            ModelRestError: it did not.
        """
        body: JsonObject = {"session": self._session(session)}
        if ttl_s is not None:
            body["expires_after"] = {"anchor": "created_at", "seconds": ttl_s}
        response = await self._post("client_secrets", json=body)
        try:
            minted = _Minted.model_validate_json(response.content)
        except ValidationError:
            raise ModelRestError("the model's answer holds no client secret", fatal=True) from None
        return ModelSecret(minted.value, minted.expires_at, minted.session)

    async def answer(self, offer_sdp: str, session: SessionConfig, *, dcid: int | None = None) -> ModelAnswer:
        """Has the model answer a WebRTC offer with a session of this configuration.

        Args:
            dcid: id of a data channel that both sides know without negotiation.

        Raises:
            ModelRestError: it did not.
        """
        parts = {
            "sdp": (None, offer_sdp, "application/sdp"),
            "session": (None, json.dumps(self._session(session)), "application/json"),
        }
        query = {"dcid": str(dcid)} if dcid is not None else {}
        response = await self._post("calls", files=parts, params=query)
        call_id = response.headers.get("Location", "").rpartition("/")[2].partition("?")[0]
        if not _CALL_ID.fullmatch(call_id):
            raise ModelRestError("the model's answer names no call", fatal=True)
        return ModelAnswer(response.text, call_id)

    async def hang_up(self, call_id: str) -> bool:
        """Ends a call.

        Returns:
            False when the model does not know it (any more).

        Raises:
            ModelRestError: it could not be told.
            ValueError: ``call_id`` is not an id.
        """
        if not _CALL_ID.fullmatch(call_id):
            raise ValueError("not the id of a call")
        try:
            await self._post(f"calls/{call_id}/hangup")
        except ModelRestError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._client.aclose()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _session(self, session: SessionConfig) -> JsonObject:
        """A session whose audio never passes here: its formats are between the model and whoever talks to it."""
        plain = session_for_model(
            session.to_dict(), transcription_model=self._transcription_model, extensions=self._extensions
        )
        for part in plain.get("audio", {}).values():
            part.pop("format", None)
        if session.type == "realtime":
            plain["model"] = self._endpoint.model or session.model
        return {**plain, "type": session.type}

    async def _post(self, path: str, **request: Any) -> httpx.Response:
        url = httpx.URL(self._endpoint.rest_url(path)).copy_merge_params(request.pop("params", {}))
        try:
            async with self._client.stream("POST", url, **request) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > _MAX_ANSWER:
                        raise ModelRestError("the model's answer is too large", status=response.status_code, fatal=True)
        except httpx.TimeoutException:
            raise ModelRestError("the model did not answer in time", fatal=False) from None
        except httpx.TransportError as error:
            raise ModelRestError(f"the model cannot be reached ({type(error).__name__})", fatal=False) from None
        whole = httpx.Response(response.status_code, headers=_plain(response.headers), content=bytes(body))
        if not whole.is_success:
            raise _refusal(whole)
        return whole


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """What describes a body that was decoded already."""
    return {name: headers[name] for name in ("location", "content-type") if name in headers}


def _refusal(response: httpx.Response) -> ModelRestError:
    status = response.status_code
    try:
        error = response.json().get("error")
        code = error.get("code") if isinstance(error, dict) else None
    except (ValueError, AttributeError):
        code = None
    code = code if isinstance(code, str) and _WORD.fullmatch(code) else None
    said = f"{status} {code}" if code is not None else str(status)
    return ModelRestError(
        f"the model answered {said}", status=status, code=code, fatal=status < 500 and status not in (408, 425, 429)
    )
