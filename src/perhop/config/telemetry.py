"""``[telemetry]``: where traces go, and how much of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr, field_validator

from perhop.config.table import Table

__all__ = ["TelemetrySettings"]


class TelemetrySettings(Table):
    """``[telemetry]``: traces of calls, by OpenTelemetry. Metrics need no settings: they are at ``/metrics``.

    Attributes:
        otlp_url: where spans are sent by OTLP over HTTP (``http://collector:4318/v1/traces``); nowhere when unset. As
            with models, bus and database, it is whoever runs the server who says so, and ``[outgoing]`` does not apply.
        otlp_headers: sent with them (``Authorization``, …).
        service_name: what this process is called there.
        sample: share of calls that are traced, 0 to 1; a call is traced whole or not at all.
        queue: spans that may wait to be sent; beyond it they are dropped.
        timeout_s: of one request to the collector, and of all that are left when the process ends.
    """

    otlp_url: HttpUrl | None = None
    otlp_headers: dict[str, SecretStr] = Field(default_factory=dict)
    service_name: str = "perhop"
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    queue: Annotated[int, Field(ge=64, le=65_536)] = 2048
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0

    @field_validator("otlp_url")
    @classmethod
    def _holds_no_secret(cls, url: HttpUrl | None) -> HttpUrl | None:
        # The exporter's complaints repeat it.
        if url is not None and (url.username or url.password or url.query or url.fragment):
            raise ValueError("must have no user, query or fragment; keys belong into 'otlp_headers'")
        return url
