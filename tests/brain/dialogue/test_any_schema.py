"""Whatever small form a tool declares, it can be filled by speaking, and what is called fits the schema."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.brain.dialogue.agents import function
from tests.brain.dialogue.talk import MONDAY, Talk

from perhop.text.verbalise import (
    spoken_date,
    spoken_digits,
    spoken_email,
    spoken_letters,
    spoken_money,
    spoken_number,
    spoken_time,
)


@dataclass(frozen=True)
class Field:
    """A parameter, a value for it, and how that is said."""

    name: str
    schema: dict[str, Any]
    value: object
    said: str


NAMES = ["bedrooms", "guests", "party_size", "age", "floor", "quantity"]
WORDS = ["window", "garden", "morning_slot", "blue", "large", "extra_cheese", "san leandro", "checkup", "standard"]
PEOPLE = ["Sam Brown", "Ann Lee", "Maria Garcia", "Jo", "Patrick Walker"]
TEXTS = ["the tap in the kitchen drips", "please ring twice", "I am allergic to nuts and 2 cats", "Running late!"]


@st.composite
def integers(draw: st.DrawFn) -> Field:
    low, width = draw(st.integers(0, 5)), draw(st.integers(1, 5000))
    value = draw(st.integers(low, low + width))
    said = draw(st.sampled_from([spoken_number(value), str(value)]))
    return Field(draw(st.sampled_from(NAMES)), {"type": "integer", "minimum": low, "maximum": low + width}, value, said)


@st.composite
def amounts(draw: st.DrawFn) -> Field:
    value = draw(st.integers(1, 9999))
    said = draw(st.sampled_from([spoken_money(value), spoken_number(value), f"${value:,}"]))
    return Field(draw(st.sampled_from(["max_price", "budget", "deposit_amount"])), {"type": "integer"}, value, said)


@st.composite
def numbers(draw: st.DrawFn) -> Field:
    value = draw(st.integers(0, 400)) / 4
    return Field(draw(st.sampled_from(["weight", "miles", "rating"])), {"type": "number"}, value, spoken_number(value))


@st.composite
def choices(draw: st.DrawFn) -> Field:
    known = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=5, unique=True))
    value = draw(st.sampled_from(known))
    key = draw(st.sampled_from(["enum", "x-values"]))
    return Field(
        draw(st.sampled_from(["kind", "place", "option"])),
        {"type": "string", key: known},
        value,
        value.replace("_", " "),
    )


@st.composite
def days(draw: st.DrawFn) -> Field:
    value = MONDAY + timedelta(days=draw(st.integers(1, 300)))
    return Field(
        draw(st.sampled_from(["day", "move_in_date"])),
        {"type": "string", "format": "date"},
        value.isoformat(),
        spoken_date(value),
    )


@st.composite
def times(draw: st.DrawFn) -> Field:
    value = time(draw(st.integers(0, 23)), draw(st.integers(0, 59)))
    return Field(
        draw(st.sampled_from(["time", "pickup_time"])),
        {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
        f"{value:%H:%M}",
        spoken_time(value),
    )


@st.composite
def phones(draw: st.DrawFn) -> Field:
    digits = draw(st.from_regex("[2-9][0-9]{9}", fullmatch=True))
    return Field("phone", {"type": "string", "pattern": r"^\+1[0-9]{10}$"}, "+1" + digits, spoken_digits(digits))


@st.composite
def addresses(draw: st.DrawFn) -> Field:
    value = draw(st.sampled_from(["john.smith@gmail.com", "j5@example.org", "ann_lee@my-home.net"]))
    return Field("email", {"type": "string", "format": "email"}, value, spoken_email(value))


@st.composite
def codes(draw: st.DrawFn) -> Field:
    value = draw(st.from_regex("[A-Z]{2}[0-9]{3}", fullmatch=True))
    return Field("plate", {"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"}, value, spoken_letters(value))


flags = st.booleans().map(lambda value: Field("breakfast", {"type": "boolean"}, value, "yes" if value else "no"))
people = st.sampled_from(PEOPLE).map(lambda name: Field("name", {"type": "string"}, name, f"my name is {name.lower()}"))
texts = st.sampled_from(TEXTS).map(lambda text: Field("remark", {"type": "string"}, text, text))
fields = st.one_of(
    integers(), amounts(), numbers(), choices(), days(), times(), phones(), addresses(), codes(), flags, people, texts
)
forms = st.lists(fields, min_size=1, max_size=5, unique_by=lambda field: field.name)


async def fill(form: list[Field], effect: str) -> Talk:
    """Speaks a form field by field, whatever it asks for."""
    tool = function(
        "request_thing", {field.name: field.schema for field in form}, title="request a thing", effect=effect
    )
    talk = Talk([tool], lambda name, arguments: "{}")
    heard = await talk.say("request a thing")
    for _ in range(3 * len(form) + 3):
        if talk.calls:
            break
        state = talk.state_after(talk.items)
        asked = state.form.asked if state.form else None
        answer = next((field.said for field in form if field.name == asked), "yes")
        heard += " | " + answer + " → " + await talk.say(answer)
    assert talk.calls, heard
    return talk


@given(forms, st.sampled_from(["none", "once"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_a_form_is_filled_by_speaking_its_values(form: list[Field], effect: str) -> None:
    talk = await fill(form, effect)
    name, arguments = talk.calls[0]
    assert name == "request_thing"
    assert arguments == {field.name: field.value for field in form}
    jsonschema_rs.validate(talk.tools[0]["parameters"], arguments)


WILD = st.text(alphabet=st.sampled_from("abeimno twofiveyes,.'@0123456789$:-"), max_size=40)


@given(
    forms,
    st.lists(
        st.one_of(
            WILD,
            st.text(max_size=20),
            fields.map(lambda f: f.said),
            st.sampled_from(["yes", "no", "two", "cancel", "the day"]),
        ),
        max_size=12,
    ),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([Field("max_price", {"type": "integer"}, 1, "one dollar")], ["0POINT1"])
@example([Field("time", {"type": "string"}, "", "")], ["at", "half past", ":"])
async def test_whatever_is_said_every_call_fits_its_schema(form: list[Field], said: list[str]) -> None:
    tool = function(
        "request_thing", {field.name: field.schema for field in form}, title="request a thing", effect="once"
    )
    talk = Talk([tool], lambda name, arguments: "{}")
    await talk.say("request a thing")
    for text in [*said, "yes"]:
        talk.mind.expect(talk.items)
        talk.mind.judge(talk.items, text)
        await talk.say(text)
    for _, arguments in talk.calls:
        jsonschema_rs.validate(tool["parameters"], arguments)


def test_today_is_the_day_the_tests_think_it_is() -> None:
    assert date(2026, 11, 23) == MONDAY
    assert MONDAY.weekday() == 0
