"""A worker whose effects can be counted, and which dies where it hurts when it is told to.

An order is a row in the database, a charge at a provider that knows idempotency keys, and a letter at one that knows
none. The file named by ``$CHAOS_MOMENT`` says at which of :data:`MOMENTS` to die; whichever process comes there first
takes the file away and kills itself.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

import httpx
from sqlalchemy import Integer, MetaData, String, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop import Worker, WorkerContext
from perhop.workers.sdk import Effect, NotSentError

__all__ = ["MOMENTS", "Base", "Order", "worker"]

BEFORE_COMMIT = "before the commit"
AFTER_COMMIT = "after the commit"
CHARGED = "charged, not noted"
WRITTEN = "written, not noted"
MOMENTS = (BEFORE_COMMIT, AFTER_COMMIT, CHARGED, WRITTEN)
"""All of them lie between an effect and its answer; the last two between an effect outside and the note of it."""

_TOLD = Path(os.environ.get("CHAOS_MOMENT", "/nowhere/moment"))
_PROVIDER = os.environ.get("CHAOS_PROVIDER", "")


class Base(DeclarativeBase):
    metadata = MetaData()


class Order(Base):
    """One effect in the database; nothing but the worker keeps a number from coming twice."""

    __tablename__ = "chaos_orders"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[str] = mapped_column(String(32))


def due(moment: str) -> bool:
    """Whether this process is the one to die now."""
    try:
        if _TOLD.read_text() != moment:
            return False
        _TOLD.rename(_TOLD.with_name(f"died-{os.getpid()}"))
    except FileNotFoundError:
        return False
    return True


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


worker = Worker("shop", description="Orders", concurrency=16)


@worker.tool(effect="once", timeout_s=2.0)
async def order(number: str, context: WorkerContext) -> dict[str, str]:
    """Places an order.

    Args:
        number: of the order.
    """
    context.session.add(Order(number=number))
    context.effects.add("charge", {"number": number})
    context.effects.add("letter", {"number": number})
    await context.session.flush()
    if due(BEFORE_COMMIT):
        die()
    if due(AFTER_COMMIT):
        event.listen(context.session.sync_session, "after_commit", lambda _: die())
    return {"number": number}


@worker.tool(effect="none", timeout_s=2.0)
async def look(number: str, context: WorkerContext) -> dict[str, str]:
    """Looks whether there are orders.

    Args:
        number: handed back.
    """
    await context.session.scalar(select(Order.id).limit(1))
    return {"number": number}


@cache
def _client() -> httpx.AsyncClient:
    """One for the process, made in its event loop."""
    return httpx.AsyncClient(base_url=_PROVIDER, timeout=2.0, trust_env=False)


async def _post(effect: Effect, path: str, headers: dict[str, str]) -> None:
    try:
        answer = await _client().post(path, json=effect.payload, headers=headers)
    except httpx.ConnectError as error:
        raise NotSentError(str(error)) from None
    answer.raise_for_status()


@worker.deliver("charge", idempotent=True, timeout_s=2.0, retry_s=0.2)
async def charge(effect: Effect) -> None:
    """Knows keys."""
    await _post(effect, "/charges", {"Idempotency-Key": effect.key})
    if due(CHARGED):
        die()


@worker.deliver("letter", idempotent=False, timeout_s=2.0, retry_s=0.2)
async def write(effect: Effect) -> None:
    """Knows none."""
    await _post(effect, "/letters", {})
    if due(WRITTEN):
        die()
