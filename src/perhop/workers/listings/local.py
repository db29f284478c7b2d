"""Homes in the worker's own table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, func, literal_column, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.store import Database
from perhop.workers.listings.homes import PAGE, Found, Home, Query
from perhop.workers.listings.tables import HomeRow

__all__ = ["LocalSource", "put", "sample_homes"]

_FIELDS = tuple(Home.__dataclass_fields__)

# Made once: making it takes longer than asking.
_ONE = select(HomeRow).where(HomeRow.tenant == bindparam("of"), HomeRow.id == bindparam("home"))


class LocalSource:
    """Looks homes up in the table.

    Args:
        sample: the table is filled with sample homes first; nothing is looked up before that.
    """

    def __init__(self, *, sample: bool) -> None:
        self._ready = asyncio.Event()
        self._sample = sample
        if not sample:
            self._ready.set()

    async def prepare(self, database: Database, *, tenant: str = "default") -> None:
        """Fills an empty table with the sample homes."""
        if self._sample:
            async with database.session() as session:
                if (await session.execute(select(HomeRow.key).limit(1))).first() is None:
                    await put(session, sample_homes(datetime.now(UTC).date()), tenant=tenant)
        self._ready.set()

    async def search(self, query: Query, *, tenant: str, session: AsyncSession) -> Found:
        """The homes that match."""
        await self._ready.wait()
        conditions = [HomeRow.tenant == tenant, *_conditions(query, session)]
        total = (await session.scalar(select(func.count()).select_from(HomeRow).where(*conditions))) or 0
        start = (query.page - 1) * PAGE
        rows = await session.scalars(
            select(HomeRow).where(*conditions).order_by(HomeRow.price, HomeRow.id).offset(start).limit(PAGE)
        )
        homes = [_home(row) for row in rows]
        return Found(homes, total, total > start + len(homes))

    async def get(self, home_id: str, *, tenant: str, session: AsyncSession) -> Home | None:
        """The home of this number."""
        await self._ready.wait()
        row = await session.scalar(_ONE, {"of": tenant, "home": home_id})
        return _home(row) if row is not None else None


async def put(session: AsyncSession, homes: Iterable[Home], *, tenant: str) -> None:
    """Adds homes; one that is there under the same number stays as it is."""
    rows = [_row(home, tenant) for home in homes]
    if not rows:
        return
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    for row in rows:
        await session.execute(insert(HomeRow).values(**row).on_conflict_do_nothing(index_elements=["tenant", "id"]))


def sample_homes(today: date) -> list[Home]:
    """The made-up homes that the worker brings along.

    Args:
        today: what is not free yet becomes so in the weeks after it.
    """
    homes = []
    for entry in json.loads(Path(__file__).with_name("sample.json").read_text(encoding="utf-8")):
        in_days = entry.pop("available_in_days", None)
        available = today + timedelta(days=in_days) if in_days is not None else None
        homes.append(Home(**{**entry, "features": tuple(entry["features"]), "available_from": available}))
    return homes


def _conditions(query: Query, session: AsyncSession) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.city is not None:
        wanted.append(HomeRow.city_key == query.city.strip().casefold())
    if query.bedrooms is not None:
        wanted.append(HomeRow.bedrooms == query.bedrooms)
    if query.bathrooms is not None:
        wanted.append(HomeRow.bathrooms >= query.bathrooms)
    if query.min_price is not None:
        wanted.append(HomeRow.price >= query.min_price)
    if query.max_price is not None:
        wanted.append(HomeRow.price <= query.max_price)
    if query.kind is not None:
        wanted.append(HomeRow.kind == query.kind.strip().casefold())
    if query.available_by is not None:
        wanted.append(HomeRow.available_from.is_(None) | (HomeRow.available_from <= query.available_by))
    if query.words:
        wanted.append(_has_words(query.words, session))
    return wanted


def _has_words(words: tuple[str, ...], session: AsyncSession) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        column: ColumnElement[Any] = literal_column("listings_homes.words")
        found: ColumnElement[bool] = column.bool_op("@@")(func.plainto_tsquery("english", " ".join(words)))
        return found
    # Words in quotation marks are words, whatever the query language of FTS5 would make of them.
    quoted = " ".join('"{}"'.format(word.replace('"', '""')) for word in words)
    matching = select(literal_column("rowid", Integer)).select_from(text("listings_words"))
    return HomeRow.key.in_(matching.where(text("listings_words MATCH :words").bindparams(bindparam("words", quoted))))


def _row(home: Home, tenant: str) -> dict[str, object]:
    return {
        **asdict(home),
        "tenant": tenant,
        "city_key": home.city.casefold(),
        "kind": home.kind.casefold(),
        "features": list(home.features),
        "features_text": ", ".join(home.features),
    }


def _home(row: HomeRow) -> Home:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Home(**{**values, "features": tuple(row.features)})
