"""What was said. Changing a table takes a migration too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Boolean, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "CutRow", "TalkRow", "TurnRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class TalkRow(_Base):
    """One call.

    Attributes:
        began_at: None until the event that says so was taken; events of different kinds overtake each other.
        seen_at: time of its latest event, from which retention counts.
    """

    __tablename__ = "transcript_calls"
    __table_args__ = (Index(None, "seen_at"),)

    tenant: Mapped[str] = mapped_column(String(128), primary_key=True)
    call_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    agent: Mapped[str | None] = mapped_column(String(64))
    began_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TurnRow(_Base):
    """What one side said. The full text index over ``words`` is the database's business: an FTS5 table kept by triggers
    on SQLite, a generated column on PostgreSQL.

    Attributes:
        key: for the index and for the order of what came at the same time.
        event_id: by which it is known when it comes again.
        item_id: of the conversation's item.
        role: ``caller`` or ``agent``.
        spoken: not typed.
        words: the text's words alone, in one spelling, so that both databases find the same.
        said_at: when the text became known.
    """

    __tablename__ = "transcript_turns"
    __table_args__ = (UniqueConstraint("tenant", "call_id", "event_id"), Index(None, "tenant", "call_id", "said_at"))

    key: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    call_id: Mapped[str] = mapped_column(String(128))
    event_id: Mapped[str] = mapped_column(String(200))
    item_id: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    spoken: Mapped[bool] = mapped_column(Boolean)
    text: Mapped[str] = mapped_column(Text)
    words: Mapped[str] = mapped_column(Text)
    said_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CutRow(_Base):
    """What the caller did not hear to its end.

    Attributes:
        heard_ms: of the item's audio.
    """

    __tablename__ = "transcript_cuts"

    tenant: Mapped[str] = mapped_column(String(128), primary_key=True)
    call_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    heard_ms: Mapped[int] = mapped_column(Integer)


SCHEMA = Schema("transcript", _Base.metadata, Path(__file__).parent / "migrations")
"""Tables of the worker ``transcript``."""
