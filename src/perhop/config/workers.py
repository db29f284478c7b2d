"""``[workers]``: the workers that come with Perhop, one table each."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal, Self

from pydantic import Field, HttpUrl, SecretStr, StringConstraints, model_validator

from perhop.config.records import AuditTrailSettings, TranscriptSettings
from perhop.config.signing import SigningSecret
from perhop.config.sms import SmsSettings
from perhop.config.table import Name, Port, Region, Table, TimeZone

__all__ = [
    "CalDavSettings",
    "CalendarSettings",
    "CrmSettings",
    "HoursSettings",
    "ListingsSettings",
    "ResoSettings",
    "ResourceSettings",
    "WebhookOutSettings",
    "WorkersSettings",
]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_CELL_MIN = 5
"""The calendar divides time into steps of five minutes."""


class ResoSettings(Table):
    """``[workers.listings.reso]``: a RESO Web API (OData). A private address has to be allowed in ``[outgoing]``.

    Attributes:
        url: service root, to which the name of the resource is added.
        token: sent as bearer token.
        resource: the entity set.
        filter: an OData condition that every search is narrowed by.
        timeout_s: one request.
    """

    url: HttpUrl
    token: SecretStr | None = None
    resource: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = "Property"
    filter: Annotated[str, StringConstraints(max_length=1000)] = ""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 8.0


class ListingsSettings(Table):
    """``[workers.listings]``: homes that can be found.

    Attributes:
        reso: search there; in the worker's own table when unset.
        sample: fill the worker's own table with sample homes while it is empty.
        cities: where there are homes; callers are understood better when they name one of these.
        resource_id: what a home is called in the calendar; ``{listing_id}`` in it stands for its number.
    """

    reso: ResoSettings | None = None
    sample: bool = True
    cities: Annotated[tuple[str, ...], Field(max_length=200)] = (
        "Oakland",
        "Berkeley",
        "Alameda",
        "San Francisco",
        "Richmond",
    )
    resource_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.{}-]{1,64}$")] = "home-{listing_id}"


class HoursSettings(Table):
    """``[[workers.calendar.resources.hours]]``: when something can be booked, in local time.

    Attributes:
        until: a booking ends then at the latest; 00:00 is midnight at the end of the day.
    """

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)]
    begin: time
    until: time

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.until != time(0) and self.until <= self.begin:
            raise ValueError("until must be later than begin; hours over midnight are two tables")
        if any(at.minute % _CELL_MIN or at.second or at.microsecond or at.tzinfo for at in (self.begin, self.until)):
            raise ValueError(f"begin and until must be whole steps of {_CELL_MIN} minutes, without a time zone")
        return self


class CalDavSettings(Table):
    """``[workers.calendar.resources.caldav]``: a calendar elsewhere that shows the bookings, and whose other events
    block their time. A private address has to be allowed in ``[outgoing]``.

    Attributes:
        url: of the calendar itself (the collection).
        user: with ``password``.
    """

    url: HttpUrl
    user: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password must be given together")
        return self


class ResourceSettings(Table):
    """``[[workers.calendar.resources]]``: whom or what callers can book.

    Attributes:
        ids: of resources that are alike; a resource is only ever booked once at a time.
        title: what they are called in a sentence.
        tenant: whose.
        timezone: IANA name, of ``hours`` and of the times that callers say.
        hours: when they can be booked; weekdays 9 to 5 when unset.
        length_min: of a booking that says nothing else.
        step_min: bookings begin at these steps after ``begin``.
        notice_min: earliest time from now.
        ahead_days: latest day from now.
        caldav: only for a single resource.
    """

    ids: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)]
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    tenant: Name = "default"
    timezone: TimeZone = "UTC"
    hours: Annotated[tuple[HoursSettings, ...], Field(min_length=1, max_length=50)] = (
        HoursSettings(days=("mon", "tue", "wed", "thu", "fri"), begin=time(9), until=time(17)),
    )
    length_min: Annotated[int, Field(ge=_CELL_MIN, le=720, multiple_of=_CELL_MIN)] = 60
    step_min: Annotated[int, Field(ge=_CELL_MIN, le=720, multiple_of=_CELL_MIN)] = 60
    notice_min: Annotated[int, Field(ge=0, le=100_000)] = 0
    ahead_days: Annotated[int, Field(ge=1, le=730)] = 60
    caldav: CalDavSettings | None = None

    @model_validator(mode="after")
    def _one_calendar_for_one(self) -> Self:
        if self.caldav is not None and len(self.ids) > 1:
            raise ValueError("caldav is for a single resource; give each its own table")
        return self


class CalendarSettings(Table):
    """``[workers.calendar]``: what can be booked.

    Attributes:
        region: ISO 3166 code of the country whose telephone numbers are said without a country code.
        sync_s: how often calendars elsewhere are read.
        feed_port: TCP port of iCalendar feeds, which calendar programs subscribe to; none when unset, 0 takes any.
        feed_host: its address.
        feed_secret: the secret part of the feeds' addresses is made of it.
    """

    resources: Annotated[tuple[ResourceSettings, ...], Field(max_length=1000)] = ()
    region: Region = "US"
    sync_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    feed_port: Port | None = None
    feed_host: str = "127.0.0.1"
    feed_secret: SecretStr | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        named = [(group.tenant, one) for group in self.resources for one in group.ids]
        if len(set(named)) < len(named):
            raise ValueError("resources: an id is used twice")
        if self.feed_port is not None and (
            self.feed_secret is None or len(self.feed_secret.get_secret_value().encode()) < 24
        ):
            raise ValueError("feed_port needs a feed_secret of at least 24 characters")
        return self


class WebhookOutSettings(Table):
    """``[workers.crm.webhook]``: a system that is told of contacts and leads. A private address has to be allowed in
    ``[outgoing]``.

    Attributes:
        secret: ``whsec_`` and the base64 of at least 24 random bytes; signs what is sent.
        tenant: whose; everybody's when unset.
    """

    url: HttpUrl
    secret: SigningSecret
    tenant: Name | None = None


class CrmSettings(Table):
    """``[workers.crm]``: people and what they want.

    Attributes:
        region: ISO 3166 code of the country whose telephone numbers are said without a country code.
    """

    region: Region = "US"
    webhook: WebhookOutSettings | None = None


class WorkersSettings(Table):
    """``[workers]``: the workers that come with Perhop; ``[workers.<name>]`` is for one of them.

    Attributes:
        hosted: run inside ``perhop serve`` while ``bus.url`` is unset: names of these workers, or ``module:worker``.
            When this is unset, those whose tools agents name as ``bus:<tool>``.
    """

    hosted: Annotated[tuple[str, ...], Field(max_length=50)] | None = None
    listings: ListingsSettings = ListingsSettings()
    calendar: CalendarSettings = CalendarSettings()
    crm: CrmSettings = CrmSettings()
    sms: SmsSettings = SmsSettings()
    transcript: TranscriptSettings = TranscriptSettings()
    audit: AuditTrailSettings = AuditTrailSettings()
