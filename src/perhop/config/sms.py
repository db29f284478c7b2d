"""``[workers.sms]``: text messages."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, HttpUrl, SecretStr, StringConstraints, model_validator

from perhop.config.table import Name, Port, Region, Table, TimeZone

__all__ = ["SmsSettings", "TwilioSettings"]

E164 = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]


class TwilioSettings(Table):
    """``[workers.sms.twilio]``: an HTTP API as Twilio's. A private address has to be allowed in ``[outgoing]``.

    Attributes:
        url: to which ``/2010-04-01/Accounts/…`` is added.
        account: the account's SID.
        token: the account's auth token; also signs what the provider sends to us.
        sender: the number that messages come from.
        senders: other numbers, by tenant.
        callback_url: our public address, to which the provider tells how messages fare and what people answer; without
            it neither is known.
        timeout_s: one request.
    """

    url: HttpUrl = HttpUrl("https://api.twilio.com")
    account: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    token: SecretStr
    sender: E164
    senders: Annotated[dict[Name, E164], Field(max_length=10_000)] = Field(default_factory=dict)
    callback_url: HttpUrl | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


class SmsSettings(Table):
    """``[workers.sms]``: text messages to callers.

    Attributes:
        twilio: sends them; when unset nothing leaves the machine, and messages stay in the table to be looked at.
        region: ISO 3166 code of the country whose numbers are said without a country code.
        countries: where messages may go; ``region`` alone when unset.
        per_hour: messages to one number; so is ``per_day``.
        per_call: messages that one call may send, to whatever numbers.
        per_tenant_hour: messages of one tenant in an hour, of all its calls and to all numbers.
        max_chars: of one message.
        keep_days: how long it is known that a message was sent.
        callback_port: TCP port that ``callback_url`` leads to; needed with it, 0 takes any.
        callback_host: its address.
        timezone: IANA name, of the times in reminders.
        remind_hours: how long before an appointment its reminder is sent.
    """

    twilio: TwilioSettings | None = None
    region: Region = "US"
    countries: Annotated[tuple[Region, ...], Field(min_length=1, max_length=250)] | None = None
    per_hour: Annotated[int, Field(ge=1, le=1000)] = 5
    per_day: Annotated[int, Field(ge=1, le=10_000)] = 20
    per_call: Annotated[int, Field(ge=1, le=1000)] = 5
    per_tenant_hour: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    max_chars: Annotated[int, Field(ge=1, le=1600)] = 1600
    keep_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    callback_port: Port | None = None
    callback_host: str = "127.0.0.1"
    timezone: TimeZone = "UTC"
    remind_hours: Annotated[float, Field(gt=0, le=720)] = 24.0

    @model_validator(mode="after")
    def _callbacks_have_a_way_in(self) -> Self:
        wanted = self.twilio is not None and self.twilio.callback_url is not None
        if wanted != (self.callback_port is not None):
            raise ValueError("callback_port and twilio.callback_url must be given together")
        return self
