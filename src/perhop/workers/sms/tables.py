"""What is known of text messages. Changing a table takes a migration too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "MessageRow", "OptOutRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class MessageRow(_Base):
    """One message: to whom, and how far it is. What it says is in the outbox until it was handed over.

    Attributes:
        id: the key of its effect.
        sender: our number.
        phone: in E.164.
        state: see :mod:`perhop.workers.sms.states`.
        reference: the provider's id of it.
        error: why it failed: a word of ours, or the provider's error code.
        text: only where no provider is configured.
        due_at: not sent before.
    """

    __tablename__ = "sms_messages"
    __table_args__ = (
        Index(None, "tenant", "phone", "created_at"),
        Index(None, "created_at"),
        Index(None, "tenant", "call_id"),
        Index(None, "tenant", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    call_id: Mapped[str] = mapped_column(String(200))
    sender: Mapped[str] = mapped_column(String(16))
    phone: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    reference: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(String(64))
    text: Mapped[str | None] = mapped_column(Text)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OptOutRow(_Base):
    """Somebody who wants no messages from one of our numbers, whatever tenant uses it."""

    __tablename__ = "sms_opt_outs"

    sender: Mapped[str] = mapped_column(String(16), primary_key=True)
    phone: Mapped[str] = mapped_column(String(16), primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)


SCHEMA = Schema("sms", _Base.metadata, Path(__file__).parent / "migrations")
"""Tables of the worker ``sms``."""
