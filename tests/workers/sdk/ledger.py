"""A worker whose effects can be counted: it adds amounts to accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import Integer, MetaData, String, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop import ToolError, Worker, WorkerContext
from perhop.store import Database

__all__ = ["Base", "Entry", "Hook", "count", "create_tables", "make_worker"]

Hook = Callable[[WorkerContext], Awaitable[None]]


class Base(DeclarativeBase):
    metadata = MetaData()


class Entry(Base):
    __tablename__ = "ledger_entries"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    account: Mapped[str] = mapped_column(String(64))
    amount: Mapped[int] = mapped_column(Integer)


async def create_tables(database: Database) -> None:
    async with database.session() as session:
        connection = await session.connection()
        await connection.run_sync(Base.metadata.create_all)


async def count(database: Database, account: str = "a") -> int:
    async with database.session(reading=True) as session:
        found = await session.scalar(select(func.count()).select_from(Entry).where(Entry.account == account))
        return found or 0


async def _nothing(context: WorkerContext) -> None:
    await asyncio.sleep(0)


def make_worker(before_return: Hook = _nothing, *, concurrency: int = 32, timeout_s: float = 5.0) -> Worker:
    worker = Worker("ledger", version="1.2.3", description="Accounts", concurrency=concurrency)

    @worker.tool(effect="once", timeout_s=timeout_s)
    async def add(account: str, amount: int, context: WorkerContext) -> dict[str, int]:
        """Adds an amount."""
        entry = Entry(account=account, amount=amount)
        context.session.add(entry)
        await context.session.flush()
        if amount < 0:
            raise ToolError("The account would be overdrawn.")
        await before_return(context)
        return {"entry": entry.id}

    @worker.tool(effect="none")
    async def total(account: str, context: WorkerContext) -> int:
        """Sums up an account."""
        query = select(func.coalesce(func.sum(Entry.amount), 0)).where(Entry.account == account)
        return int(await context.session.scalar(query) or 0)

    @worker.tool(effect="none")
    def ping() -> str:
        """Answers."""
        return "pong"

    return worker
