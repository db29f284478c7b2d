"""A model that takes calls directly, as the call sees it."""

from __future__ import annotations

from typing import Protocol

from perhop.call.legs import ModelLeg
from perhop.realtime.session import SessionConfig

__all__ = ["DirectAnswer", "DirectUpstream"]


class DirectAnswer(Protocol):
    """The model's answer to an offer."""

    @property
    def sdp(self) -> str: ...

    @property
    def call_id(self) -> str:
        """At the model."""


class DirectUpstream(Protocol):
    """A model that takes calls directly."""

    @property
    def name(self) -> str:
        """As settings call it."""

    async def answer(self, offer_sdp: str, session: SessionConfig, *, dcid: int | None = None) -> DirectAnswer:
        """Has the model answer an offer. Raises PerhopError when it does not."""

    def attach(self, call_id: str) -> ModelLeg:
        """A sideband to a call that is live at the model."""

    def hang_up(self, call_id: str) -> None:
        """Ends a call at the model; returns at once, sees to it."""
