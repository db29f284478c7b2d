"""What every worker keeps besides its own tables: outcomes, and effects that are still to be had outside."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Boolean, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "EffectRow", "OutcomeRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class OutcomeRow(_Base):
    """What one function call came to. Written in the transaction that has the effect, so that both are there or none.

    Attributes:
        asked: digest of tool and arguments, to tell a repetition from another call that has the same ids.
        state: ``done`` or ``refused``; ``begun`` only inside the transaction.
        result: JSON of the result; of a refusal its message.
    """

    __tablename__ = "worker_outcomes"
    __table_args__ = (Index(None, "created_at"),)

    worker: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128), primary_key=True)
    call_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    function_call_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    tool: Mapped[str] = mapped_column(String(64))
    asked: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    result: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EffectRow(_Base):
    """One effect outside the database.

    Attributes:
        key: the same for every attempt; handed to the provider.
        channel: which of the worker's deliveries takes it.
        payload: JSON; gone once the effect is settled.
        state: ``pending``, ``sending``, ``done``, ``failed`` or ``unknown``.
        leased_until: while it is being sent; when it is past, whoever sent it died.
        reference: the provider's id of it.
        error: kind of the last error.
        in_doubt: an attempt that is over may have had the effect; then it cannot fail any more, only be unknown.
    """

    __tablename__ = "worker_effects"
    __table_args__ = (Index(None, "worker", "state", "due_at"), Index(None, "updated_at"))

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    worker: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(128))
    call_id: Mapped[str] = mapped_column(String(200))
    function_call_id: Mapped[str] = mapped_column(String(200))
    payload: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reference: Mapped[str | None] = mapped_column(String(255))
    error: Mapped[str | None] = mapped_column(String(255))
    in_doubt: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


SCHEMA = Schema("worker", _Base.metadata, Path(__file__).parent / "migrations")
"""Tables of the SDK; workers that share a database share them."""
