"""``openai-agents``, with only its URL changed, over WebSocket: everything it does, and no complaint of it."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from agents import GuardrailFunctionOutput, function_tool, output_guardrail
from agents.realtime import RealtimeAgent, RealtimeModelSendRawMessage, RealtimePlaybackTracker
from tests.browser.server import Server
from tests.clients.python.talk import question, talk

STORY = " ".join(["Once there was a house on a hill, and nobody knew who lived in it."] * 4)


@function_tool
def find_weather(city: Literal["Oakland", "Berkeley"]) -> str:
    """Finds the weather in a city."""
    return f"It is sunny in {city}."


@function_tool
def get_story() -> str:
    """Gets a long story."""
    return STORY


@function_tool
def find_bill(month: Literal["May", "June"]) -> str:
    """Finds a bill."""
    return f"The bill of {month} is paid."


@function_tool(needs_approval=True)
def find_secret(month: Literal["May", "June"]) -> str:
    """Finds a secret."""
    return f"The secret of {month} is safe."


@output_guardrail
def no_stories(_context: object, _agent: object, output: str) -> GuardrailFunctionOutput:
    """Houses on hills are not to be spoken of."""
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered="house" in output)


@pytest.fixture
def guide() -> RealtimeAgent[Any]:
    return RealtimeAgent(name="Guide", instructions="You are Ada.", tools=[find_weather, get_story])


async def test_a_text_turn(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with talk(server, guide, output_modalities=["text"]) as call:
        await call.session.send_message("hello")
        await call.event("agent_start")
        done = await call.frame("response.output_text.done")
        assert "weather" in done["text"]
        await call.event("agent_end")
        assert call.history() == [("user", "hello"), ("assistant", done["text"])]
        assert call.frames("response.output_audio.delta") == []


async def test_the_configuration_of_an_agent_is_in_force(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with talk(server, guide) as call:
        first, traced = (frame["session"] for frame in call.frames("session.updated"))
        assert first["instructions"] == "You are Ada."
        assert {tool["name"] for tool in first["tools"]} == {"find_weather", "get_story"}
        assert first["audio"]["output"]["voice"] == "ash"
        assert first["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
        assert first["audio"]["input"]["turn_detection"]["interrupt_response"] is True
        assert (first["tracing"], traced["tracing"]) == (None, "auto")


async def test_an_audio_turn_calls_a_tool_of_the_client(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with talk(server, guide) as call:
        await call.session.send_audio(question("What is the weather in Berkeley"))
        await call.frame("input_audio_buffer.speech_started")
        heard = await call.frame("conversation.item.input_audio_transcription.completed")
        assert "Berkeley" in heard["transcript"]
        ran = await call.event("tool_end")
        assert (ran.tool.name, ran.output) == ("find_weather", "It is sunny in Berkeley.")
        assert await call.answer() == "It is sunny in Berkeley."
        audio = b"".join(event.audio.data for event in call.events if event.type == "audio")
        assert 1 < len(audio) / 48_000 < 4, "about two seconds of speech"
        assert call.history() == [("user", heard["transcript"]), ("assistant", "It is sunny in Berkeley.")]


async def test_audio_committed_by_hand(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with talk(server, guide, turn_detection=None) as call:
        await call.session.send_audio(question("What is the weather in Oakland"), commit=True)
        await call.frame("input_audio_buffer.committed")
        await call.frame("conversation.item.input_audio_transcription.completed")
        assert call.frames("input_audio_buffer.speech_started") == []
        await call.session.model.send_event(RealtimeModelSendRawMessage(message={"type": "response.create"}))
        await call.event("tool_end")
        assert await call.answer() == "It is sunny in Oakland."


async def test_a_handoff_changes_who_answers(server: Server, guide: RealtimeAgent[Any]) -> None:
    billing: RealtimeAgent[Any] = RealtimeAgent(name="Billing", instructions="You are Bill.", tools=[find_bill])
    guide.handoffs = [billing]
    async with talk(server, guide) as call:
        await call.session.send_message("transfer to billing")
        assert "Is that right?" in await call.answer()
        await call.session.send_message("yes")
        handoff = await call.event("handoff")
        assert (handoff.from_agent.name, handoff.to_agent.name) == ("Guide", "Billing")
        await call.answer()
        in_force = call.frames("session.updated")[-1]["session"]
        assert in_force["instructions"] == "You are Bill."
        assert [tool["name"] for tool in in_force["tools"]] == ["find_bill"]
        await call.session.send_message("find the bill of May")
        ran = await call.event("tool_end")
        assert (ran.agent.name, ran.tool.name) == ("Billing", "find_bill")
        assert await call.answer() == "The bill of May is paid."


async def test_who_talks_over_the_agent_cuts_it_off_where_it_was_heard(
    server: Server, guide: RealtimeAgent[Any]
) -> None:
    player = RealtimePlaybackTracker()
    async with talk(server, guide, player=player) as call:
        await call.session.send_message("get story")
        played = await call.event("audio")
        player.on_play_ms(played.item_id, played.content_index, 1_200)
        await call.event("agent_end")
        await call.session.send_audio(question("What is the weather in Berkeley"))
        interrupted = await call.event("audio_interrupted")
        assert interrupted.item_id == played.item_id
        truncated = await call.frame("conversation.item.truncated")
        assert (truncated["item_id"], truncated["audio_end_ms"]) == (played.item_id, 1_200)
        kept = await call.frame("conversation.item.retrieved")
        assert kept["item"]["id"] == played.item_id
        assert await call.answer() == "It is sunny in Berkeley."


async def test_a_button_cuts_the_agent_off_too(server: Server, guide: RealtimeAgent[Any]) -> None:
    player = RealtimePlaybackTracker()
    async with talk(server, guide, player=player) as call:
        await call.session.send_message("get story")
        played = await call.event("audio")
        await call.event("agent_end")
        player.on_play_ms(played.item_id, played.content_index, 700)
        await call.session.interrupt()
        assert (await call.event("audio_interrupted")).item_id == played.item_id
        assert (await call.frame("conversation.item.truncated"))["audio_end_ms"] == 700
        await call.session.send_message("What is the weather in Oakland")
        assert await call.answer() == "It is sunny in Oakland."


async def test_a_tool_waits_for_a_persons_approval(server: Server) -> None:
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Guide", tools=[find_secret])
    async with talk(server, agent) as call:
        await call.session.send_message("find the secret of May")
        asked = await call.event("tool_approval_required")
        await call.session.approve_tool_call(asked.call_id)
        assert (await call.event("tool_end")).output == "The secret of May is safe."
        assert await call.answer() == "The secret of May is safe."
        await call.session.send_message("find the secret of June")
        asked = await call.event("tool_approval_required")
        await call.session.reject_tool_call(asked.call_id, rejection_message="That one stays secret.")
        assert "That one stays secret." in await call.answer()


async def test_an_answer_against_the_rules_is_stopped(server: Server, guide: RealtimeAgent[Any]) -> None:
    guide.output_guardrails = [no_stories]
    async with talk(server, guide) as call:
        await call.session.send_message("get story")
        tripped = await call.event("guardrail_tripped")
        assert tripped.message.startswith("Once there was a house")
        await call.session.send_message("What is the weather in Oakland")
        await call.until(lambda event: event.type == "tool_end" and event.tool.name == "find_weather")
        assert await call.answer() == "It is sunny in Oakland."
