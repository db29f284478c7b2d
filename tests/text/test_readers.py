"""The readers behind the normaliser, where what they read depends on what was asked or on today."""

from __future__ import annotations

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.text.contact import read_email, read_phone, read_spelling
from perhop.text.dates import read_date
from perhop.text.numbers import read_amount, read_digits
from perhop.text.times import Clock, read_day_part, read_time
from perhop.text.words import split

MONDAY = date(2026, 11, 23)
FRIDAY = date(2026, 11, 27)


def words(text: str) -> list[str]:
    return [word.text for word in split(text)]


@pytest.mark.parametrize(
    ("said", "day", "sure"),
    [
        ("today", MONDAY, True),
        ("tomorrow", date(2026, 11, 24), True),
        ("the day after tomorrow", date(2026, 11, 25), True),
        ("friday", FRIDAY, True),
        ("this friday", FRIDAY, True),
        ("next friday", date(2026, 12, 4), False),
        ("friday next week", date(2026, 12, 4), True),
        ("monday", date(2026, 11, 30), False),
        ("friday the twenty seventh", FRIDAY, True),
        ("friday, november 27th", FRIDAY, True),
        ("thursday november twenty seventh", FRIDAY, False),
        ("march fifth", date(2027, 3, 5), True),
        ("the fifth of march", date(2027, 3, 5), True),
        ("march 5 2028", date(2028, 3, 5), True),
        ("in two weeks", date(2026, 12, 7), True),
        ("a week from friday", date(2026, 12, 4), True),
        ("ten days from now", date(2026, 12, 3), True),
        ("2026-12-24", date(2026, 12, 24), True),
        ("12/24", date(2026, 12, 24), True),
        ("3/4", date(2027, 3, 4), False),
        ("24/12/2026", date(2026, 12, 24), True),
        ("this weekend", date(2026, 11, 28), False),
        ("the fifth", date(2026, 12, 5), True),
    ],
)
def test_dates_are_read_relative_to_today(said: str, day: date, sure: bool) -> None:
    reading = read_date(words(said), 0, MONDAY, bare=True)
    assert reading is not None
    assert (reading.value.date, reading.value.sure, reading.end) == (day, sure, len(words(said)))


def test_a_date_of_birth_lies_in_the_past() -> None:
    reading = read_date(words("december first"), 0, MONDAY, prefer="past")
    assert reading is not None
    assert reading.value.date == date(2025, 12, 1)


@pytest.mark.parametrize("said", ["february thirtieth", "2026-02-30", "13/13", "the", "march", "next", "in two", ""])
def test_what_is_no_date_is_not_read(said: str) -> None:
    assert read_date(words(said), 0, MONDAY) is None


@pytest.mark.parametrize(
    ("said", "bare", "expected"),
    [
        ("two thirty p m", False, time(14, 30)),
        ("two thirty", True, time(14, 30)),
        ("two", True, time(14, 0)),
        ("nine", True, time(9, 0)),
        ("twelve", True, time(12, 0)),
        ("two o'clock", False, time(14, 0)),
        ("half past nine", False, time(9, 30)),
        ("quarter to one", False, time(12, 45)),
        ("a quarter past eight in the evening", False, time(20, 15)),
        ("ten minutes to three", False, time(14, 50)),
        ("seven oh five a m", False, time(7, 5)),
        ("2:30pm", False, time(14, 30)),
        ("14:30", False, time(14, 30)),
        ("fourteen thirty", True, time(14, 30)),
        ("noon", False, time(12, 0)),
        ("midnight", False, time(0, 0)),
        ("twelve thirty a m", False, time(0, 30)),
        ("eleven at night", False, time(23, 0)),
    ],
)
def test_times_are_read(said: str, bare: bool, expected: time) -> None:
    reading = read_time(words(said), 0, bare=bare)
    assert reading is not None
    assert (reading.value.resolve(), reading.end) == (expected, len(words(said)))


@pytest.mark.parametrize("said", ["two thirty", "two", "25:00", "two bedrooms", "half", "quarter past"])
def test_a_number_is_not_a_time_unless_one_was_asked_for(said: str) -> None:
    assert read_time(words(said), 0) is None


def test_an_open_time_takes_the_half_of_the_day_said_elsewhere() -> None:
    assert Clock(9, 0, None).with_part("pm").resolve() == time(21, 0)
    assert Clock(14, 0, None).with_part("am") == Clock(14, 0, None)
    part = read_day_part(words("in the morning"), 0)
    assert part is not None
    assert part.value == "am"


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("five one oh, five five five, oh one three four", "5105550134"),
        ("area code five one oh five five five twelve thirty four", "5105551234"),
        ("eight hundred five five five one two three four", "8005551234"),
        ("510 555 0134", "5105550134"),
        ("(510) 555-0134", "5105550134"),
        ("plus one five one oh five five five oh one three four", "15105550134"),
        ("double five", "55"),
    ],
)
def test_phone_numbers_are_read(said: str, digits: str) -> None:
    reading = read_phone(words(said), 0)
    assert reading is not None
    assert reading.value == digits


@pytest.mark.parametrize(
    ("said", "amount"),
    [("nine fifty", 950), ("twenty five fifty", 2550), ("three thousand", 3000), ("3k", 3000), ("twenty five", 25)],
)
def test_prices_may_be_short(said: str, amount: int) -> None:
    reading = read_amount(words(said), 0)
    assert reading is not None
    assert reading.value == amount


@pytest.mark.parametrize(
    ("said", "loose", "address"),
    [
        ("john dot smith at gmail dot com", False, "john.smith@gmail.com"),
        ("john smith at gmail dot com", True, "johnsmith@gmail.com"),
        ("b as in bravo o b at my dash firm dot co dot uk", False, "bob@my-firm.co.uk"),
        ("ann underscore lee nineteen at yahoo.com", False, "ann_lee19@yahoo.com"),
        ("A.Lee@Example.org", False, "a.lee@example.org"),
    ],
)
def test_addresses_are_read(said: str, loose: bool, address: str) -> None:
    reading = read_email(words(said), 0, loose=loose)
    assert reading is not None
    assert reading.value == address


@pytest.mark.parametrize("said", ["look at gmail dot com", "meet me at noon", "dot at com", "john at", "john at gmail"])
def test_a_sentence_with_at_is_no_address(said: str) -> None:
    assert read_email(words(said), 0) is None


def test_codes_mix_letters_and_digits() -> None:
    reading = read_spelling(words("b as in bravo two seven double l x ray"), 0, digits=True)
    assert reading is not None
    assert reading.value == "B27LLX"


@given(st.text(max_size=60), st.integers(-2, 70))
def test_readers_never_fail(text: str, at: int) -> None:
    tokens = words(text)
    read_date(tokens, at, MONDAY, bare=True)
    read_time(tokens, at, bare=True)
    read_phone(tokens, at)
    read_email(tokens, at, loose=True)
    read_spelling(tokens, at, digits=True)
    read_digits(tokens, at)
    read_amount(tokens, at)
