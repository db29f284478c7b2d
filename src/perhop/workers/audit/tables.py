"""What happened. Changing the table takes a migration too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import BigInteger, Index, Integer, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "AuditRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class AuditRow(_Base):
    """One thing that happened. The database itself refuses to change or delete a row: triggers on both.

    Attributes:
        key: in the order they were recorded.
        event_id: by which it is known when it comes again.
        what: ``call.started``, ``tool.ran`` and so on.
        who: ``key:<name>``, ``agent:<name>``, or ``perhop``.
        subject: what it was done to or with: the name of an agent, tool or model.
        outcome: ``ok``, an error code, or a reason; never a text of anybody.
        recorded_at: when the row was written.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        UniqueConstraint("tenant", "call_id", "event_id"),
        Index(None, "tenant", "at"),
    )

    key: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    call_id: Mapped[str] = mapped_column(String(128))
    event_id: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[str] = mapped_column(String(64))
    who: Mapped[str] = mapped_column(String(128))
    subject: Mapped[str] = mapped_column(String(128))
    outcome: Mapped[str] = mapped_column(String(128))
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)


SCHEMA = Schema("audit_trail", _Base.metadata, Path(__file__).parent / "migrations")
"""Tables of the worker ``audit``."""
