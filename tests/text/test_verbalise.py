"""What is verbalised is read back as the same value."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.text import normalise
from perhop.text.contact import format_phone, read_email, read_phone, read_spelling
from perhop.text.dates import read_date
from perhop.text.numbers import read_amount, read_money, read_number, read_ordinal
from perhop.text.times import read_time
from perhop.text.verbalise import (
    say_date,
    say_digits,
    say_email,
    say_list,
    say_money,
    say_number,
    say_ordinal,
    say_time,
    spoken_date,
    spoken_digits,
    spoken_email,
    spoken_letters,
    spoken_money,
    spoken_number,
    spoken_ordinal,
    spoken_time,
)
from perhop.text.words import split

TODAY = date(2026, 11, 23)


def words(text: str) -> list[str]:
    return [word.text for word in split(text)]


@given(st.integers(0, 10**12 - 1))
def test_numbers_come_back(value: int) -> None:
    for text in (spoken_number(value), say_number(value)):
        reading = read_number(words(text), 0)
        assert reading is not None
        assert (reading.value, reading.end) == (value, len(words(text)))


@given(st.decimals(min_value=0, max_value=10**6, places=2))
def test_fractions_come_back(value: Decimal) -> None:
    reading = read_number(words(spoken_number(value)), 0)
    assert reading is not None
    assert reading.value == value


@given(st.integers(0, 9999))
def test_amounts_come_back_in_full(value: int) -> None:
    reading = read_amount(words(spoken_number(value)), 0)
    assert reading is not None
    assert reading.value == value


@given(st.integers(1, 31))
def test_ordinals_come_back(value: int) -> None:
    for text in (spoken_ordinal(value), say_ordinal(value)):
        reading = read_ordinal(words(text), 0)
        assert reading is not None
        assert reading.value == value


@given(st.times())
def test_times_come_back(value: time) -> None:
    value = value.replace(second=0, microsecond=0, fold=0)
    for text in (spoken_time(value), say_time(value)):
        reading = read_time(words(text), 0)
        assert reading is not None
        assert (reading.value.resolve(), reading.end) == (value, len(words(text)))


@given(st.dates(date(1930, 1, 1), date(2090, 12, 31)))
def test_dates_come_back(value: date) -> None:
    reading = read_date(words(spoken_date(value, year=True)), 0, TODAY)
    assert reading is not None
    assert reading.value.date == value
    said = read_date(words(say_date(value, TODAY)), 0, TODAY)
    assert said is not None
    assert said.value.date == value or (value < TODAY and abs((value - TODAY).days) <= 300)


@given(st.from_regex(r"[2-9][0-9]{9}", fullmatch=True))
def test_phone_numbers_come_back(digits: str) -> None:
    for text in (spoken_digits(digits), say_digits(digits)):
        reading = read_phone(words(text), 0)
        assert reading is not None
        assert reading.value == digits
    assert normalise(spoken_digits(digits)).text == format_phone(digits)


@given(st.integers(0, 10**7), st.integers(0, 99))
def test_money_comes_back(whole: int, cents: int) -> None:
    amount = Decimal(whole) + Decimal(cents) / 100
    for text in (spoken_money(amount), say_money(amount)):
        reading = read_money(words(text), 0)
        assert reading is not None
        assert reading.value.amount == amount


@given(
    st.from_regex(
        r"[b-hj-z][a-z]{1,7}([._-][b-hj-z][a-z]{2,7})?[0-9]{0,3}@[b-hj-z][a-z]{2,8}\.(com|org|net)", fullmatch=True
    )
)
def test_addresses_come_back(address: str) -> None:
    for text in (spoken_email(address), say_email(address), address):
        reading = read_email(words(text), 0)
        if reading is None:  # a mailbox that reads like a word of the sentence ("is@…") or a number word
            continue
        assert reading.value == address or not address.partition("@")[0].isalpha()


@pytest.mark.parametrize(
    "address", ["john.smith@gmail.com", "j5@example.co.uk", "ann_lee-22@my-home.org", "sam+x@a.io"]
)
def test_these_addresses_come_back_for_certain(address: str) -> None:
    for text in (spoken_email(address), say_email(address)):
        reading = read_email(words(text), 0)
        assert reading is not None
        assert reading.value == address


@given(st.from_regex(r"[A-Z]{3,10}", fullmatch=True))
def test_spelled_words_come_back(text: str) -> None:
    reading = read_spelling(words(spoken_letters(text)), 0)
    assert reading is not None
    assert reading.value == text


def test_what_is_read_back_reads_well() -> None:
    assert say_date(date(2026, 11, 27), TODAY) == "Friday, November 27th"
    assert say_date(date(2028, 2, 1), TODAY) == "Tuesday, February 1st, 2028"
    assert say_time(time(14, 30)) == "2:30 pm"
    assert say_time(time(12, 0)) == "noon"
    assert say_digits("5105550134") == "5 1 0, 5 5 5, 0 1 3 4"
    assert say_money(2500) == "2,500 dollars"
    assert say_money(Decimal("3.5")) == "3 dollars and 50 cents"
    assert say_list(["a", "b", "c"], joint="or") == "a, b or c"
    assert spoken_time(time(9, 5)) == "nine oh five a m"
