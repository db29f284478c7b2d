"""Output tokens: what is produced never exceeds them, whatever the host gives at once. And one call at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.realtime.helpers import MANUAL, TEXT_ONLY, Session, pcm, types

from perhop.realtime.effects import OutputAudio, OutputDone, OutputFunctionCall, OutputText


def limited(tokens: int, **session: Any) -> Session:
    opened = Session({**MANUAL, **session, "max_output_tokens": tokens})
    opened.send("response.create")
    return opened


def done(session: Session) -> dict[str, Any]:
    response: dict[str, Any] = session.last("response.done")["response"]
    return response


def test_text_is_cut_at_the_last_token() -> None:
    session = limited(5, **TEXT_ONLY)
    session.give(OutputText(session.live, "four" * 100))
    response = done(session)
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["output"][0]["content"][0]["text"] == "four" * 5
    assert response["usage"]["output_tokens"] == 5


def test_audio_is_cut_at_the_last_token() -> None:
    session = limited(30)
    session.give(OutputText(session.live, "four" * 10))
    session.give(OutputAudio(session.live, pcm(5_000)))
    response = done(session)
    assert response["usage"]["output_token_details"] == {"text_tokens": 10, "audio_tokens": 20}
    assert sum(len(frame["delta"]) * 3 // 4 for frame in session.frames if "audio.delta" in frame["type"]) == len(
        pcm(1_000)
    )


def test_a_function_call_that_does_not_fit_is_not_made() -> None:
    session = limited(7)
    session.give(OutputFunctionCall(session.live, "find", '{"city": "a very long name of a city"}'))
    response = done(session)
    assert (response["status"], response["output"]) == ("incomplete", [])
    assert response["usage"]["output_tokens"] == 0


def test_a_function_call_that_fits_exactly_is_made() -> None:
    session = limited(2)
    session.give(OutputFunctionCall(session.live, "find", "{  }"))
    session.give(OutputDone(session.live))
    response = done(session)
    assert (response["status"], response["output"][0]["status"]) == ("completed", "completed")
    assert response["usage"]["output_tokens"] == 2


PIECES = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=40).map(lambda words: ("text", words)),
        st.integers(1, 400).map(lambda ms: ("audio", ms)),
        st.integers(0, 40).map(lambda size: ("call", size)),
    ),
    max_size=12,
)


@given(st.integers(1, 40), PIECES, st.booleans())
def test_no_response_uses_more_than_it_may(tokens: int, pieces: list[tuple[str, Any]], spoken: bool) -> None:
    session = limited(tokens, **({} if spoken else TEXT_ONLY))
    response_id = session.live
    for kind, value in pieces:
        if kind == "text":
            session.give(OutputText(response_id, value))
        elif kind == "audio":
            session.give(OutputAudio(response_id, pcm(value)))
        else:
            session.give(OutputFunctionCall(response_id, "f", "x" * value))
    session.give(OutputDone(response_id))
    response = done(session)
    assert response["usage"]["output_tokens"] <= tokens
    assert response["status"] == ("incomplete" if response["status_details"] else "completed")


def test_an_answer_that_ends_with_its_last_token_is_complete() -> None:
    session = limited(30)
    session.give(OutputText(session.live, "four" * 10))
    session.give(OutputAudio(session.live, pcm(1_000)))
    session.give(OutputDone(session.live))
    assert (done(session)["status"], done(session)["usage"]["output_tokens"]) == ("completed", 30)


# -- one call at a time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("session_says", "response_says", "calls"),
    [(None, None, 2), (True, None, 2), (False, None, 1), (False, True, 2), (True, False, 1), (None, False, 1)],
)
def test_calls_in_parallel_only_where_they_are_allowed(
    session_says: bool | None, response_says: bool | None, calls: int
) -> None:
    session = Session(MANUAL if session_says is None else {**MANUAL, "parallel_tool_calls": session_says})
    session.send("response.create", response={} if response_says is None else {"parallel_tool_calls": response_says})
    assert session.started[0].parallel_tool_calls is (calls == 2)
    for name in ("one", "two"):
        session.give(OutputFunctionCall(session.live, name, "{}"))
    session.give(OutputDone(session.live))
    response = done(session)
    assert response["status"] == "completed"
    assert [item["name"] for item in response["output"]] == ["one", "two"][:calls]
    assert types(session.frames).count("response.function_call_arguments.done") == calls
