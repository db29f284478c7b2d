"""Six workers for ``bench/tools.py``: each looks, writes one row, and hangs."""

from __future__ import annotations

import asyncio

from sqlalchemy import Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop import Worker, WorkerContext

__all__ = ["NAMES", "Base", "Row", "audit", "calendar", "crm", "listings", "sms", "transcript"]

NAMES = ("crm", "calendar", "listings", "sms", "transcript", "audit")


class Base(DeclarativeBase):
    metadata = MetaData()


class Row(Base):
    """What one effect writes."""

    __tablename__ = "bench_rows"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(String(256))


def _make(name: str) -> Worker:
    worker = Worker(name, concurrency=64)

    @worker.tool(name=f"{name}_look", effect="none")
    async def look(word: str) -> dict[str, str]:
        """Looks something up."""
        return {"found": word}

    @worker.tool(name=f"{name}_write", effect="once")
    async def write(text: str, context: WorkerContext) -> dict[str, int]:
        """Writes one row."""
        row = Row(worker=name, text=text)
        context.session.add(row)
        await context.session.flush()
        return {"row": row.id}

    @worker.tool(name=f"{name}_hang", effect="none", timeout_s=600)
    async def hang() -> None:
        """Never answers."""
        await asyncio.Event().wait()

    return worker


crm, calendar, listings, sms, transcript, audit = map(_make, NAMES)
