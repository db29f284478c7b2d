"""Kinds of models a call can talk to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perhop.call.legs import ModelLeg

__all__ = ["ModelKind"]


@dataclass(frozen=True, slots=True)
class ModelKind:
    """One kind of model leg.

    Attributes:
        open: makes a leg; cheap, the session begins with its ``start``.
        extensions: whether it may see the ``x-…`` keys of tool schemas.
        name: how settings call it.
        session_cap_s: how long a session of this model lasts at most; None when it never ends by itself. A session
            that says when it expires is renewed by the earlier of the two.
        hold_phrase: what callers are told while none of its sessions can be had; empty for nothing.
        remote: it is somewhere else and can be lost, so what a call told it is kept until it is settled.
    """

    open: Callable[[], ModelLeg]
    extensions: bool = False
    name: str = "local"
    session_cap_s: float | None = None
    remote: bool = False
    hold_phrase: str = ""
