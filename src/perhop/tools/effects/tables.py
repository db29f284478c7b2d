"""The table of effects."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "EffectRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class EffectRow(_Base):
    """One effect of one function call.

    Attributes:
        key: the ``idempotency_key`` of its context.
        state: an :class:`~perhop.tools.effects.ledger.EffectState`.
        code: of the error, if there was one.
        arguments: JSON; only while it is pending, and only of tools that can be asked once more. What a tool answered
            is never stored.
        deadline: when it is past, a pending one was left by a process that died.
    """

    __tablename__ = "effects"
    __table_args__ = (Index(None, "state", "deadline"), Index(None, "ended_at"))

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    call_id: Mapped[str] = mapped_column(String(200))
    function_call_id: Mapped[str] = mapped_column(String(200))
    agent: Mapped[str] = mapped_column(String(64))
    tool: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(String(64))
    arguments: Mapped[str | None] = mapped_column(Text)
    deadline: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


SCHEMA = Schema("effects", _Base.metadata, Path(__file__).parent / "migrations")
"""Perhop's record of effects."""
