"""Contacts, leads and notes. Changing a table takes a migration too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "ContactRow", "LeadRow", "NoteRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class ContactRow(_Base):
    """One person. The two unique keys are what keeps two callers, or two calls, from making the same person twice.

    Attributes:
        phone: E.164.
        email: lower case.
    """

    __tablename__ = "crm_contacts"
    __table_args__ = (
        UniqueConstraint("tenant", "phone"),
        UniqueConstraint("tenant", "email"),
        CheckConstraint("phone IS NOT NULL OR email IS NOT NULL", name="reachable"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    name: Mapped[str | None] = mapped_column(String(100))
    phone: Mapped[str | None] = mapped_column(String(20))
    email: Mapped[str | None] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LeadRow(_Base):
    """Something that a contact wants."""

    __tablename__ = "crm_leads"
    __table_args__ = (Index(None, "tenant", "contact", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    contact: Mapped[int] = mapped_column(Integer, ForeignKey("crm_contacts.id", ondelete="CASCADE"))
    subject: Mapped[str] = mapped_column(String(200))
    details: Mapped[str | None] = mapped_column(Text)
    call_id: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NoteRow(_Base):
    """Something to remember about a contact."""

    __tablename__ = "crm_notes"
    __table_args__ = (Index(None, "tenant", "contact", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    contact: Mapped[int] = mapped_column(Integer, ForeignKey("crm_contacts.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(Text)
    call_id: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


SCHEMA = Schema("crm", _Base.metadata, Path(__file__).parent / "migrations")
"""Tables of the worker ``crm``."""
