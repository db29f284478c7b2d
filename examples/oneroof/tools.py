"""What One Roof can do for a caller: find homes, book viewings, send details."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import Field

from perhop import Slot, ToolContext, ToolError, tool
from perhop.text.verbalise import say_date, say_list, say_money, say_time, spoken_number

from .listings import CITIES, LISTINGS, Listing, find, search
from .outbox import Outbox, TextMessage, normalise_phone
from .viewings import Viewings

__all__ = ["book_viewing", "search_listings", "send_details"]

viewings = Viewings()
outbox = Outbox()

MOST_LISTED = 12
"""Homes in one answer; the built-in dialogue tells three and offers more."""

Bedrooms = Annotated[
    int, Field(ge=0, le=6), Slot(prompt="How many bedrooms do you need?", values={0: ["studio", "studio apartment"]})
]
City = Annotated[str, Field(max_length=40), Slot(prompt="In which city?", values=CITIES)]
Dollars = Annotated[int, Field(ge=500, le=20_000), Slot(prompt="What is the most you would pay a month?")]
ListingNumber = Annotated[int, Field(ge=min(LISTINGS), le=max(LISTINGS)), Slot(prompt="Which home do you mean?")]
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
    say="{summary} {#listings}{home}, for {rent:money} a month. {/listings}{offer}",
)
def search_listings(
    bedrooms: Bedrooms,
    city: City,
    day: Annotated[dt.date | None, Slot(prompt="On which day would you like to see it?")] = None,
    max_price: Dollars | None = None,
) -> dict[str, object]:
    """Finds homes for rent, and when they can be seen.

    Args:
        bedrooms: How many bedrooms, exactly; a studio has 0.
        city: One of the cities One Roof works in.
        day: The day on which the caller wants to see homes, if they named one.
        max_price: The highest rent, in dollars a month.
    """
    if day is not None:
        viewings.check_day(day)
    if not search(city=city):
        raise ToolError(f"We have no homes in {city}. We have homes in {say_list(CITIES)}.")
    found = search(city=city, bedrooms=bedrooms, max_price=max_price)
    return {
        "summary": _summary(found, bedrooms, city, max_price),
        "count": len(found),
        "listings": [_brief(listing, day) for listing in found[:MOST_LISTED]],
        "offer": _offer(found, day),
    }


@tool(
    effect="once",
    title="book a viewing",
    samples=[
        "book a viewing",
        "book a viewing on {day} at {time}",
        "book a viewing of number {listing_id} on {day} at {time}",
        "I'd like to see number {listing_id} on {day} at {time}",
        "I'd like to visit number {listing_id} at {time}",
        "book number {listing_id}",
    ],
    say="It is booked. You will see {address} on {day} at {time}.",
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
        "address": _address(listing),
        "day": viewing.day,
        "time": viewing.time,
        "name": viewing.name,
    }


@tool(
    effect="once",
    title="send the details of a home by text message",
    samples=[
        "send me the details",
        "text me the details",
        "send me the details of number {listing_id}",
        "send the details of number {listing_id} to {phone}",
    ],
    say="The details of {address} are on their way to the phone that ends in {ending:digits}.",
    finish_on_hangup=True,
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
    return {"listing_id": listing.id, "address": _address(listing), "ending": to[-4:], "status": "queued"}


def _known(listing_id: int) -> Listing:
    listing = find(listing_id)
    if listing is None:
        raise ToolError(f"There is no home with number {listing_id}.")
    return listing


def _brief(listing: Listing, day: dt.date | None) -> dict[str, object]:
    brief: dict[str, object] = {
        "listing_id": listing.id,
        "address": _address(listing),
        "home": _home(listing),
        "rent": listing.rent,
        "features": listing.features,
    }
    if day is not None:
        brief["viewing_times"] = viewings.free(listing.id, day)
    return brief


def _summary(found: list[Listing], bedrooms: int, city: str, max_price: int | None) -> str:
    """The result in a sentence; with nothing found, what comes nearest."""
    wanted = f"{spoken_number(bedrooms)} bedroom home" if bedrooms else "studio"
    if len(found) == 1:
        return f"I have one {wanted} in {found[0].city}."
    if found:
        return f"I have {spoken_number(len(found))} {wanted}s in {found[0].city}."
    dearer = search(city=city, bedrooms=bedrooms)
    if dearer and max_price is not None:
        cheapest = f"{_home(dearer[0])}, for {say_money(dearer[0].rent)} a month"
        return (
            f"I have no {wanted} in {dearer[0].city} for {say_money(max_price)} or less. "
            f"The cheapest is {cheapest[0].lower()}{cheapest[1:]}."
        )
    elsewhere = list(dict.fromkeys(listing.city for listing in search(bedrooms=bedrooms, max_price=max_price)))
    if elsewhere:
        return f"I have no {wanted} in {city} right now, but I do in {say_list(elsewhere)}."
    return f"I have no {wanted} right now."


def _offer(found: list[Listing], day: dt.date | None) -> str:
    """The way on from a search: when the first home can be seen, or a question."""
    if not found:
        return ""
    which = "it" if len(found) == 1 else "the first"
    if day is None:
        return "When would you like to see it?" if len(found) == 1 else "Which one would you like to see, and when?"
    times = viewings.free(found[0].id, day)
    if not times:
        return f"On {say_date(day)} nobody can show you {which} any more."
    return f"On {say_date(day)} you could see {which} at {say_list([say_time(at) for at in times[:3]], joint='or')}."


def _address(listing: Listing) -> str:
    return f"{listing.street}, {listing.area}"


def _home(listing: Listing) -> str:
    article = "An" if listing.kind[0] in "aeiou" else "A"
    return f"{article} {listing.kind} at {_address(listing)}"


def _details(listing: Listing) -> str:
    pets = "Pets are welcome." if listing.pets else "No pets."
    return (
        f"One Roof, home number {listing.id}: {listing.kind}, {listing.street}, {listing.area}, {listing.city}. "
        f"{_count(listing.bedrooms, 'bedroom')}, {_count(listing.bathrooms, 'bathroom')}, "
        f"{listing.square_feet} square feet, "
        f"${listing.rent:,} a month. {', '.join(listing.features).capitalize()}. {pets}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
