"""The `openai` package in node works with only the address changed, over TLS, which is all its WebSocket speaks."""

from __future__ import annotations

import pytest
from tests.clients.js.conftest import SecureServer
from tests.clients.js.run import in_node

from perhop.realtime.events import SERVER_EVENTS

pytestmark = pytest.mark.asyncio(loop_scope="module")


ELSEWHERE = {
    # turn detection, MCP
    *(f"input_audio_buffer.{name}" for name in ("speech_started", "speech_stopped")),
    *(f"mcp_list_tools.{name}" for name in ("in_progress", "completed", "failed")),
    *(f"response.mcp_call.{name}" for name in ("in_progress", "completed", "failed")),
    *(f"response.mcp_call_arguments.{name}" for name in ("delta", "done")),
    # WebRTC
    *(f"output_audio_buffer.{name}" for name in ("started", "stopped", "cleared")),
    # a recogniser that is down; a silence, in real time
    "conversation.item.input_audio_transcription.failed",
    "input_audio_buffer.timeout_triggered",
}
"""Events that other tests get."""

NEVER = {
    "conversation.created",
    "conversation.item.created",
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.dtmf_event_received",
}
"""Events that nobody gets; see ``docs/conformance.md``."""


async def test_a_written_and_a_spoken_turn(secure_server: SecureServer, question: str) -> None:
    report = await in_node("openai", "turns", url=secure_server.url, speech=question, trust=secure_server.certificate)
    assert (report["offences"], report["errors"], report["troubles"]) == ([], [], [])
    assert "weather" in report["written"]
    assert report["called"] == [["get_weather", '{"city":"Berkeley"}']]
    assert report["closeCode"] == 1000


async def test_it_does_not_talk_to_a_server_it_has_no_reason_to_trust(secure_server: SecureServer) -> None:
    with pytest.raises(AssertionError, match="self-signed certificate"):
        await in_node("openai", "turns", url=secure_server.url)


async def test_everything_a_client_can_say_is_answered_in_frames_that_agents_knows_too(
    secure_server: SecureServer, question: str
) -> None:
    report = await in_node(
        "openai", "everyEvent", url=secure_server.url, speech=question, trust=secure_server.certificate
    )
    assert report["offences"] == []
    assert (report["metadata"], report["cancelled"]) == ({"topic": "aside"}, "cancelled")
    assert [(error["code"], error["event_id"]) for error in report["errors"]] == [
        ("response_cancel_not_active", "mine")
    ]
    assert set(SERVER_EVENTS) - set(report["counts"]) == ELSEWHERE | NEVER


async def test_a_transcription_session_writes_down_what_is_said(secure_server: SecureServer, word: str) -> None:
    report = await in_node(
        "openai", "transcription", url=secure_server.url, speech=word, trust=secure_server.certificate
    )
    assert (report["offences"], report["errors"], report["troubles"]) == ([], [], [])
    assert report["sessionType"] == "transcription"
    assert report["transcript"]
