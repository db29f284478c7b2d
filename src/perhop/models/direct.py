"""A model that callers talk to directly: secrets for pages, answers to offers, and a sideband for Perhop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from perhop.call.legs import ModelLeg
from perhop.config import UpstreamSettings
from perhop.models.azure import azure_endpoint
from perhop.models.openai import openai_endpoint
from perhop.models.rest import ModelAnswer, ModelRestError, ModelSecret
from perhop.models.upstreams import Upstream
from perhop.realtime.session import SessionConfig

__all__ = ["DirectModel"]

_log = structlog.get_logger(__name__)

_HANG_UP_TRIES = 4
_HANG_UP_AGAIN_S = 0.5
"""Doubles from there. A call that is not ended at the model goes on, and costs money."""

_CLOSE_S = 5.0
"""How long hang-ups under way may take when the process ends."""


class DirectModel:
    """One model of the settings; a :class:`~perhop.call.direct.DirectUpstream`.

    Args:
        name: of ``[models.<name>]``.
        base_dir: what a relative ``ca_file`` is relative to.

    Raises:
        ConfigError: ``ca_file`` is not one.
    """

    def __init__(self, name: str, settings: UpstreamSettings, *, base_dir: Path) -> None:
        self._upstream = Upstream.load(name, settings, base_dir=base_dir)
        self._rest = self._upstream.rest()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """As settings call it."""
        return self._upstream.name

    @property
    def calls_url(self) -> str:
        """Where a page posts its offer with a secret of the model."""
        settings = self._upstream.settings
        make = azure_endpoint if settings.kind == "azure" else openai_endpoint
        return make(settings.model_copy(update={"url": settings.public_url or settings.url})).rest_url("calls")

    async def mint(self, session: SessionConfig, *, ttl_s: int | None = None) -> ModelSecret:
        """A client secret of the model, bound to this session. Raises ModelRestError when it gives none."""
        return await self._rest.mint(session, ttl_s=ttl_s)

    async def answer(self, offer_sdp: str, session: SessionConfig, *, dcid: int | None = None) -> ModelAnswer:
        """Has the model answer an offer. Raises ModelRestError when it does not."""
        return await self._rest.answer(offer_sdp, session, dcid=dcid)

    def attach(self, call_id: str) -> ModelLeg:
        """A sideband to a call that is live at the model."""
        return self._upstream.control(call_id)

    def hang_up(self, call_id: str) -> None:
        """Ends a call at the model; a model that cannot be told is told again a few times."""
        task = asyncio.get_running_loop().create_task(self._hang_up(call_id), name="hang-up at the model")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Waits a moment for hang-ups under way, then closes its connections."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=_CLOSE_S)
        for task in self._ending:
            task.cancel()
        await self._rest.aclose()

    async def _hang_up(self, call_id: str) -> None:
        for tried in range(_HANG_UP_TRIES):
            if tried:
                await asyncio.sleep(_HANG_UP_AGAIN_S * 2 ** (tried - 1))
            try:
                await self._rest.hang_up(call_id)
            except ModelRestError as error:
                _log.warning("a direct call was not ended at its model", model=self.name, why=str(error))
                if error.fatal:
                    return
            else:
                return
