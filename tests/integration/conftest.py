"""Servers that the tests of a module share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.integration.gateway import Gateway, gateway


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server that is a model to others: it echoes."""
    with gateway(
        tmp_path_factory.mktemp("upstream"), '[server]\ndefault_model = "echo"\n[limits]\nresume_window_s = 0\n'
    ) as server:
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Gateway) -> Iterator[Gateway]:
    """A gateway to that model (agent ``far``), and to one that is not there (agent ``dead``)."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = unused.getsockname()[1]
        settings = f"""
[webrtc]
connect_timeout_s = 1
[limits]
resume_window_s = 1
[sessions]
give_up_s = 1
[models.far]
url = "{upstream.url}/v1"
[models.dead]
url = "http://127.0.0.1:{nowhere}/v1"
[[agents]]
name = "far"
model = "far"
[[agents]]
name = "dead"
model = "dead"
"""
        with gateway(tmp_path_factory.mktemp("gateway"), settings) as running:
            yield running
