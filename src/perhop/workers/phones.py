"""Telephone numbers as people say them, and as tables keep them."""

from __future__ import annotations

from collections.abc import Collection

import phonenumbers

from perhop.tools.errors import ToolError

__all__ = ["normalise", "textable"]

_NOT_FOR_MESSAGES = {
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.SHARED_COST,
    phonenumbers.PhoneNumberType.PAGER,
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.UAN,
}
"""Kinds of numbers that no person reads messages at, or that cost whoever sends them."""


def normalise(said: str, *, region: str) -> str:
    """A number in E.164, ``+15105550134``.

    Args:
        region: ISO 3166 code of the country whose numbers come without a country code.

    Raises:
        ToolError: there is no such number; the message is for the caller.
    """
    return phonenumbers.format_number(_parse(said, region), phonenumbers.PhoneNumberFormat.E164)


def textable(said: str, *, region: str, countries: Collection[str]) -> str:
    """A number in E.164 that may be sent a text message.

    Args:
        countries: ISO 3166 codes of where messages may go.

    Raises:
        ToolError: there is no such number, or it may not; the message is for the caller.
    """
    number = _parse(said, region)
    if phonenumbers.number_type(number) in _NOT_FOR_MESSAGES:
        raise ToolError("That number cannot get text messages. Ask for a mobile number.")
    if phonenumbers.region_code_for_number(number) not in countries:
        raise ToolError("I cannot send text messages to that country. Ask for another number.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parse(said: str, region: str) -> phonenumbers.PhoneNumber:
    try:
        number = phonenumbers.parse(said, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or number.extension or not phonenumbers.is_valid_number(number):
        raise ToolError("That is no complete phone number. Ask for it again, area code first.")
    return number
