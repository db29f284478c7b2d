"""Finding a contact, or making one, once whoever asks at the same time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.errors import PerhopError
from perhop.tools.errors import ToolError
from perhop.workers.crm.tables import ContactRow
from perhop.workers.phones import normalise

__all__ = ["Reach", "find", "find_or_create", "reach", "unconfirmed"]

MAX_EMAIL = 254

# What mail servers take in practice; the rest of RFC 5322 is never said on the phone.
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Reach:
    """How somebody is reached, in the one spelling; at least one of the two."""

    phone: str | None
    email: str | None


def reach(phone: str | None, email: str | None, *, region: str) -> Reach:
    """What a caller said, in the one spelling: E.164, and lower case.

    Args:
        region: ISO 3166 code of the country whose numbers come without a country code.

    Raises:
        ToolError: it is neither, or one of them is wrong.
    """
    if phone is None and email is None:
        raise ToolError("I need a phone number or an e-mail address.")
    plain = email.strip().lower() if email is not None else None
    if plain is not None and (len(plain) > MAX_EMAIL or not _EMAIL.fullmatch(plain)):
        raise ToolError("That is no complete e-mail address. Ask for it again.")
    return Reach(normalise(phone, region=region) if phone is not None else None, plain)


async def find(session: AsyncSession, tenant: str, by: Reach) -> ContactRow | None:
    """The contact with this phone number; else the one with this e-mail address."""
    for condition in _conditions(by):
        found = await session.scalar(select(ContactRow).where(ContactRow.tenant == tenant, condition))
        if found is not None:
            return found
    return None


async def find_or_create(
    session: AsyncSession, tenant: str, by: Reach, *, name: str | None, now: datetime
) -> tuple[ContactRow, bool]:
    """The contact, and whether it is new.

    Of one that is there a name is added where none is known, and nothing is replaced. How it is reached stays as it is:
    whoever knows somebody's address is not yet that person, and must not become it by telling another number; see
    :func:`unconfirmed`.
    """
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    values = {"tenant": tenant, "name": name, "phone": by.phone, "email": by.email}
    statement = insert(ContactRow).values(**values, created_at=now, updated_at=now)
    for _ in range(_TRIES):
        # Whoever adds the same at this moment is waited for; then it is there, or we add it.
        added = await session.scalar(statement.on_conflict_do_nothing().returning(ContactRow.id))
        if added is not None:
            return await session.get_one(ContactRow, added), True
        contact = await find(session, tenant, by)
        if contact is not None:
            if contact.name is None and name is not None:
                contact.name, contact.updated_at = name, now
            return contact, False
    raise PerhopError("a contact appears and disappears")


def unconfirmed(contact: ContactRow, by: Reach) -> dict[str, str]:
    """What a caller said of how this contact is reached, and the contact does not have: ``phone`` and ``email``."""
    told = {"phone": by.phone, "email": by.email}
    return {field: said for field, said in told.items() if said is not None and said != getattr(contact, field)}


def _conditions(by: Reach) -> list[ColumnElement[bool]]:
    found = []
    if by.phone is not None:
        found.append(ContactRow.phone == by.phone)
    if by.email is not None:
        found.append(ContactRow.email == by.email)
    return found
