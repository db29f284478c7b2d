"""The tables of the registry."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import BigInteger, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from perhop.store import Schema
from perhop.store.models import NAMING
from perhop.store.types import UtcDateTime

__all__ = ["SCHEMA", "EntryRow", "StateRow", "VersionRow"]


class _Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class StateRow(_Base):
    """One row. Who changes something changes it first, so that changes are made one after the other, and those with a
    higher revision are never seen before those with a lower one."""

    __tablename__ = "registry_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(BigInteger)


class EntryRow(_Base):
    """An agent or a tool as it is now.

    Attributes:
        kind: ``agent`` or ``tool``.
        version: counts its changes, its deletion included.
        revision: of the registry when it changed last.
        body: the definition, JSON; null when it was deleted. The row stays, so that no file brings it back.
        changed_by: ``key <name>``, ``settings`` or ``import``.
    """

    __tablename__ = "registry_entries"
    __table_args__ = (Index(None, "revision"),)

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[str | None] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(String(80))


class VersionRow(_Base):
    """An agent or a tool as it was once, and is: the newest version is here too."""

    __tablename__ = "registry_versions"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    body: Mapped[str | None] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(String(80))


SCHEMA = Schema("registry", _Base.metadata, Path(__file__).parent / "migrations")
"""Agents and tools."""
