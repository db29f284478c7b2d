"""The time by which workers judge, and old rows that go as it passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.store import StoreError
from perhop.workers.sdk import Background, Site

__all__ = ["EVERY_S", "pruning", "utc_now"]

EVERY_S = 3600.0

_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def pruning(worker: str, prune: Callable[[AsyncSession], Awaitable[int]]) -> Background:
    """Work for :meth:`~perhop.workers.sdk.Worker.background`: deletes old rows at once and then every hour.

    While the database is away they stay; the next hour has them.

    Args:
        worker: its name, for the log.
        prune: deletes a batch of them, each in a transaction of its own; returns how many. None left is 0.
    """

    async def work(site: Site) -> None:
        while True:
            try:
                gone = 1
                while gone:
                    async with site.database.session() as session:
                        gone = await prune(session)
            except StoreError:
                _log.warning("old rows stay until the database is back", worker=worker)
            await asyncio.sleep(EVERY_S)

    return work
