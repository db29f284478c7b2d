"""``docs/conformance.md`` says what the code does: its tables name everything there is, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import BaseModel
from tests.frames import UNKNOWN_FIELDS

from perhop.api import incoming, realtime, refused, sockets
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import CLIENT_EVENTS, SERVER_EVENTS, ResponseParams, parse_client_event
from perhop.realtime.server import ServerLimits
from perhop.realtime.session import SessionConfig, parse_session
from perhop.realtime.session_fields import AudioInput, AudioOutput, SemanticVad, ServerVad
from perhop.realtime.wire import MAX_DEPTH, MAX_VALUES

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "conformance.md").read_text()

HERE = {"yes", "partly", "kept", "never", "no"}

Rows = dict[str, tuple[str, str]]
"""Name → what is the case here, and how."""


def tables() -> Iterator[tuple[str, Rows]]:
    """Every table with a column *here*: the heading of its first column, and its rows."""
    for block in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        heading, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        if heading[1:2] == ["here"]:
            yield heading[0], {name.strip("`"): (here, how) for name, here, how in rows}


def names(table: str) -> set[str]:
    [rows] = [rows for heading, rows in tables() if heading == table]
    return set(rows)


def test_there_are_six_tables() -> None:
    assert [heading for heading, _ in tables()] == [
        "event", "event", "field", "turn detection", "parameter", "path",
    ]  # fmt: skip


def test_every_row_says_what_is_the_case_and_every_exception_is_explained() -> None:
    for heading, rows in tables():
        for name, (here, how) in rows.items():
            assert here in HERE, (heading, name)
            assert here == "yes" or how, f"{heading} {name} needs a reason"


def test_the_tables_name_every_event() -> None:
    client, server = (set(rows) for heading, rows in tables() if heading == "event")
    assert client == set(CLIENT_EVENTS)
    assert server == set(SERVER_EVENTS)
    assert (len(client), len(server)) == (11, 46)


def fields_of(model: type[BaseModel], *within: str) -> set[str]:
    return {".".join([*within, name]) for name in model.model_fields}


def test_the_table_names_every_session_field() -> None:
    expected = fields_of(SessionConfig) - {"audio"}
    expected |= fields_of(AudioInput, "audio", "input") | fields_of(AudioOutput, "audio", "output")
    assert names("field") == expected
    detection = fields_of(ServerVad, "server_vad") | fields_of(SemanticVad, "semantic_vad")
    assert names("turn detection") == {name for name in detection if not name.endswith(".type")}


@pytest.mark.parametrize("name", sorted(names("field") - {"type"}))
def test_the_fields_of_transcription_sessions_are_marked(name: str) -> None:
    [rows] = [rows for heading, rows in tables() if heading == "field"]
    field: Any = {} if name.startswith("audio") else None
    for key in reversed(name.split(".")):
        field = {key: field}
    try:
        parse_session({"type": "transcription", **field})
    except ProtocolError as error:
        assert error.code == "unknown_parameter"
        allowed = False
    else:
        allowed = True
    assert rows[name][1].startswith("(t)") is allowed


def test_the_table_names_every_parameter_of_a_response() -> None:
    assert names("parameter") == fields_of(ResponseParams)


def test_the_table_names_every_path() -> None:
    served = set()
    for router in (realtime.router, incoming.router, sockets.router, refused.router):
        served |= {path for path in _paths(router) if path.partition(" ")[2].startswith("/v1/realtime")}
    assert names("path") == served


def _paths(router: APIRouter) -> Iterator[str]:
    for route in router.routes:
        methods = getattr(route, "methods", None) or {"GET"}  # a WebSocket begins with one
        yield from (f"{method} {route.path}" for method in methods - {"HEAD"})  # type: ignore[attr-defined]


def test_what_is_never_sent_is_not_sent() -> None:
    """By the source: events that no module but their own makes."""
    [_, server] = [rows for heading, rows in tables() if heading == "event"]
    source = "\n".join(
        path.read_text()
        for path in (ROOT / "src" / "perhop").rglob("*.py")
        if "events" not in path.parts and "cli" not in path.parts
    )
    never = {name for name, (here, _) in server.items() if here == "never"}
    assert not {name for name in never if re.search(rf"\b{SERVER_EVENTS[name].__name__}\(event_id", source)}
    assert re.search(r"\bInputAudioBufferCleared\(event_id", source), "this is how events are made"


def test_the_fields_the_official_package_does_not_declare_are_named() -> None:
    [table] = re.findall(r"^\| sent though not declared .*\n\|-.*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    told = set()
    for row in table.splitlines():
        fields, events = (re.findall(r"`([\w.]+)`", cell) for cell in row.split("|")[1:3])
        told |= {(event, field) for event in events for field in fields}
    assert told == set(UNKNOWN_FIELDS)


def test_the_figures_are_those_of_the_code() -> None:
    limits = ServerLimits()
    for figure in (
        f"| input tokens | 28,672 of 32,768; more with newer models | {limits.max_input_tokens:,} |",
        f"| {limits.max_buffer_ms // 1000} s; then `input_audio_buffer_full` |",
        f"| {limits.min_commit_ms} ms |",
        f"{MAX_VALUES:,} values, {MAX_DEPTH} levels deep",
        f"{limits.max_items:,} items",
        f"{limits.max_item_audio // 48_000} s of audio",
        f"At most {limits.max_parallel} out-of-band responses",
        f"within {limits.transcript_wait_s:g} s",
    ):
        assert figure in TEXT, figure


# -- the dialect of 2024 ----------------------------------------------------------------------------------------------

BETA_EVENTS = (
    "transcription_session.update",
    "response.audio.delta",
    "response.audio_transcript.delta",
    "response.text.delta",
)
BETA_FIELDS = (
    "modalities", "voice", "input_audio_format", "output_audio_format", "input_audio_transcription", "turn_detection",
    "input_audio_noise_reduction", "speed", "max_response_output_tokens", "temperature",
)  # fmt: skip


@pytest.mark.parametrize("kind", BETA_EVENTS)
def test_events_of_the_beta_do_not_exist(kind: str) -> None:
    assert kind not in CLIENT_EVENTS
    assert kind not in SERVER_EVENTS
    with pytest.raises(ProtocolError) as caught:
        parse_client_event(b'{"type":"%b"}' % kind.encode())
    assert caught.value.code == "invalid_event"
    for path in (ROOT / "src" / "perhop").rglob("*.py"):
        assert f'"{kind}"' not in path.read_text(), path


@pytest.mark.parametrize("field", BETA_FIELDS)
def test_fields_of_the_beta_are_unknown(field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_session({"type": "realtime", field: "x"})
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", f"session.{field}")
