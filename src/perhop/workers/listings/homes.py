"""A home, what can be asked for, and who is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from perhop.text.words import vocabulary

__all__ = ["MAX_TERMS", "PAGE", "Found", "Home", "Query", "Source", "terms"]

PAGE = 12
"""Homes in one answer; the built-in dialogue tells three and offers more."""

MAX_TERMS = 8
"""Words of a full text search; further ones are left out."""

_DULL = frozenset(vocabulary("a an and any are at for has have in is it its near of on or the to that there with"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One home to let or to sell.

    Attributes:
        price: in whole units of the currency; a month's rent where it is to let.
        available_from: None for at once, or not known.
    """

    id: str
    city: str
    street: str
    kind: str
    bedrooms: int
    bathrooms: int
    price: int
    area: str = ""
    square_feet: int | None = None
    pets: bool | None = None
    available_from: date | None = None
    features: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for; None means that it does not matter.

    Attributes:
        bedrooms: exactly.
        bathrooms: at least.
        available_by: it can be moved into on this day.
        words: of a full text search; all have to be there.
        page: from 1.
    """

    city: str | None = None
    bedrooms: int | None = None
    bathrooms: int | None = None
    min_price: int | None = None
    max_price: int | None = None
    kind: str | None = None
    available_by: date | None = None
    words: tuple[str, ...] = ()
    page: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """One page of homes, cheapest first.

    Attributes:
        total: on all pages; None when the source does not say.
        more: whether there is a next page.
    """

    homes: Sequence[Home] = field(repr=False)
    total: int | None
    more: bool


class Source(Protocol):
    """Where homes are looked up."""

    async def search(self, query: Query, *, tenant: str, session: AsyncSession) -> Found:
        """The homes that match.

        Raises:
            ToolUnavailableError: the source does not answer.
        """

    async def get(self, home_id: str, *, tenant: str, session: AsyncSession) -> Home | None:
        """The home of this number. Raises as :meth:`search` does."""


def terms(said: str | None) -> tuple[str, ...]:
    """The words in a text that are worth looking for, lower case."""
    words = re.findall(r"\w+", (said or "").casefold())
    return tuple(dict.fromkeys(word for word in words if word not in _DULL))[:MAX_TERMS]
