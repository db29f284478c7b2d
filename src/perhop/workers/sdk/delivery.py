"""How effects leave the database: by a function that hands them to a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from perhop.errors import PerhopError

__all__ = ["Deliver", "Delivery", "Effect", "NotSentError", "RefusedError", "Settled", "SettledHook"]

State = Literal["done", "failed", "unknown"]


class NotSentError(PerhopError):
    """The effect certainly did not happen, and another attempt may work: no connection, or "try again later"."""


class RefusedError(PerhopError):
    """The provider refused for good; it is not tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """An effect to be had now.

    Attributes:
        key: hand it to the provider as idempotency key: the same for every attempt.
        attempt: 1 for the first.
    """

    channel: str
    key: str
    tenant: str
    call_id: str
    function_call_id: str
    attempt: int
    payload: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of an effect.

    Attributes:
        state: ``done``; ``failed`` when it certainly did not happen; ``unknown`` when nobody can tell.
        reference: the provider's id of it.
        error: kind of the error, if there was one.
    """

    state: State
    reference: str | None = None
    error: str | None = None


Deliver = Callable[[Effect], Awaitable[str | None]]
"""Hands the effect to the provider and returns the provider's id of it, if there is one.

It raises :class:`NotSentError` or :class:`RefusedError` when it knows that nothing happened. Everything else it raises,
a timeout too, leaves that open.
"""

SettledHook = Callable[[AsyncSession, Effect, Settled], Awaitable[None]]
"""Called in the transaction that records what became of an effect; for the worker's own tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One way out.

    Attributes:
        idempotent: the provider recognises the key. Then an effect in doubt is sent again; otherwise it becomes
            ``unknown``, is reported, and is never sent again by itself.
        attempts: tries until it counts as failed, or as unknown when one of them was in doubt.
        timeout_s: of one attempt.
        retry_s: before the second attempt; doubled each time, up to ``retry_most_s``.
        settled: see :data:`SettledHook`.
    """

    channel: str
    send: Deliver
    idempotent: bool
    attempts: int = 10
    timeout_s: float = 15.0
    retry_s: float = 1.0
    retry_most_s: float = 300.0
    settled: SettledHook | None = None
