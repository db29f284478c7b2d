"""Entries of the registry in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.registry.errors import EntryConflictError, RegistryError, UnknownEntryError
from perhop.registry.tables import EntryRow, StateRow, VersionRow
from perhop.store import Database

__all__ = ["Change", "Entry", "Expected", "Kind", "RegistryStore", "StoreLimits"]

Kind = Literal["agent", "tool"]

Expected = int | Literal["absent", "present", "any"]
"""What whoever changes an entry believes to be there: this version, none, some version, or does not care."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An agent or a tool in one version.

    Attributes:
        version: counts from 1.
        body: the definition, JSON; None when this version is its deletion.
        changed_by: ``key <name>``, ``settings`` or ``import``.
        revision: of the registry, when it became this; 0 for a version of the past.
    """

    tenant: str
    kind: Kind
    name: str
    version: int
    body: str | None
    changed_at: datetime
    changed_by: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds.

    Attributes:
        entries: of one kind of one tenant.
        versions: of one entry; older ones are deleted.
    """

    entries: int = 1000
    versions: int = 200


class Change:
    """A transaction in which somebody changes entries; all others wait.

    Args:
        revision: that the registry has afterwards.
        author: who it is.
    """

    def __init__(self, session: AsyncSession, *, revision: int, author: str, limits: StoreLimits) -> None:
        self._session = session
        self._revision = revision
        self._author = author[:80]
        self._limits = limits

    async def since(self, tenant: str, revision: int) -> list[Entry]:
        """Entries of a tenant that changed after this revision, deleted ones included."""
        query = select(EntryRow).where(EntryRow.tenant == tenant, EntryRow.revision > revision)
        return [_entry(row) for row in await self._session.scalars(query)]

    async def put(self, tenant: str, kind: Kind, name: str, body: str | None, *, expected: Expected = "any") -> Entry:
        """Gives an entry a new version; what says the same is left as it is.

        Args:
            body: JSON; None deletes it.

        Raises:
            EntryConflictError: what was expected is not what is there.
            RegistryError: the tenant has too many.
            UnknownEntryError: what is not there cannot be deleted.
        """
        old = await self._session.get(EntryRow, (tenant, kind, name))
        current = old.version if old is not None and old.body is not None else None
        if current is None and body is None:
            raise UnknownEntryError(f"there is no {kind} {name!r}")
        _check(expected, current, kind, name)
        if old is not None and current is not None and old.body == body:
            return _entry(old)
        if old is None:
            await self._make_room(tenant, kind)
        version = old.version + 1 if old is not None else 1
        entry = Entry(tenant, kind, name, version, body, datetime.now(UTC), self._author, self._revision)
        values = {
            "version": version,
            "body": body,
            "changed_at": entry.changed_at,
            "changed_by": entry.changed_by,
        }
        key = {"tenant": tenant, "kind": kind, "name": name}
        await self._write_entry({**key, **values, "revision": self._revision})
        await self._session.execute(insert(VersionRow).values(**key, **values))
        await self._session.execute(
            delete(VersionRow).where(
                VersionRow.tenant == tenant,
                VersionRow.kind == kind,
                VersionRow.name == name,
                VersionRow.version <= version - self._limits.versions,
            )
        )
        if old is not None:
            self._session.expire(old)
        return entry

    async def _write_entry(self, values: dict[str, object]) -> None:
        connection = await self._session.connection()
        make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        changed = {name: value for name, value in values.items() if name not in ("tenant", "kind", "name")}
        await self._session.execute(
            make(EntryRow)
            .values(**values)
            .on_conflict_do_update(index_elements=["tenant", "kind", "name"], set_=changed)
        )

    async def _make_room(self, tenant: str, kind: Kind) -> None:
        """Rows of deleted entries count too: names cannot be made up without end."""
        names = select(EntryRow.name).where(EntryRow.tenant == tenant, EntryRow.kind == kind)
        count = len((await self._session.scalars(names.limit(self._limits.entries))).all())
        if count >= self._limits.entries:
            raise RegistryError(
                f"the tenant has {count} {kind}s, deleted ones included; "
                "registry.max_entries in the settings allows no more"
            )


