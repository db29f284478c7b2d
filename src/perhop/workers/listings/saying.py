"""Homes in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from perhop.text.verbalise import say_date, say_list, say_money, spoken_number
from perhop.workers.listings.homes import Found, Home, Query

__all__ = ["address", "details", "headline", "nearest", "offer", "summary"]


def address(home: Home) -> str:
    """Street and area."""
    return f"{home.street}, {home.area}" if home.area else home.street


def headline(home: Home) -> str:
    """What it is and where: ``An apartment at 12 Oak Street, Uptown``."""
    article = "An" if home.kind[:1] in "aeiou" else "A"
    return f"{article} {home.kind} at {address(home)}"


def summary(found: Found, query: Query) -> str:
    """How many there are, in a sentence."""
    homes = _homes(query)
    count = found.total if found.total is not None else len(found.homes)
    if count == 1:
        return f"I have one {homes[:-1]}{_where(found.homes[0].city if query.city else None)}."
    number = spoken_number(count) if found.total is not None or not found.more else "several"
    return f"I have {number} {homes}{_where(found.homes[0].city if query.city else None)}."


def nearest(query: Query, dearer: Sequence[Home], elsewhere: Sequence[str]) -> str:
    """That nothing matches, and what comes nearest.

    Args:
        dearer: the same without the limit on the price, cheapest first.
        elsewhere: cities where the same can be had.
    """
    none = f"I have no {_homes(query)[:-1]}"
    if dearer and query.max_price is not None:
        cheapest = f"{headline(dearer[0])}, for {say_money(dearer[0].price)}"
        where = _where(dearer[0].city if query.city else None)
        return (
            f"{none}{where} for {say_money(query.max_price)} or less. "
            f"The cheapest is {cheapest[0].lower()}{cheapest[1:]}."
        )
    if elsewhere:
        return f"{none}{_where(query.city)} right now, but I do in {say_list(elsewhere)}."
    return f"{none} right now." if query.words or query.city is None else f"{none}{_where(query.city)} right now."


def offer(found: Found) -> str:
    """The question that leads on."""
    if not found.homes:
        return ""
    return "When would you like to see it?" if len(found.homes) == 1 else "Which one would you like to see, and when?"


def details(home: Home) -> str:
    """Everything about a home, as one would write it in a message."""
    rooms = [_count(home.bedrooms, "bedroom") if home.bedrooms else "studio", _count(home.bathrooms, "bathroom")]
    if home.square_feet:
        rooms.append(f"{home.square_feet} square feet")
    said = [
        f"Home number {home.id}: {home.kind}, {address(home)}, {home.city}.",
        f"{', '.join(rooms)}, ${home.price:,}.",
    ]
    if home.features:
        said.append(f"{', '.join(home.features).capitalize()}.")
    if home.pets is not None:
        said.append("Pets are welcome." if home.pets else "No pets.")
    if home.available_from is not None:
        said.append(f"Available from {say_date(home.available_from)}.")
    if home.description:
        said.append(home.description)
    return " ".join(said)


def _homes(query: Query) -> str:
    kind = query.kind.strip().casefold() if query.kind else "home"
    if query.bedrooms == 0 and kind in ("home", "apartment"):
        return "studios"
    return f"{spoken_number(query.bedrooms)} bedroom {kind}s" if query.bedrooms is not None else f"{kind}s"


def _where(city: str | None) -> str:
    return f" in {city}" if city else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
