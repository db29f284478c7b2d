"""Logs: one shape for all, and nothing in them that was said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from perhop.config import LogSettings
from perhop.errors import PerhopError
from perhop.telemetry.logs import configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where logs go in a test; afterwards everything is as it was."""
    root = logging.getLogger()
    before = root.handlers, root.level
    out = io.StringIO()
    configure_logging(LogSettings(level="debug", format="json"), stream=out)
    yield out
    root.handlers, root.level = before
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_own_and_foreign_lines_have_one_shape(stream: io.StringIO) -> None:
    structlog.get_logger("perhop.call").info("call started", call_id="rtc_1")
    logging.getLogger("some.library").warning("careful: %s", "x")
    ours, theirs = lines(stream)
    assert (ours["event"], ours["call_id"], ours["level"], ours["logger"]) == (
        "call started",
        "rtc_1",
        "info",
        "perhop.call",
    )
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("careful: x", "warning", "some.library")
    assert ours.keys() - {"call_id"} == theirs.keys()


@pytest.mark.parametrize(
    "field", ["text", "transcript", "audio", "sdp", "arguments", "token", "secret", "authorization", "session", "body"]
)
def test_fields_that_could_hold_a_payload_are_dropped(stream: io.StringIO, field: str) -> None:
    structlog.get_logger().info("something", **{field: "canary"}, size=6)
    assert "canary" not in stream.getvalue()
    assert lines(stream)[0]["size"] == 6


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("how", ["structlog", "logging"])
def test_an_exception_is_its_type_and_stack_but_not_its_message(stream: io.StringIO, how: str) -> None:
    word = "ca" + "nary"  # in two pieces: the stack shows this source
    try:
        try:
            fail(KeyError(word))
        except KeyError as cause:
            raise ValueError(word) from cause
    except ValueError:
        if how == "structlog":
            structlog.get_logger().error("broken", exc_info=True)
        else:
            logging.getLogger("library").exception("broken")
    assert word not in stream.getvalue()
    shown = lines(stream)[0]["exception"]
    assert "KeyError" in shown
    assert shown.rstrip().endswith("ValueError")
    assert "test_logs.py" in shown


def test_errors_of_our_own_say_what_they_say(stream: io.StringIO) -> None:
    structlog.get_logger().error("refused", exc_info=PerhopError("the port is taken"))
    assert "PerhopError: the port is taken" in lines(stream)[0]["exception"]


def test_a_traceback_that_comes_as_text_is_left_out(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("Traceback (most recent call last):\n  ...\nValueError: canary")
    assert stream.getvalue() == ""


def test_libraries_that_log_frames_are_silenced_below_warning(stream: io.StringIO) -> None:
    for name in ("websockets.server", "uvicorn.error", "httpx", "aiortc.rtcsctptransport"):
        logging.getLogger(name).debug("< TEXT 'canary'")
        logging.getLogger(name).info("canary")
    assert stream.getvalue() == ""


def test_a_terminal_gets_lines_for_people() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    root = logging.getLogger()
    before = root.handlers, root.level
    out = Terminal()
    configure_logging(LogSettings(), stream=out)
    structlog.get_logger("perhop").info("call started", call_id="rtc_1")
    root.handlers, root.level = before
    structlog.reset_defaults()
    assert "call started" in out.getvalue()
    assert not out.getvalue().startswith("{")
