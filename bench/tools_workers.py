"""A worker for ``bench/tools.py`` whose tools do next to nothing: what they cost is the way to them."""

from __future__ import annotations

import asyncio

from sqlalchemy import Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop import Worker, WorkerContext

__all__ = ["Base", "trivial"]


class Base(DeclarativeBase):
    metadata = MetaData()


class Row(Base):
    """What one effect writes."""

    __tablename__ = "bench_rows"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    text: Mapped[str] = mapped_column(String(256))


trivial = Worker("trivial", concurrency=64)


@trivial.tool(effect="none")
async def look(word: str) -> dict[str, str]:
    """Looks something up."""
    return {"found": word}


@trivial.tool(effect="once")
async def write(text: str, context: WorkerContext) -> dict[str, int]:
    """Writes one row."""
    row = Row(text=text)
    context.session.add(row)
    await context.session.flush()
    return {"row": row.id}


@trivial.tool(effect="none", timeout_s=600)
async def hang() -> None:
    """Never answers."""
    await asyncio.Event().wait()
