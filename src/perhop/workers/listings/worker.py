"""The worker: looks homes up, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from perhop.config import Settings
from perhop.tools.errors import ToolError
from perhop.tools.function import FunctionTool
from perhop.tools.guard import Guard
from perhop.tools.schema import Slot
from perhop.workers.days import Day
from perhop.workers.listings.homes import Home, Query, Source, terms
from perhop.workers.listings.local import LocalSource
from perhop.workers.listings.reso import ResoSource
from perhop.workers.listings.saying import address, details, headline, nearest, offer, summary
from perhop.workers.listings.tables import SCHEMA
from perhop.workers.sdk import Site, Worker, WorkerContext
from perhop.workers.spoken import with_values

__all__ = ["make_worker"]

_SAMPLES = (
    "I'd like to see a {bedrooms} bedroom in {city}",
    "I'm looking for a {bedrooms} bedroom in {city}",
    "I'm looking for a {bedrooms} bedroom {kind} in {city}",
    "do you have a {bedrooms} bedroom in {city}",
    "do you have a {bedrooms} bedroom in {city} under {max_price} dollars",
    "find me a {bedrooms} bedroom home in {city} for up to {max_price} dollars",
    "what do you have in {city} with {bedrooms} bedrooms",
    "I need a home in {city}",
    "I'm looking for an apartment",
)

_KINDS = ("apartment", "condo", "cottage", "house", "loft", "townhouse")

Bedrooms = Annotated[
    int, Field(ge=0, le=20), Slot(prompt="How many bedrooms do you need?", values={0: ["studio", "studio apartment"]})
]
Bathrooms = Annotated[int, Field(ge=1, le=20), Slot(prompt="How many bathrooms do you need?")]
City = Annotated[str, Field(min_length=1, max_length=60), Slot(prompt="In which city?")]
Kind = Annotated[str, Field(min_length=1, max_length=40), Slot(prompt="What kind of home?", values=_KINDS)]
ListingId = Annotated[str, Field(min_length=1, max_length=64), Slot(prompt="Which home do you mean?")]
Money = Annotated[int, Field(ge=1, le=1_000_000_000)]
Page = Annotated[int, Field(ge=1, le=500), Slot(prompt="Which page?")]


def make_worker(settings: Settings, guard: Guard) -> Worker:
    """The worker ``listings``.

    Args:
        guard: the way to a RESO Web API.
    """
    own = settings.workers.listings
    worker = Worker("listings", version="1.0.0", description="Finds homes", schemas=[SCHEMA])
    source: Source
    if own.reso is not None:
        source = ResoSource(own.reso, guard)
    else:
        source = local = LocalSource(sample=own.sample)

        @worker.background
        async def fill(site: Site) -> None:
            await local.prepare(site.database)

    async def search_listings(
        bedrooms: Bedrooms,
        city: City,
        max_price: Annotated[Money, Slot(prompt="What is the most you would pay?")] | None = None,
        min_price: Annotated[Money, Slot(prompt="What is the least you would pay?")] | None = None,
        bathrooms: Bathrooms | None = None,
        kind: Kind | None = None,
        move_in: Annotated[Day, Slot(prompt="When would you like to move in?")] | None = None,
        features: Annotated[str, Field(max_length=200), Slot(prompt="What should it have?")] | None = None,
        page: Page = 1,
        *,
        context: WorkerContext,
    ) -> dict[str, object]:
        """Finds homes, cheapest first, a dozen at a time.

        Args:
            bedrooms: How many bedrooms, exactly; a studio has 0.
            city: The city.
            max_price: The highest price; a month's rent where homes are to let.
            min_price: The lowest price.
            bathrooms: How many bathrooms at least.
            kind: What kind of home.
            move_in: The day on which it has to be available.
            features: Words that describe it, such as garden or balcony.
            page: Of the results, from 1.
        """
        query = Query(
            city=city,
            bedrooms=bedrooms,
            bathrooms=bathrooms,
            min_price=min_price,
            max_price=max_price,
            kind=kind,
            available_by=move_in,
            words=terms(features),
            page=page,
        )
        found = await source.search(query, tenant=context.tenant, session=context.session)
        if found.homes:
            said = summary(found, query)
        elif page > 1:
            raise ToolError("There are no more homes.")
        else:
            said = await _nothing(source, query, context)
        return {
            "summary": said,
            "count": found.total if found.total is not None else len(found.homes),
            "listings": [_brief(home, own.resource_id) for home in found.homes],
            "more": found.more,
            "offer": offer(found),
        }

    async def listing_details(listing_id: ListingId, *, context: WorkerContext) -> dict[str, object]:
        """Tells everything about one home.

        Args:
            listing_id: The number of the home.
        """
        home = await source.get(listing_id, tenant=context.tenant, session=context.session)
        if home is None:
            raise ToolError("There is no home with this number. Search for homes first.")
        brief = _brief(home, own.resource_id)
        return {**brief, "details": details(home), "features": list(home.features), "pets": home.pets}

    search = FunctionTool.of(
        search_listings,
        title="search for homes",
        effect="none",
        samples=_SAMPLES,
        say="{summary} {#listings}{home}, for {price:money}. {/listings}{offer}",
    )
    worker.add(with_values(search, "city", own.cities))
    worker.add(
        FunctionTool.of(
            listing_details,
            title="tell the details of a home",
            effect="none",
            samples=[
                "tell me more about it",
                "tell me more about number {listing_id}",
                "what about number {listing_id}",
                "give me the details of number {listing_id}",
            ],
            say="{details}",
        )
    )
    return worker


async def _nothing(source: Source, query: Query, context: WorkerContext) -> str:
    """What to say when nothing matches: at most two further searches."""
    tenant, session = context.tenant, context.session
    if query.max_price is not None:
        dearer = await source.search(replace(query, max_price=None), tenant=tenant, session=session)
        if dearer.homes:
            return nearest(query, dearer.homes, ())
    elsewhere = await source.search(replace(query, city=None), tenant=tenant, session=session)
    return nearest(query, (), sorted({home.city for home in elsewhere.homes if home.city}))


def _brief(home: Home, resource_id: str) -> dict[str, object]:
    return {
        "listing_id": home.id,
        # The calendar's name for it: whoever picks a home from the list can book it.
        "resource_id": resource_id.replace("{listing_id}", home.id),
        "address": address(home),
        "city": home.city,
        "home": headline(home),
        "price": home.price,
        "bedrooms": home.bedrooms,
        "bathrooms": home.bathrooms,
        "available_from": home.available_from,
    }
