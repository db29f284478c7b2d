"""Refusals on the wire."""

from __future__ import annotations

import orjson
from tests.realtime.helpers import OFFICIAL

from perhop.errors import PerhopError
from perhop.realtime.errors import ProtocolError


def test_a_refusal_becomes_an_error_event_with_all_its_keys() -> None:
    frame = orjson.loads(ProtocolError(None, "No.", type_="server_error").to_event("event_1").to_json())
    assert frame == {
        "type": "error",
        "event_id": "event_1",
        "error": {"type": "server_error", "code": None, "message": "No.", "param": None, "event_id": None},
    }
    OFFICIAL.validate_python(frame)


def test_a_refusal_names_the_clients_event_once() -> None:
    error = ProtocolError("invalid_value", "No.", "item", "e1")
    assert error.for_event("e2").event_id == "e1"
    assert ProtocolError("invalid_value", "No.").for_event("e2").event_id == "e2"


def test_a_refusal_is_one_of_ours_and_says_what_was_wrong() -> None:
    error = ProtocolError("invalid_value", "No.")
    assert isinstance(error, PerhopError)
    assert str(error) == "No."
