"""JSGF rules for the kinds of values: numbers, dates, times, digits, letters, addresses, names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from perhop.brain.grammar.names import FAMILY_NAMES, GIVEN_NAMES
from perhop.brain.grammar.schema import Kind, Slot
from perhop.text.verbalise import spoken_digits, spoken_letters, spoken_number, spoken_ordinal
from perhop.text.words import MONTHS, NATO, TEENS, TENS, UNITS, WEEKDAYS, split

__all__ = ["RULES", "alternatives", "names_rule", "speakable", "value_rule"]

_VOWELS = frozenset("aeiouy")
_ORDINAL_DAYS = [spoken_ordinal(day) for day in range(1, 32)]


def alternatives(phrases: Iterable[str]) -> str:
    """A JSGF choice of phrases, each once, in a stable order."""
    return " | ".join(dict.fromkeys(phrase for phrase in phrases if phrase))


def speakable(text: str) -> str:
    """A phrase in words a recogniser's dictionary may have: lower-case ASCII, numbers in words, ``sms`` as letters."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = []
    for token in split(folded):
        word = token.text
        if word[0].isalpha() and not any(character.isdigit() for character in word):
            letters = word.replace("'", "")
            spelled = (
                len(letters) > 1 and len(letters) <= 5 and not _VOWELS & set(letters) and word not in ("mr", "dr", "st")
            )
            words.append(spoken_letters(letters) if spelled else word)
        elif word.isdecimal():
            short = word == "0" or (len(word) < 7 and word[0] != "0")
            words.append(spoken_number(int(word)) if short else spoken_digits(word))
        elif ordinal := re.fullmatch(r"([1-9][0-9]?)(st|nd|rd|th)", word):
            value = int(ordinal.group(1))
            words.append(spoken_ordinal(value) if value < 32 else spoken_number(value))
        elif word[0].isalnum():
            words.append(spoken_letters(word))
    return " ".join(words)


_UNITS_RULE = " | ".join(UNITS)
_EMAIL_DOMAINS = (
    "gmail dot com", "yahoo dot com", "hotmail dot com", "outlook dot com", "icloud dot com", "example dot com",
    "comcast dot net", "me dot com",
)  # fmt: skip

RULES: dict[str, str] = {
    "digit": f"zero | oh | {_UNITS_RULE}",
    "digits": "[double | triple] <digit> [<digits>]",
    # A free string of digits loses one or makes one up as often as not; people pause between groups.
    "phone": "<three> [<three>] [<four>]",
    "three": "<digit> (<digit> <digit> | double <digit>) | double <digit> <digit> | triple <digit> | eight hundred",
    "four": "<digit> <digit> (<digit> <digit> | double <digit>) | double <digit> (<digit> <digit> | double <digit>)"
    " | <digit> (double <digit> <digit> | triple <digit>) | triple <digit> <digit>",
    "below_hundred": f"({' | '.join(TENS)}) [{_UNITS_RULE}] | {_UNITS_RULE} | {' | '.join(TEENS)}",
    "number": f"({' | '.join((*UNITS, *TEENS, *TENS))} | hundred | thousand | million | zero) [<number>]",
    "price": "<number> (hundred | thousand | million | dollars) [<number>] [dollars]",
    "minute": f"oh ({_UNITS_RULE}) | {' | '.join(TEENS)} | (twenty | thirty | forty | fifty) [{_UNITS_RULE}]",
    "time": f"[half past | quarter past | quarter to] ({_UNITS_RULE} | ten | eleven | twelve) [<minute> | o'clock]"
    " [a m | p m | in the (morning | afternoon | evening) | at night] | noon | midnight",
    "weekday": " | ".join(WEEKDAYS),
    "month": " | ".join(MONTHS),
    "day_of_month": " | ".join(_ORDINAL_DAYS),
    "date": "[this | next] <weekday> | today | tomorrow | the day after tomorrow | <month> <day_of_month>",
    "date_answer": "[<weekday>] (<month> [the] | the) <day_of_month> | <weekday> next week | this weekend"
    " | in (a week | two weeks | three days)",
    "letter": " | ".join("abcdefghijklmnopqrstuvwxyz"),
    "letters": "[double] <letter> [<letters>]",
    "spelled": "<letter> [as in (" + " | ".join(w for w in NATO.values() if w != "xray") + ")] [<spelled>]",
    "code": "[double] (<letter> | <digit>) [<code>]",
    "mailbox": "(<letter> | <digit> | dot | underscore | dash | <given_name> | <family_name>) [<mailbox>]",
    "email": f"<mailbox> at ({' | '.join(_EMAIL_DOMAINS)} | <letters> dot (com | org | net | edu | co dot uk))",
    "given_name": " | ".join(GIVEN_NAMES),
    "family_name": " | ".join(FAMILY_NAMES),
    "name": "<given_name> [<family_name>] | <family_name>",
    "spelled_name": "<spelled> | <name>",
}
"""Rules by name; a grammar takes along those it refers to.

Compiled, a grammar grows with the ends of its alternatives times the starts of what may follow them, so these prefer a
loop that allows a little too much ("two hundred hundred") over a tree that spells out what is right.
"""

_BY_KIND: dict[Kind, str] = {
    Kind.CODE: "<code>",
    Kind.DATE: "<date>",
    Kind.DATE_TIME: "<date> [at] <time>",
    Kind.EMAIL: "<email>",
    Kind.MONEY: "<price>",
    Kind.NAME: "<name>",
    Kind.NUMBER: "<number> [point <digits>]",
    Kind.PHONE: "<phone>",
    Kind.TIME: "<time>",
}


def names_rule(slot: Slot) -> str:
    """The JSGF expansion of the values that have words of their own; empty when there are none."""
    return alternatives(speakable(words) for choice in slot.choices for words in choice.words)


def value_rule(slot: Slot) -> str | None:
    """The JSGF expansion of a slot's values; None for what only free speech can say."""
    if slot.kind is Kind.INTEGER:
        high = slot.schema.get("maximum")
        low = slot.schema.get("minimum")
        top = int(high) if isinstance(high, int | float) else None
        first = max(0, int(low)) if isinstance(low, int | float) else 1
        if top is not None and 0 <= first <= top <= 20:
            return " | ".join(spoken_number(n) for n in range(first, top + 1))
        return "<below_hundred>" if top is None or top < 100 else "<number>"
    if slot.kind is Kind.CHOICE:
        return names_rule(slot) or None
    if slot.kind is Kind.BOOLEAN:
        noun = speakable(slot.noun)
        return f"with {noun} | without {noun} | no {noun}"
    if slot.kind is Kind.LIST and slot.item is not None and (inner := value_rule(slot.item)):
        return f"({inner}) [[and] ({inner})] [[and] ({inner})]"
    return _BY_KIND.get(slot.kind)
