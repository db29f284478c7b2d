"""The tables of the bus: events that wait for it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "OutboxRow", "TurnRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class OutboxRow(_Base):
    """One event that waits.

    Attributes:
        id: in the order the events came; never used twice.
        message_id: what makes it the same when it is sent again.
    """

    __tablename__ = "bus_outbox"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - as SQLAlchemy wants it

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    subject: Mapped[str] = mapped_column(String(512))
    message_id: Mapped[str] = mapped_column(String(255), unique=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TurnRow(_Base):
    """Whose turn it is to deliver: one process at a time, so that the order holds."""

    __tablename__ = "bus_outbox_turn"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    owner: Mapped[str] = mapped_column(String(64))
    until: Mapped[datetime] = mapped_column(UtcDateTime)


SCHEMA = Schema("bus", _Base.metadata, Path(__file__).parent / "migrations")
"""Events that wait for the bus."""
