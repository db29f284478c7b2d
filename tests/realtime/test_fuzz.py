"""A short run of what ``make fuzz`` does for longer, and the frames that once broke something."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tests.realtime.fuzzing import CRASHERS, SEEDS, Fuzzer

from perhop.realtime.events import CLIENT_EVENTS, parse_client_event


def test_every_client_event_is_a_seed_and_every_seed_is_valid() -> None:
    assert {seed["type"] for seed in SEEDS} == set(CLIENT_EVENTS)
    for seed in SEEDS:
        parse_client_event(orjson.dumps(seed))


@pytest.mark.parametrize("seed", range(4))
def test_nothing_but_the_typed_error_comes_out(seed: int) -> None:
    fuzzer = Fuzzer(seed)
    fuzzer.run(600)
    assert fuzzer.tally.accepted > 100, "not everything is refused"
    assert fuzzer.tally.refused > 100
    assert len(fuzzer.tally.codes) >= 6, "and it is refused for many reasons"


@pytest.mark.parametrize("path", sorted(CRASHERS.glob("*")), ids=lambda path: path.stem)
def test_frames_that_once_broke_something_break_nothing(path: Path) -> None:
    Fuzzer(0, validated=1.0).attempt(path.read_bytes())


def test_a_large_frame_takes_time_in_proportion() -> None:
    fuzzer = Fuzzer(0)
    for megabytes in (1, 4):
        for seed in SEEDS:
            padded = {**seed, "event_id": "x" * 100, "padding": "y" * (megabytes << 20)}
            fuzzer.attempt(orjson.dumps(padded))
        fuzzer.attempt(orjson.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * (megabytes << 18)}))
