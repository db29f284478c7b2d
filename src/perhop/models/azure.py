"""Azure OpenAI's Realtime API as a model leg: the same protocol at other addresses."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

from perhop.config.models import UpstreamSettings
from perhop.models.remote import RemoteModel
from perhop.models.remote_endpoint import Endpoint
from perhop.models.remote_limits import limits_of
from perhop.realtime.ids import IdFactory, new_id

__all__ = ["AzureModel", "azure_endpoint"]


class AzureModel(RemoteModel):
    """One session; a :class:`~perhop.call.legs.ModelLeg`. See :class:`~perhop.models.openai.OpenAIModel`."""

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        tls: ssl.SSLContext | None = None,
        call_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        super().__init__(
            azure_endpoint(settings, tls=tls),
            limits=limits_of(settings),
            call_id=call_id,
            clock=clock,
            new_id=new_id,
        )


def azure_endpoint(settings: UpstreamSettings, *, tls: ssl.SSLContext | None = None) -> Endpoint:
    """The addresses and headers: the key as ``api-key``.

    ``<url>/openai/v1/realtime?model=<deployment>``; with an ``api_version``, its preview form
    ``<url>/openai/realtime?api-version=…&deployment=<deployment>``.
    """
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    if settings.key is not None:
        headers["api-key"] = settings.key.get_secret_value()
    base = settings.url.removesuffix("/v1").removesuffix("/openai")
    deployment = settings.deployment or settings.model
    if settings.api_version is None:
        return Endpoint(f"{base}/openai/v1", deployment, headers=headers, tls=tls)
    return Endpoint(
        f"{base}/openai",
        deployment,
        model_key="deployment",
        query={"api-version": settings.api_version},
        headers=headers,
        tls=tls,
    )