class RegistryStore:
    """The tables of the registry."""

    def __init__(self, db: Database, limits: StoreLimits | None = None) -> None:
        self._db = db
        self._limits = limits or StoreLimits()

    @asynccontextmanager
    async def change(self, author: str) -> AsyncIterator[Change]:
        """A transaction for changes, committed when the block ends.

        Raises:
            StoreDownError: the database does not answer.
        """
        async with self._db.session() as session:
            raised = await session.execute(
                update(StateRow)
                .where(StateRow.id == 1)
                .values(revision=StateRow.revision + 1)
                .returning(StateRow.revision)
            )
            yield Change(session, revision=raised.scalar_one(), author=author, limits=self._limits)

    async def since(self, revision: int) -> list[Entry]:
        """Entries that changed after this revision, deleted ones included. Raises StoreDownError."""
        async with self._db.session(reading=True) as session:
            query = select(EntryRow).where(EntryRow.revision > revision).order_by(EntryRow.revision)
            return [_entry(row) for row in await session.scalars(query)]

    async def all(self, tenant: str) -> list[Entry]:
        """Everything a tenant has now."""
        query = select(EntryRow).where(EntryRow.tenant == tenant, EntryRow.body.is_not(None))
        async with self._db.session(reading=True) as session:
            return [_entry(row) for row in await session.scalars(query.order_by(EntryRow.kind, EntryRow.name))]

    async def get(self, tenant: str, kind: Kind, name: str) -> Entry:
        """An entry as it is now.

        Raises:
            UnknownEntryError: there is none.
        """
        async with self._db.session(reading=True) as session:
            row = await session.get(EntryRow, (tenant, kind, name))
        if row is None or row.body is None:
            raise UnknownEntryError(f"there is no {kind} {name!r}")
        return _entry(row)

    async def page(self, tenant: str, kind: Kind, *, after: str = "", limit: int) -> list[Entry]:
        """Entries by name, those that were deleted left out.

        Args:
            after: a name; those that follow it.
        """
        query = (
            select(EntryRow)
            .where(EntryRow.tenant == tenant, EntryRow.kind == kind, EntryRow.name > after, EntryRow.body.is_not(None))
            .order_by(EntryRow.name)
            .limit(limit)
        )
        async with self._db.session(reading=True) as session:
            return [_entry(row) for row in await session.scalars(query)]

    async def versions(
        self, tenant: str, kind: Kind, name: str, *, before: int | None = None, limit: int
    ) -> Sequence[Entry]:
        """Versions of an entry, newest first, also of one that was deleted.

        Args:
            before: a version; those that came before it.
        """
        query = (
            select(VersionRow)
            .where(VersionRow.tenant == tenant, VersionRow.kind == kind, VersionRow.name == name)
            .order_by(VersionRow.version.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(VersionRow.version < before)
        async with self._db.session(reading=True) as session:
            return [_entry(row) for row in await session.scalars(query)]

    async def version(self, tenant: str, kind: Kind, name: str, version: int) -> Entry:
        """An entry as it was.

        Raises:
            UnknownEntryError: there is no such version, or not any more.
        """
        async with self._db.session(reading=True) as session:
            row = await session.get(VersionRow, (tenant, kind, name, version))
        if row is None:
            raise UnknownEntryError(f"there is no version {version} of a {kind} {name!r}")
        return _entry(row)


def _check(expected: Expected, current: int | None, kind: Kind, name: str) -> None:
    match expected:
        case "any":
            return
        case "absent" if current is not None:
            raise EntryConflictError(f"there is a {kind} {name!r} already, in version {current}", current=current)
        case "present" if current is None:
            raise EntryConflictError(f"there is no {kind} {name!r}", current=None)
        case int() if current != expected:
            now = f"now in version {current}" if current is not None else "not there any more"
            raise EntryConflictError(f"the {kind} {name!r} was changed meanwhile: it is {now}", current=current)


def _entry(row: EntryRow | VersionRow) -> Entry:
    return Entry(
        tenant=row.tenant,
        kind=cast("Kind", row.kind),
        name=row.name,
        version=row.version,
        body=row.body,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        revision=row.revision if isinstance(row, EntryRow) else 0,
    )
