"""Homes at a RESO Web API: OData over HTTP, with the field names of the RESO Data Dictionary.

See https://github.com/RESOStandards/transport (Web API Core 2.0.0) and https://ddwiki.reso.org.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.config.workers import ResoSettings
from perhop.tools.errors import ToolUnavailableError
from perhop.tools.guard import Guard, OutgoingError, OutgoingLimits
from perhop.workers.listings.homes import PAGE, Found, Home, Query

__all__ = ["ResoSource", "conditions", "literal"]

_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "apartment": "Apartment",
        "condo": "Condominium",
        "cottage": "Cabin",
        "duplex": "Duplex",
        "house": "Single Family Residence",
        "loft": "Loft",
        "mobile home": "Manufactured Home",
        "studio": "Studio",
        "townhouse": "Townhouse",
    }
)
_SPOKEN = {value.casefold(): kind for kind, value in _KINDS.items()}

_FIELDS = (
    "ListingKey",
    "City",
    "SubdivisionName",
    "UnparsedAddress",
    "StreetNumber",
    "StreetName",
    "StreetSuffix",
    "PropertySubType",
    "BedroomsTotal",
    "BathroomsTotalInteger",
    "ListPrice",
    "LivingArea",
    "AvailabilityDate",
    "PublicRemarks",
)

_MAX_BYTES = 4 << 20
_MAX_REMARKS = 1_000


class _Property(BaseModel):
    """What is read of one property; servers leave out or null what they do not know."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    ListingKey: str | int
    City: str | None = None
    SubdivisionName: str | None = None
    UnparsedAddress: str | None = None
    StreetNumber: str | int | None = None
    StreetName: str | None = None
    StreetSuffix: str | None = None
    PropertySubType: str | None = None
    BedroomsTotal: int | None = None
    BathroomsTotalInteger: int | None = None
    ListPrice: float | None = Field(default=None, allow_inf_nan=False)
    LivingArea: float | None = Field(default=None, allow_inf_nan=False)
    AvailabilityDate: date | None = None
    PublicRemarks: str | None = None

    def to_home(self) -> Home:
        """The same as everybody else here knows it."""
        parts = (self.StreetNumber, self.StreetName, self.StreetSuffix)
        street = " ".join(str(part) for part in parts if part)
        kind = self.PropertySubType or "home"
        return Home(
            id=str(self.ListingKey),
            city=self.City or "",
            area=self.SubdivisionName or "",
            street=street or (self.UnparsedAddress or "").partition(",")[0] or f"number {self.ListingKey}",
            kind=_SPOKEN.get(kind.casefold(), kind.casefold()),
            bedrooms=self.BedroomsTotal or 0,
            bathrooms=self.BathroomsTotalInteger or 0,
            price=round(self.ListPrice or 0),
            square_feet=round(self.LivingArea) if self.LivingArea else None,
            available_from=self.AvailabilityDate,
            description=(self.PublicRemarks or "")[:_MAX_REMARKS],
        )


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    value: list[_Property]
    count: int | None = Field(default=None, alias="@odata.count")
    next: str | None = Field(default=None, alias="@odata.nextLink")


class ResoSource:
    """Asks the API for every search: nothing of it is kept.

    Args:
        guard: the way out.
    """

    def __init__(self, settings: ResoSettings, guard: Guard) -> None:
        self._settings = settings
        self._guard = guard
        self._url = f"{str(settings.url).rstrip('/')}/{settings.resource}"
        self._host = settings.url.host or "the listing service"
        self._limits = OutgoingLimits(total_s=settings.timeout_s, max_bytes=_MAX_BYTES)
        self._headers = {"accept": "application/json", "odata-version": "4.0"}
        if settings.token is not None:
            self._headers["authorization"] = f"Bearer {settings.token.get_secret_value()}"

    async def search(self, query: Query, *, tenant: str, session: AsyncSession) -> Found:  # noqa: ARG002
        """The homes that match.

        Raises:
            ToolUnavailableError: the API does not answer as it should.
        """
        skip = (query.page - 1) * PAGE
        answer = await self._ask(conditions(query), skip=skip)
        homes = [one.to_home() for one in answer.value[:PAGE]]
        more = skip + len(homes) < answer.count if answer.count is not None else len(homes) == PAGE
        return Found(homes, answer.count, more)

    async def get(self, home_id: str, *, tenant: str, session: AsyncSession) -> Home | None:  # noqa: ARG002
        """The home with this ``ListingKey``. Raises as :meth:`search` does."""
        answer = await self._ask([f"ListingKey eq {literal(home_id)}"], skip=0)
        return answer.value[0].to_home() if answer.value else None

    async def _ask(self, wanted: Sequence[str], *, skip: int) -> _Answer:
        own = [f"({self._settings.filter})"] if self._settings.filter else []
        parameters = {
            "$select": ",".join(_FIELDS),
            "$orderby": "ListPrice asc,ListingKey asc",
            "$top": str(PAGE),
            "$skip": str(skip),
            "$count": "true",
        }
        if clauses := [*own, *wanted]:
            parameters["$filter"] = " and ".join(clauses)
        url = f"{self._url}?{urlencode(parameters, quote_via=quote, safe='$,')}"
        try:
            response = await self._guard.request("GET", url, headers=self._headers, limits=self._limits)
        except OutgoingError:
            raise ToolUnavailableError("The listing service does not answer at the moment.") from None
        if response.status_code != 200:
            # 4xx is about our query or our token, neither of which a caller can do anything about.
            raise ToolUnavailableError(f"The listing service answered with status {response.status_code}.")
        try:
            return _Answer.model_validate_json(response.content)
        except ValidationError:
            raise ToolUnavailableError("The listing service answered with something else than listings.") from None


def literal(text: str) -> str:
    """A string as OData writes it: in single quotes, those inside doubled."""
    return "'" + text.replace("'", "''") + "'"


def conditions(query: Query) -> list[str]:
    """The query as conditions of ``$filter``; what a caller said is only ever inside a literal."""
    wanted = []
    if query.city is not None:
        wanted.append(f"tolower(City) eq {literal(query.city.strip().lower())}")
    if query.bedrooms is not None:
        wanted.append(f"BedroomsTotal eq {query.bedrooms:d}")
    if query.bathrooms is not None:
        wanted.append(f"BathroomsTotalInteger ge {query.bathrooms:d}")
    if query.min_price is not None:
        wanted.append(f"ListPrice ge {query.min_price:d}")
    if query.max_price is not None:
        wanted.append(f"ListPrice le {query.max_price:d}")
    if query.kind is not None:
        kind = query.kind.strip().casefold()
        wanted.append(f"PropertySubType eq {literal(_KINDS.get(kind, kind.title()))}")
    if query.available_by is not None:
        day = query.available_by.isoformat()
        wanted.append(f"(AvailabilityDate eq null or AvailabilityDate le {day})")
    wanted += [f"contains(tolower(PublicRemarks),{literal(word)})" for word in query.words]
    return wanted
