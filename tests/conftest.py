"""Settings of the whole test run, and what holds for every test in it."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tests.frames import Inspector

if TYPE_CHECKING:
    from tests.scheduling import Scheduler

# The same examples on every run: a change that breaks something fails at once, one that breaks nothing never does.
# New examples are looked for by `make fuzz`, which sets HYPOTHESIS_PROFILE=explore; what it finds becomes an @example.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often the tests run that take their count from here: races, renewals; and those that kill servers."""
    parser.addoption("--count", type=int, default=10, help="runs of each counted test (default: 10)")
    parser.addoption("--kills", type=int, default=2, help="how often servers are killed under load (default: 2)")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What was imported and collected stays to the end, so that the garbage collector need not look at it again.

    Its pauses, half a second each with all tests loaded, would fall into whatever test is running.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Scheduler | None:
    """With several processes (``-n 2``), and unless ``--dist`` asks for another way: see ``tests/scheduling.py``."""
    if config.getoption("dist") != "load":
        return None
    from tests.scheduling import Scheduler
    from xdist.workermanage import parse_tx_spec_config

    return Scheduler(len(parse_tx_spec_config(config)))


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """Runs of a counted test."""
    runs: int = request.config.getoption("--count")
    return runs


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often a test kills what it kills."""
    times: int = request.config.getoption("--kills")
    return times


@pytest.fixture(scope="session", autouse=True)
def inspector() -> Iterator[Inspector]:
    """Sees every frame that Perhop sends during the test run."""
    inspector = Inspector()
    with inspector.installed():
        yield inspector
    assert not inspector.take(), "frames sent after the last test"


@pytest.fixture(autouse=True)
def _valid_frames(request: pytest.FixtureRequest, inspector: Inspector) -> Iterator[None]:
    """Fails a test in which a client was sent what the official package does not understand."""
    yield
    offences = inspector.take()
    if offences and request.node.get_closest_marker("any_frames") is None:
        pytest.fail("\n".join(["frames that are not valid by openai.types.realtime:", *offences]), pytrace=False)
