"""The worker's own homes. Changing the table takes a migration too."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from sqlalchemy import JSON, Boolean, Date, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING

__all__ = ["SCHEMA", "HomeRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class HomeRow(_Base):
    """One home. The full text index over ``area``, ``street``, ``kind``, ``city``, ``features_text`` and
    ``description`` is the database's business: an FTS5 table kept by triggers on SQLite, a generated column on
    PostgreSQL.

    Attributes:
        key: for the full text index; nobody else sees it.
        id: as people and tools say it.
        city_key: the city without case, for comparing.
    """

    __tablename__ = "listings_homes"
    __table_args__ = (UniqueConstraint("tenant", "id"), Index(None, "tenant", "city_key", "bedrooms", "price"))

    key: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant: Mapped[str] = mapped_column(String(128))
    id: Mapped[str] = mapped_column(String(64))
    city: Mapped[str] = mapped_column(String(100))
    city_key: Mapped[str] = mapped_column(String(200))
    area: Mapped[str] = mapped_column(String(100), default="")
    street: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(40))
    bedrooms: Mapped[int] = mapped_column(Integer)
    bathrooms: Mapped[int] = mapped_column(Integer)
    price: Mapped[int] = mapped_column(Integer)
    square_feet: Mapped[int | None] = mapped_column(Integer)
    pets: Mapped[bool | None] = mapped_column(Boolean)
    available_from: Mapped[date | None] = mapped_column(Date)
    features: Mapped[list[str]] = mapped_column(JSON, default=list)
    features_text: Mapped[str] = mapped_column(Text, default="")
    description: Mapped[str] = mapped_column(Text, default="")


SCHEMA = Schema("listings", _Base.metadata, Path(__file__).parent / "migrations")
"""Tables of the worker ``listings``."""
