"""How single values and scraps of text are said: fields of results by what their name and shape suggest."""

from __future__ import annotations

import math
import re
from datetime import date

from perhop.brain.grammar.schema import humanise
from perhop.brain.grammar.values import Json, say_moment
from perhop.text.verbalise import say_digits, say_email, say_list, say_money, say_number, say_ordinal

__all__ = ["capital", "say_as", "say_field", "sentence", "sentences", "tidy"]

_MONEY = re.compile(r"(^|_)(price|rent|cost|amount|budget|fee|deposit|total|balance)(_|$)", re.IGNORECASE)
_PHONE = re.compile(r"(^|_)(phone|mobile|tel|fax)", re.IGNORECASE)
_MAX_SAID = 400
_MARKUP = re.compile(r"[*_`#>|]+(?=\S)|(?<=\S)[*`|]+|https?://\S+")


def tidy(text: str) -> str:
    """One line, single spaces, none before a mark: templates leave gaps where a field was empty."""
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"\s+([.,;:!?])", r"\1", re.sub(r"([.,!?])(?:\s*[.,])+", r"\1", text)).strip()


def capital(text: str) -> str:
    """With a capital first letter."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """As a sentence: capital first, a mark at the end, at most 400 characters, no markup."""
    text = tidy(_MARKUP.sub(" ", text))
    if len(text) > _MAX_SAID:
        text = text[:_MAX_SAID].rsplit(" ", 1)[0] + " …"
    return capital(text) if not text or text[-1] in ".!?…:" else capital(text) + "."


def sentences(text: str) -> list[str]:
    """A text cut at the ends of its sentences, so that speech can start with the first."""
    return [piece for piece in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9\"“])", text.strip()) if piece]


def say_as(value: Json, form: str, *, key: str = "", today: date | None = None) -> str:
    """A value in a format: money, date, time, phone, digits, spell, email, number, ordinal, raw, ``count one many``.

    Without a format, dates and times are recognised by their shape, money and phone numbers by the field's name.
    """
    name, *words = form.split()[:3] if form else [""]
    if name == "count":
        count = len(value) if isinstance(value, list | dict | str) else value if isinstance(value, int) else 0
        noun = (words[0] if count == 1 else words[-1]) if words else ""
        return f"{say_number(count)} {noun}".strip()
    if value is None:
        return ""
    if isinstance(value, list):
        return say_list([said for item in value[:8] if (said := say_as(item, form, key=key, today=today))])
    if isinstance(value, dict):
        return ""
    text = str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else _as_number(text)
    match name:
        case "money":
            return text if number is None else say_money(number)
        case "number":
            return text if number is None else say_number(number)
        case "ordinal":
            return say_ordinal(int(number)) if number is not None and 0 < number < 1000 else text
        case "phone" | "digits":
            return say_digits(text)
        case "spell":
            return ", ".join(" ".join(part) for part in re.split(r"[^A-Za-z0-9]+", text) if part)
        case "email":
            return say_email(text)
        case "raw":
            return text
    return _plain(value, text, key, today)


def _as_number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,6})?", text) else None


def _plain(value: Json, text: str, key: str, today: date | None) -> str:
    field = key.rpartition(".")[2]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if _MONEY.search(field):
            return say_money(value)
        return text if field.lower().endswith("year") else say_number(value)
    if moment := say_moment(text, today):
        return moment
    if _PHONE.search(field) and re.fullmatch(r"[+()\d .-]{7,20}", text):
        return say_digits(text)
    if "@" in text and re.fullmatch(r"\S+@\S+\.\w+", text):
        return say_email(text)
    return text


def say_field(key: str, value: Json, today: date | None) -> str:
    """A field with its name, for results without a template: "2 bedrooms", "rent 2,800 dollars", "on Friday, …"."""
    said = say_as(value, "", key=key, today=today)
    noun = humanise(key)
    if not said:
        return ""
    if isinstance(value, bool):
        return noun if value else f"no {noun}"
    if isinstance(value, int | float) and noun.endswith("s") and not _MONEY.search(key):
        return f"{said} {noun[:-1] if value == 1 else noun}"
    if isinstance(value, str) and (said != value or noun in ("title", "name", "address", "city", "summary")):
        return said
    return f"{noun} {said}"
