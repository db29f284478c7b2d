"""What One Roof can do for a caller: find homes, book viewings, send details."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field

from perhop import Slot, ToolContext, ToolError, tool
from perhop.text.verbalise import say_date, say_digits, say_list, say_money, say_time, spoken_number

from .listings import CITIES, LISTINGS, Listing, find, search
from .outbox import Outbox, TextMessage, normalise_phone
from .viewings import Viewings

__all__ = ["book_viewing", "search_listings", "send_details"]

viewings = Viewings()
outbox = Outbox()

NAMED = 3
"""Homes named in one answer; more are hard to remember when heard."""

Bedrooms = Annotated[int, Field(ge=1, le=6), Slot(prompt="How many bedrooms do you need?")]
City = Annotated[str, Field(max_length=40), Slot(prompt="In which city?", values=CITIES)]
Dollars = Annotated[int, Field(ge=500, le=20_000), Slot(prompt="What is the most you would pay a month?")]
ListingNumber = Annotated[int, Field(ge=1, le=len(LISTINGS)), Slot(prompt="Which home? Please say its number.")]
Name = Annotated[str, Field(min_length=1, max_length=60), Slot(prompt="Under which name?")]
Phone = Annotated[
    str, Field(pattern=r"^\+?[0-9() .-]{7,20}$"), Slot(prompt="What is your mobile number, area code first?")
]


@tool(
    effect="none",
    title="search for homes",
    samples=[
        "I'd like to see a {bedrooms} bedroom in {city} on {day}",
        "I'd like to see a {bedrooms} bedroom in {city}",
        "I'm looking for a {bedrooms} bedroom in {city}",
        "do you have a {bedrooms} bedroom in {city}",
        "do you have a {bedrooms} bedroom in {city} under {max_price} dollars",
        "find me a {bedrooms} bedroom home in {city} for up to {max_price} dollars",
        "what do you have in {city} with {bedrooms} bedrooms",
        "I need a home in {city}",
        "I'm looking for an apartment",
    ],
    say="{summary}",
)
def search_listings(
    bedrooms: Bedrooms,
    city: City,
    day: Annotated[dt.date | None, Slot(prompt="On which day would you like to see it?")] = None,
    max_price: Dollars | None = None,
) -> dict[str, object]:
    """Finds homes for rent, and when they can be seen.

    Args:
        bedrooms: How many bedrooms, exactly.
        city: One of the cities One Roof works in.
        day: The day on which the caller wants to see homes, if they named one.
        max_price: The highest rent, in dollars a month.
    """
    if day is not None:
        viewings.check_day(day)
    if not search(city=city):
        raise ToolError(f"We have no homes in {city}. We have homes in {say_list(CITIES)}.")
    found = search(city=city, bedrooms=bedrooms, max_price=max_price)
    named = found[:NAMED]
    return {
        "summary": _summary(found, bedrooms, city, day, max_price),
        "count": len(found),
        "listings": [_brief(listing, day) for listing in named],
    }


@tool(
    effect="once",
    title="book a viewing",
    samples=[
        "book a viewing of number {listing_id} on {day} at {time}",
        "I'd like to see number {listing_id} on {day} at {time}",
        "I'd like to see number {listing_id} at {time}",
        "book number {listing_id}",
        "book a viewing",
    ],
    say="It is booked. You will see number {listing_id}, {home}, on {when}.",
)
def book_viewing(
    listing_id: ListingNumber,
    day: Annotated[dt.date, Slot(prompt="On which day?")],
    time: Annotated[dt.time, Slot(prompt="At what time?")],
    name: Name | None = None,
    *,
    context: ToolContext,
) -> dict[str, object]:
    """Books an hour to see a home, for the caller.

    Args:
        listing_id: The number of the home.
        day: The day.
        time: When it starts, on the hour.
        name: Whom to expect.
    """
    listing = _known(listing_id)
    viewing = viewings.book(listing.id, day, time, name=name, call_id=context.call_id)
    return {
        "listing_id": listing.id,
        "home": _home(listing),
        "when": f"{say_date(viewing.day)} at {say_time(viewing.time)}",
        "day": viewing.day,
        "time": viewing.time,
        "name": viewing.name,
    }


@tool(
    effect="once",
    title="send the details of a home by text message",
    samples=[
        "send me the details of number {listing_id}",
        "text me the details of number {listing_id}",
        "send the details of number {listing_id} to {phone}",
        "send me the details",
    ],
    say="The details of number {listing_id} are on their way to the phone that ends in {ending}.",
    finish=True,
)
def send_details(listing_id: ListingNumber, phone: Phone, *, context: ToolContext) -> dict[str, object]:
    """Sends everything about a home to the caller by text message.

    Args:
        listing_id: The number of the home.
        phone: The caller's mobile number.
    """
    listing = _known(listing_id)
    to = normalise_phone(phone)
    outbox.add(TextMessage(key=f"{context.call_id}/{context.function_call_id}", to=to, text=_details(listing)))
    return {"listing_id": listing.id, "ending": say_digits(to[-4:]), "status": "queued"}


def _known(listing_id: int) -> Listing:
    listing = find(listing_id)
    if listing is None:
        raise ToolError(f"There is no home with number {listing_id}.")
    return listing


def _brief(listing: Listing, day: dt.date | None) -> dict[str, object]:
    brief: dict[str, object] = {
        "listing_id": listing.id,
        "home": _home(listing),
        "area": listing.area,
        "rent": listing.rent,
        "features": listing.features,
    }
    if day is not None:
        brief["viewing_times"] = [f"{start:%H:%M}" for start in viewings.free(listing.id, day)]
    return brief


def _summary(found: list[Listing], bedrooms: int, city: str, day: dt.date | None, max_price: int | None) -> str:
    """A search result as a person would tell it on the phone: short, cheapest first, with a way on."""
    wanted = f"{spoken_number(bedrooms)} bedroom"
    if not found:
        return _nothing(wanted, bedrooms, city, max_price)
    homes = say_list([f"number {home.id} in {home.area} for {say_money(home.rent)}" for home in found[:NAMED]])
    if len(found) == 1:
        head = f"I have one {wanted} home in {found[0].city}: {homes} a month."
    elif len(found) <= NAMED:
        head = f"I have {spoken_number(len(found))} {wanted} homes in {found[0].city}: {homes} a month."
    else:
        head = (
            f"I have {spoken_number(len(found))} {wanted} homes in {found[0].city}. The cheapest are {homes} a month."
        )
    return f"{head} {_way_on(found[0], day)}"


def _way_on(listing: Listing, day: dt.date | None) -> str:
    if day is None:
        return "Which one would you like to see, and when?"
    times = viewings.free(listing.id, day)
    if not times:
        return f"Number {listing.id} is fully booked on {say_date(day)}."
    offer = say_list([say_time(start) for start in times[:3]], joint="or")
    return f"On {say_date(day)} you could see number {listing.id} at {offer}."


def _nothing(wanted: str, bedrooms: int, city: str, max_price: int | None) -> str:
    dearer = search(city=city, bedrooms=bedrooms)
    if dearer:
        best = dearer[0]
        return (
            f"I have no {wanted} home in {best.city} for {say_money(max_price or 0)} or less. "
            f"The cheapest is number {best.id}, {_home(best)}, for {say_money(best.rent)} a month."
        )
    elsewhere = list(dict.fromkeys(listing.city for listing in search(bedrooms=bedrooms, max_price=max_price)))
    if elsewhere:
        return f"I have no {wanted} home in {city} right now, but I do in {say_list(elsewhere)}."
    return f"I have no {wanted} home right now."


def _home(listing: Listing) -> str:
    article = "an" if listing.kind[0] in "aeiou" else "a"
    return f"{article} {listing.kind} at {listing.street}"


def _details(listing: Listing) -> str:
    pets = "Pets are welcome." if listing.pets else "No pets."
    return (
        f"One Roof, home number {listing.id}: {listing.kind}, {listing.street}, {listing.area}, {listing.city}. "
        f"{listing.bedrooms} bedrooms, {listing.bathrooms} bathrooms, {listing.square_feet} square feet, "
        f"${listing.rent:,} a month. {', '.join(listing.features).capitalize()}. {pets}"
    )
