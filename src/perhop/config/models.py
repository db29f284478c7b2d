"""``[models.<name>]``: Realtime models somewhere else that calls can talk to."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from perhop.config.table import Table

__all__ = ["BUILT_IN_MODELS", "UpstreamSettings"]

BUILT_IN_MODELS = ("local", "echo")
"""Names that settings cannot give away: the built-in server, and the echo."""

_OPENAI = "https://api.openai.com/v1"

HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")]


class UpstreamSettings(Table):
    """One model; agents name it as ``model = "<name>"``.

    Attributes:
        kind: ``openai``: any server that speaks the Realtime protocol as OpenAI does, a second Perhop too.
            ``azure``: Azure OpenAI, which has other addresses and headers.
        url: what its SDK calls the base URL (``https://api.openai.com/v1``, ``https://NAME.openai.azure.com``).
        model: its own name of the model; the one that the session names when unset.
        key: its API key. It never leaves this server.
        headers: sent with every request (``OpenAI-Organization``, …).
        public_url: how pages reach it, when that is not ``url``; for agents with ``route = "direct"``.
        ca_file: PEM file of the authority that signed its certificate, when that is not a public one.
        allow_cleartext: send the key over ``http://`` to another machine.
        deployment: Azure's name for a model with a quota; ``model`` when unset.
        api_version: Azure's older addresses with this ``api-version``; its current ones when unset. Either way it must
            speak the protocol of today, not that of the beta.
        transcription_model: transcribes callers where nobody named a model for it.
        extensions: send it the ``x-…`` keys of tools too, which the built-in model of a second Perhop reads.
        hold_phrase: what callers are told when none of its sessions can be had for a while, by the built-in voice;
            empty for nothing.
        session_cap_s: how long one of its sessions may last; calls go on in a new one before that.
        batch_ms: audio of a caller that one message carries at least.
        connect_timeout_s: from the connection to the session being configured.
        ping_s: silence of the model after which it is pinged, and how long the answer may take.
        stall_s: how long it may read nothing while messages wait for it; then it counts as lost.
        send_queue_bytes: what may wait for it; beyond it counts as lost too.
        max_message_bytes: the largest message it may send.
    """

    kind: Literal["openai", "azure"] = "openai"
    url: str = _OPENAI
    model: str | None = None
    key: SecretStr | None = None
    headers: dict[HeaderName, SecretStr] = Field(default_factory=dict)
    public_url: str | None = None
    ca_file: Path | None = None
    allow_cleartext: bool = False
    deployment: str | None = None
    api_version: str | None = None
    transcription_model: str = "gpt-4o-mini-transcribe"
    extensions: bool = False
    hold_phrase: Annotated[str, StringConstraints(max_length=300, strip_whitespace=True)] = "One moment, please."
    session_cap_s: Annotated[float, Field(gt=0, le=86_400)] = 3600.0
    batch_ms: Annotated[int, Field(ge=10, le=500)] = 20
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    ping_s: Annotated[float, Field(gt=0, le=300)] = 5.0
    stall_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    send_queue_bytes: Annotated[int, Field(ge=65_536)] = 32 << 20
    max_message_bytes: Annotated[int, Field(ge=65_536, le=64 << 20)] = 16 << 20

    @field_validator("url", "public_url")
    @classmethod
    def _url_is_one(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
            raise ValueError("must be an absolute http, https, ws or wss URL")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("must have no user, query or fragment; keys belong into 'key' or 'headers'")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "azure":
            if "url" not in self.model_fields_set:
                raise ValueError("azure needs its url: https://NAME.openai.azure.com")
        elif self.deployment is not None or self.api_version is not None:
            raise ValueError("deployment and api_version are for kind = 'azure'")
        return self

    @model_validator(mode="after")
    def _secrets_are_encrypted(self) -> Self:
        parts = urlsplit(self.url)
        secret = self.key is not None or bool(self.headers)
        if secret and parts.scheme in ("http", "ws") and not self.allow_cleartext and not _is_loopback(parts.hostname):
            raise ValueError("would send its key unencrypted; use https, or set allow_cleartext = true")
        return self


def _is_loopback(host: str | None) -> bool:
    if host is None or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
