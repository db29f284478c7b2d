"""Names in subjects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.errors import PerhopError
from perhop.tools.bus.seldom import Seldom
from perhop.tools.bus.subjects import call_subject, matches, name_of, part, parts, tool_subject

NAMES = st.from_regex(r"[A-Za-z0-9_.:@-]{1,64}", fullmatch=True)


@given(NAMES, NAMES)
def test_a_name_survives_as_one_part_of_a_subject(tenant: str, tool: str) -> None:
    subject = tool_subject(tenant, tool)
    assert subject.count(".") == 3
    assert parts(subject)[2:] == [tenant, tool]
    assert name_of(part(tenant)) == tenant


@given(st.text(max_size=40))
def test_no_name_becomes_a_wildcard_or_another_subject(name: str) -> None:
    if name == "*":
        return
    try:
        made = part(name)
    except PerhopError:
        return
    assert made
    assert not set(made) & set("*> .\r\n\t")


@pytest.mark.parametrize("name", ["", " ", "a b", "a\r\nPUB x 1", ">", "a>", "x" * 129, "%2E", "ä"])
def test_names_that_could_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(PerhopError):
        tool_subject(name, "tool")
    with pytest.raises(PerhopError):
        call_subject("tenant", name, "stats")


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a.b", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_patterns_mean_what_they_mean_in_nats(pattern: str, subject: str, *, fits: bool) -> None:
    assert matches(pattern, subject) is fits


def test_what_repeats_is_said_once_an_interval_with_how_often() -> None:
    now = [0.0]
    seldom = Seldom(30.0, clock=lambda: now[0])
    assert seldom.now("down") == 1
    assert seldom.now("down") is None
    assert seldom.now("other") == 1
    now[0] = 29.0
    assert seldom.now("down") is None
    now[0] = 31.0
    assert seldom.now("down") == 3
    for kind in range(200):
        seldom.now(str(kind))
    assert len(seldom._said) <= Seldom.MAX_KINDS
