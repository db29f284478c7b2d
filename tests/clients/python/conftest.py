"""One server for the Python clients: a process of its own, with the built-in model and the agents of the repository."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from tests.browser.server import Server, running_server
from tests.frames import Inspector


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these start a server."""
    for item in items:
        if "tests/clients/python/" in item.path.as_posix():
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, inspector: Inspector) -> Iterator[Server]:
    """A Perhop with the example agents."""
    with running_server(tmp_path_factory.mktemp("perhop")) as running:
        inspector.follow(running.offences)
        yield running


@pytest.fixture(autouse=True)
def _quiet_library(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """``openai-agents`` logs what it does not understand, "Failed to validate server event" for one, and goes on."""
    yield
    phases = (record for phase in ("setup", "call", "teardown") for record in caplog.get_records(phase))
    logged = [record for record in phases if record.name.startswith("openai") and record.levelno >= logging.WARNING]
    assert not logged, [record.getMessage() for record in logged]
