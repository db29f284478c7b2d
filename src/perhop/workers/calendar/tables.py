"""Bookings, and what time they and others take. Changing a table takes a migration too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import BigInteger, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "BookingRow", "CellRow", "EventRow", "SiteRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class BookingRow(_Base):
    """One booking.

    Attributes:
        id: eight digits, which a caller can say.
        state: ``booked`` or ``cancelled``.
        revision: counts changes, from 0.
        pushed: the revision that the calendar elsewhere has; None when it has none.
        etag: of the event there.
    """

    __tablename__ = "calendar_bookings"
    __table_args__ = (Index(None, "tenant", "resource", "starts_at"), Index(None, "tenant", "phone", "starts_at"))

    tenant: Mapped[str] = mapped_column(String(128), primary_key=True)
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    resource: Mapped[str] = mapped_column(String(64))
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    name: Mapped[str | None] = mapped_column(String(100))
    phone: Mapped[str | None] = mapped_column(String(32))
    note: Mapped[str | None] = mapped_column(Text)
    call_id: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column(Integer, default=0)
    pushed: Mapped[int | None] = mapped_column(Integer)
    etag: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CellRow(_Base):
    """Five minutes of a resource that are taken. The key is what keeps two from having the same time.

    Attributes:
        owner: ``booking:<id>`` or ``event:<uid>``.
    """

    __tablename__ = "calendar_cells"
    __table_args__ = (Index(None, "tenant", "owner"),)

    tenant: Mapped[str] = mapped_column(String(128), primary_key=True)
    resource: Mapped[str] = mapped_column(String(64), primary_key=True)
    cell: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    owner: Mapped[str] = mapped_column(String(80))


class EventRow(_Base):
    """An event of a calendar elsewhere that takes time of a resource; once for each recurrence.

    Attributes:
        uid: digest of the event's own, which may be of any length, and of its time.
    """

    __tablename__ = "calendar_events"

    tenant: Mapped[str] = mapped_column(String(128), primary_key=True)
    resource: Mapped[str] = mapped_column(String(64), primary_key=True)
    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SiteRow(_Base):
    """One row, made with the table: a name of these tables that no others have."""

    __tablename__ = "calendar_site"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)


SCHEMA = Schema("calendar", _Base.metadata, Path(__file__).parent / "migrations")
"""Tables of the worker ``calendar``."""
