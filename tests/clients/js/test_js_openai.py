"""The `openai` package in node works with only the address changed, over TLS, which is all its WebSocket speaks."""

from __future__ import annotations

import pytest
from tests.clients.js.conftest import SecureServer
from tests.clients.js.run import in_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_written_and_a_spoken_turn(secure_server: SecureServer, question: str) -> None:
    report = await in_node("openai", "turns", url=secure_server.url, speech=question, trust=secure_server.certificate)
    assert (report["offences"], report["errors"], report["troubles"]) == ([], [], [])
    assert "weather" in report["written"]
    assert report["called"] == [["get_weather", '{"city":"Berkeley"}']]
    assert report["closeCode"] == 1000


async def test_it_does_not_talk_to_a_server_it_has_no_reason_to_trust(secure_server: SecureServer) -> None:
    with pytest.raises(AssertionError, match="self-signed certificate"):
        await in_node("openai", "turns", url=secure_server.url)
