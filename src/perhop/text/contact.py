"""Readers for what people spell out: letters, e-mail addresses, phone numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from perhop.text.numbers import read_digits
from perhop.text.words import NATO, Reading, vocabulary, word_at

__all__ = ["format_phone", "read_email", "read_phone", "read_spelling"]

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LOCAL_LINKS = {
    "dot": ".",
    "point": ".",
    ".": ".",
    "underscore": "_",
    "dash": "-",
    "hyphen": "-",
    "minus": "-",
    "plus": "+",
}
_NO_MAILBOX = frozenset(
    vocabulary(
        "a about are be book call can find for from get go i'm i's in is it look looking me meet on open out search "
        "see stay that the there to up us visit was we website what you"
    )
)
_TOP_LEVEL = frozenset(
    vocabulary(
        "app biz cloud com dev edu email gov health info int live mil name net online org pro shop site tech xyz"
    )
)
"""Besides those of two letters. A written address may end in any; of spoken words too many could be taken for one."""
_PHONETIC = frozenset(NATO.values()) | {"alfa", "juliett", "x"}
_MAX_ATOMS = 24


def _letter(words: Sequence[str], at: int) -> Reading[str] | None:
    """One spelled letter or digit: "b", "b as in bravo", "capital b", "double l", "seven"."""
    word = word_at(words, at)
    if word == "capital" and len(word_at(words, at + 1)) == 1:
        return _letter(words, at + 1)
    if word == "double" and len(word_at(words, at + 1)) == 1 and words[at + 1].isalpha():
        return Reading(words[at + 1] * 2, at + 2)
    if len(word) == 1 and word.isalpha():
        for link in (("as", "in"), ("for",), ("like",)):
            end = at + 1 + len(link)
            if tuple(words[at + 1 : end]) == link and word_at(words, end)[:1] == word and len(words[end]) > 1:
                return Reading(word, end + 1)
        return Reading(word, at + 1)
    return None


def read_spelling(words: Sequence[str], at: int, *, digits: bool = False, least: int = 3) -> Reading[str] | None:
    """Letters said one by one, as an upper-case string: "b as in bravo r o w n" is ``BROWN``.

    Args:
        words: lower-case words.
        at: where to look.
        digits: whether digits and the words of the phonetic alphabet alone ("bravo two") belong to it too: for codes.
        least: how many letters make a spelling; two do when one of them is explained ("b as in bravo").
    """
    letters, end, following, explained = "", at, at, False
    while len(letters) < 64:
        piece = _letter(words, following)
        if piece is None and digits:
            if word_at(words, following) in _PHONETIC:
                piece = Reading(words[following][0], following + 1)
            else:
                piece = read_digits(words, following, commas=False)
        if piece is None:
            break
        explained |= piece.end - following > 2
        letters, end = letters + piece.value, piece.end
        following = end + (word_at(words, end) == ",")
    enough = len(letters) >= (min(least, 2) if explained else least)
    return Reading(letters.upper(), end) if enough else None


def _atom(words: Sequence[str], at: int) -> Reading[str] | None:
    """A piece of an address: a word, a number, or letters spelled out."""
    if spelled := read_spelling(words, at, least=1):
        return Reading(spelled.value.lower(), spelled.end)
    if number := read_digits(words, at, commas=False):
        return number
    word = word_at(words, at)
    return Reading(word, at + 1) if word.isalnum() and word[0].isalpha() and word.isascii() else None


def read_email(words: Sequence[str], at: int, *, loose: bool = False) -> Reading[str] | None:
    """An e-mail address: "john dot smith at gmail dot com", "j smith 5 at example dot co dot uk", or written.

    Args:
        words: lower-case words.
        at: where to look.
        loose: join words that follow each other without a link ("john smith at …" is ``johnsmith@…``): only when an
            address was asked for, for in running text the first of them belongs to the sentence.
    """
    word = word_at(words, at)
    if _EMAIL.fullmatch(word):
        return Reading(word, at + 1)
    local, end, count = "", at, 0
    linked, initial = True, False
    while count < _MAX_ATOMS:
        if local and word_at(words, end) in ("at", "@"):
            break
        if link := _LOCAL_LINKS.get(word_at(words, end)):
            if linked:
                return None
            local, end, linked = local + link, end + 1, True
            continue
        piece = _atom(words, end)
        if piece is None:
            return None
        plain = piece.value.isalpha() and piece.end == end + 1 and len(piece.value) > 1
        if not linked and not loose and ((plain and local[-1:].isalpha() and not initial) or local in _NO_MAILBOX):
            return None
        # "j smith at …" is one mailbox, but "a" and "i" before a word belong to the sentence.
        initial = len(word_at(words, piece.end - 1)) == 1 and words[piece.end - 1] not in ("a", "i")
        local, end, linked = local + piece.value, piece.end, False
        count += 1
    if linked or not local or (local in _NO_MAILBOX and not loose):
        return None
    domain = _domain(words, end + 1) if word_at(words, end) in ("at", "@") else None
    return Reading(f"{local}@{domain.value}", domain.end) if domain else None


def _domain(words: Sequence[str], at: int) -> Reading[str] | None:
    """ "gmail dot com", "my dash company dot co dot uk": labels joined by dots, the last of letters only."""
    labels, end = [""], at
    for _ in range(_MAX_ATOMS):
        word = word_at(words, end)
        if word in ("dot", ".") and labels[-1]:
            if word == "." and not word_at(words, end + 1).isalpha():
                break
            labels, end = [*labels, ""], end + 1
        elif word in ("dash", "hyphen") and labels[-1]:
            labels[-1], end = labels[-1] + "-", end + 1
        elif labels[-1] and not labels[-1].endswith("-") and (len(labels) > 1 or not _joins(words, end)):
            break
        elif piece := _atom(words, end):
            labels[-1], end = labels[-1] + piece.value, piece.end
        else:
            break
    known = labels[-1] in _TOP_LEVEL or (len(labels[-1]) == 2 and labels[-1].isalpha())
    if len(labels) < 2 or not known or any(label.endswith("-") for label in labels):
        return None
    return Reading(".".join(labels), end)


def _joins(words: Sequence[str], at: int) -> bool:
    """Whether a word goes on a first label ("my company dot com"): only if a dot follows it soon."""
    return any(word_at(words, at + ahead) == "dot" for ahead in (1, 2)) and word_at(words, at).isalnum()


def format_phone(digits: str) -> str:
    """Digits in the usual grouping: ``510-555-0134``, ``555-0134``; numbers of other lengths stay as they are."""
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    if len(digits) == 10:
        return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"
    return f"{digits[:3]}-{digits[3:]}" if len(digits) == 7 else digits


def read_phone(words: Sequence[str], at: int) -> Reading[str] | None:
    """The digits of a phone number, as few as were said: "area code five one oh, five five five …", "+1 510 …"."""
    start = at + (2 if tuple(words[at : at + 2]) == ("area", "code") else 0)
    start += word_at(words, start) in ("+", "plus")
    digits, end = "", start
    while piece := read_digits(words, end):
        digits, end = digits + piece.value, piece.end
        # "five one oh. five five five. oh one three four": a recogniser that punctuates puts stops between groups
        if len(digits) < 10 and word_at(words, end) in (".", ",", "and") and read_digits(words, end + 1):
            end += 1
        else:
            break
    return Reading(digits, end) if digits and len(digits) <= 15 else None
