"""A conversation that outgrows its model: what the model still sees, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.realtime.helpers import MANUAL, TEXT_ONLY, Session, types

from perhop.realtime.context import fit
from perhop.realtime.conversation import Entry
from perhop.realtime.effects import OutputDone
from perhop.realtime.errors import ProtocolError
from perhop.realtime.items import ContentPart, FunctionCallItem, FunctionCallOutputItem, Item, MessageItem
from perhop.realtime.server import ServerLimits
from perhop.realtime.session_fields import RetentionRatio, TokenLimits, Truncation
from perhop.realtime.usage import entry_tokens

LIMIT = 1_000
LIMITS = ServerLimits(max_input_tokens=LIMIT)


def entry(item: Item) -> Entry:
    return Entry(item=item, known=item)


def message(tokens: int) -> Entry:
    part = ContentPart(type="input_text", text="four" * tokens)
    return entry(MessageItem(role="user", content=[part]))


def ratio(share: float, most: int | None = None) -> RetentionRatio:
    return RetentionRatio(retention_ratio=share, token_limits=TokenLimits(post_instructions=most))


# -- what fits --------------------------------------------------------------------------------------------------------


def test_what_fits_is_left_alone() -> None:
    context = [message(40), message(60)]
    for truncation in ("auto", "disabled", ratio(0.1)):
        fitted = fit(context, room=100, truncation=truncation)  # type: ignore[arg-type]
        assert fitted is not None
        assert (fitted.kept, fitted.left_out) == (tuple(context), ())


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [("auto", 9), (ratio(1.0), 9), (ratio(0.5), 4), (ratio(0.0), 1), (ratio(1.0, 40), 4), (ratio(0.5, 40), 2)],
)
def test_the_oldest_go_first_and_as_many_as_the_ratio_says(truncation: Truncation, kept: int) -> None:
    context = [message(10) for _ in range(10)]
    fitted = fit(context, room=95, truncation=truncation)
    assert fitted is not None
    assert fitted.kept == tuple(context[-kept:])
    assert fitted.left_out == tuple(context[:-kept])


def test_what_must_not_be_truncated_does_not_fit() -> None:
    assert fit([message(11)], room=10, truncation="disabled") is None


def test_the_newest_stays_even_when_it_is_too_long_by_itself() -> None:
    context = [message(10), message(50)]
    fitted = fit(context, room=0, truncation="auto")
    assert fitted is not None
    assert fitted.kept == (context[1],)


def test_an_output_goes_with_its_call() -> None:
    call = entry(FunctionCallItem(call_id="c1", name="find", arguments="x" * 400))
    output = entry(FunctionCallOutputItem(call_id="c1", output="y" * 8))
    other = entry(FunctionCallOutputItem(call_id="c2", output="z"))
    last = message(1)
    fitted = fit([call, output, other, last], room=10, truncation="auto")
    assert fitted is not None
    assert fitted.kept == (other, last)
    assert fitted.left_out == (call, output)


TRUNCATIONS: st.SearchStrategy[Any] = st.one_of(
    st.just("auto"), st.builds(ratio, st.floats(0, 1), st.one_of(st.none(), st.integers(0, 300)))
)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 300), TRUNCATIONS)
def test_what_is_kept_is_the_end_of_the_context_and_fits(costs: list[int], room: int, truncation: Truncation) -> None:
    context = [message(cost) for cost in costs]
    fitted = fit(context, room=room, truncation=truncation)
    assert fitted is not None
    assert [*fitted.left_out, *fitted.kept] == context
    assert fitted.kept
    most = room if not isinstance(truncation, RetentionRatio) else min(room, truncation.post_instructions or room)
    if truncation == "auto" or truncation.post_instructions != 0:
        assert len(fitted.kept) == 1 or sum(map(entry_tokens, fitted.kept)) <= most


# -- in a session -----------------------------------------------------------------------------------------------------


def conversation(truncation: object, limits: ServerLimits = LIMITS) -> Session:
    return Session({**TEXT_ONLY, **MANUAL, "instructions": "x" * 400, "truncation": truncation}, limits=limits)


def write(session: Session, tokens: int) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "four" * tokens}]}
    session.send("conversation.item.create", item=item)


def respond(session: Session, **params: Any) -> dict[str, Any]:
    """One empty response; returns it as it ended."""
    before = len(session.started)
    session.send("response.create", response=params)
    for start in session.started[before:]:
        session.give(OutputDone(start.response_id))
    done: dict[str, Any] = session.last("response.done")["response"]
    return done


def test_instructions_count_too() -> None:
    session = conversation("auto")
    for _ in range(9):
        write(session, 100)
    assert respond(session)["usage"]["input_tokens"] == 1_000
    write(session, 100)
    assert respond(session)["usage"]["input_tokens"] == 1_000
    assert [len(start.context) for start in session.started] == [9, 9]


def test_a_retention_ratio_keeps_the_beginning_of_the_context_stable_for_many_turns() -> None:
    session = conversation({"type": "retention_ratio", "retention_ratio": 0.5})
    firsts = []
    for _ in range(20):
        write(session, 100)
        respond(session)
        firsts.append(session.started[-1].context[0].id)
    assert len(set(firsts)) == 3, "auto would have changed it on every turn past the ninth"
    assert max(len(start.context) for start in session.started) == 9


def test_the_token_limit_of_the_session_is_kept() -> None:
    limit = {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 250}}
    session = conversation(limit)
    for _ in range(3):
        write(session, 100)
    assert respond(session)["usage"]["input_tokens"] == 100 + 200


def test_what_was_left_out_stays_out_but_can_still_be_retrieved() -> None:
    session = conversation("auto")
    for _ in range(12):
        write(session, 100)
    respond(session)
    left = len(session.server.items)
    assert left == 9
    session.send("session.update", session={"type": "realtime", "instructions": ""})
    respond(session)
    assert len(session.started[-1].context) == left
    assert types(session.send("conversation.item.retrieve", item_id="item_1")) == ["conversation.item.retrieved"]
    assert not [frame for frame in session.frames if frame["type"] == "conversation.item.deleted"]


def test_a_context_the_client_chose_is_fitted_for_that_response_alone() -> None:
    session = conversation("auto")
    for _ in range(4):
        write(session, 200)
    references = [{"type": "item_reference", "id": f"item_{number}"} for number in (1, 2, 3, 4, 1, 2)]
    respond(session, input=references, conversation="none")
    assert [item.id for item in session.started[-1].context] == ["item_3", "item_4", "item_1", "item_2"]
    respond(session)
    assert len(session.started[-1].context) == 4


def test_with_truncation_disabled_the_response_fails_and_says_so() -> None:
    session = conversation("disabled")
    for _ in range(10):
        write(session, 100)
    done = respond(session)
    assert done["status"] == "failed"
    assert done["status_details"]["error"]["type"] == "invalid_request_error"
    assert done["status_details"]["error"]["code"] == "context_length_exceeded"
    assert done["usage"]["total_tokens"] == 0
    assert session.effects == [], "the host was not bothered"
    session.send("conversation.item.delete", item_id="item_1")
    assert respond(session)["status"] == "completed"


@pytest.mark.parametrize(
    ("truncation", "param"),
    [
        ({"type": "retention_ratio"}, "session.truncation.retention_ratio"),
        ({"type": "retention_ratio", "retention_ratio": 1.1}, "session.truncation.retention_ratio"),
        (
            {"type": "retention_ratio", "retention_ratio": 1, "token_limits": {"post_instructions": -1}},
            "session.truncation.token_limits.post_instructions",
        ),
    ],
)
def test_a_truncation_that_makes_no_sense_is_refused(truncation: dict[str, Any], param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Session().send("session.update", session={"type": "realtime", "truncation": truncation})
    assert caught.value.param == param
