"""OpenAI's Realtime API, and every server that speaks it the same way, as a model leg."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

from perhop.config.models import UpstreamSettings
from perhop.models.remote import RemoteModel
from perhop.models.remote_endpoint import Endpoint
from perhop.models.remote_limits import limits_of
from perhop.realtime.ids import IdFactory, new_id

__all__ = ["OpenAIModel", "openai_endpoint"]


class OpenAIModel(RemoteModel):
    """One session; a :class:`~perhop.call.legs.ModelLeg`.

    Args:
        settings: of this model.
        tls: whom to trust; made once a model by :func:`~perhop.models.remote_endpoint.trust`.
        call_id: of a call that is live at the model, to control that instead of opening a session.
    """

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
            openai_endpoint(settings, tls=tls),
            limits=limits_of(settings),
            call_id=call_id,
            clock=clock,
            new_id=new_id,
        )


def openai_endpoint(settings: UpstreamSettings, *, tls: ssl.SSLContext | None = None) -> Endpoint:
    """The addresses and headers: ``<url>/realtime?model=…``, the key as bearer token."""
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    if settings.key is not None:
        headers["Authorization"] = f"Bearer {settings.key.get_secret_value()}"
    return Endpoint(settings.url, settings.model, headers=headers, tls=tls)
