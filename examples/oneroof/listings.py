"""The homes One Roof has to let: sample data in ``listings.json``, found by city, size and rent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CITIES", "LISTINGS", "Listing", "find", "search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One home. ``rent`` is in dollars a month. Numbers start at 101, so that none is mistaken for "number two of what
    you just told me"."""

    id: int
    city: str
    area: str
    street: str
    kind: str
    bedrooms: int
    bathrooms: int
    rent: int
    square_feet: int
    pets: bool
    features: list[str]


def _read(file: Path) -> dict[int, Listing]:
    listings = [Listing(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    return {listing.id: listing for listing in listings}


LISTINGS = _read(Path(__file__).with_name("listings.json"))

CITIES = tuple(dict.fromkeys(listing.city for listing in LISTINGS.values()))


def find(listing_id: int) -> Listing | None:
    """The home with this number."""
    return LISTINGS.get(listing_id)


def search(*, city: str | None = None, bedrooms: int | None = None, max_price: int | None = None) -> list[Listing]:
    """The homes that match, cheapest first. Cities are matched in any case."""
    return sorted(
        (
            listing
            for listing in LISTINGS.values()
            if (city is None or listing.city.casefold() == city.strip().casefold())
            and (bedrooms is None or listing.bedrooms == bedrooms)
            and (max_price is None or listing.rent <= max_price)
        ),
        key=lambda listing: listing.rent,
    )
