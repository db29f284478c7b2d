"""The tables of Perhop itself. Changing one takes a migration too: a test holds them against each other."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Index, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store.schema import Schema
from perhop.store.types import Money, UtcDateTime

__all__ = ["NAMING", "SCHEMA", "Base", "CallRow", "InstanceRow"]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of indexes and constraints, the same on every database, so that migrations can speak of them."""


class Base(DeclarativeBase):
    """All tables of the schema ``core``."""

    metadata = MetaData(naming_convention=NAMING)


class InstanceRow(Base):
    """One run of a Perhop process.

    Attributes:
        name: what stays the same when the process is started again.
        seen_at: when it last said that it lives.
    """

    __tablename__ = "instances"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CallRow(Base):
    """One call: figures and states, never what was said.

    Attributes:
        key: name of the API key it was started with.
        instance: the run of the process it lives or lived in.
        ended_at: None while it lives.
        end_reason: a value of :class:`~perhop.call.legs.EndReason`; ``crashed`` when the process ended under it.
        epoch: how often the model session was replaced, for whatever reason.
        input_text_tokens: and the others: of responses; what was cached is counted apart, not twice.
        transcription_tokens: of the model that transcribes callers, where it charges tokens.
        transcription_s: the same, where it charges time.
        cost: by the price table in force when the tokens were used.
        priced: False when some of the usage had no price: ``cost`` is then too low.
        rtt_ms: of the caller's hop, last known; jitter and packets likewise.
    """

    __tablename__ = "calls"
    __table_args__ = (
        Index(None, "tenant", "started_at", "id"),
        Index(None, "started_at"),
        Index(None, "ended_at", "instance"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    key: Mapped[str | None] = mapped_column(String(64))
    agent: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(128))
    transport: Mapped[str] = mapped_column(String(16))
    instance: Mapped[str] = mapped_column(String(64), ForeignKey("instances.id"))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_reason: Mapped[str | None] = mapped_column(String(64))
    duration_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    turns: Mapped[int] = mapped_column(Integer, default=0)
    responses: Mapped[int] = mapped_column(Integer, default=0)
    interruptions: Mapped[int] = mapped_column(Integer, default=0)
    tool_calls: Mapped[int] = mapped_column(Integer, default=0)
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    renewals: Mapped[int] = mapped_column(Integer, default=0)
    reconnects: Mapped[int] = mapped_column(Integer, default=0)
    input_text_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    input_audio_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    input_image_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_text_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_audio_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cached_image_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_text_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_audio_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    transcription_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    transcription_s: Mapped[float] = mapped_column(Float, default=0.0)
    cost: Mapped[Decimal] = mapped_column(Money, default=Decimal(0))
    priced: Mapped[bool] = mapped_column(Boolean, default=True)
    rtt_ms: Mapped[float | None] = mapped_column(Float)
    jitter_ms: Mapped[float | None] = mapped_column(Float)
    packets_received: Mapped[int | None] = mapped_column(BigInteger)
    packets_lost: Mapped[int | None] = mapped_column(BigInteger)


SCHEMA = Schema("core", Base.metadata, Path(__file__).parent / "migrations")
"""Perhop's own tables."""
