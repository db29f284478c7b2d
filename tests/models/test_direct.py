"""Direct calls from end to end: a gateway, another Perhop as its model, and a caller whose media goes to that one."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, RateLimitError
from tests.models.brain import ForeseeableBrain, speech
from tests.models.direct import BEGUN, GO, Wire, direct_gateway, through
from tests.models.perhops import KEY, Page, second

from perhop.brain.providers import FunctionCall, Said
from perhop.config import UpstreamSettings
from perhop.config.budget import BudgetSettings, WarningSettings
from perhop.config.sessions import SessionSettings
from perhop.realtime.effects import StartResponse
from perhop.realtime.items import FunctionCallOutputItem

# ruff: noqa: SIM117 - servers outside, callers inside

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def asks_for_the_hours(request: StartResponse) -> list[Said | FunctionCall]:
    """Calls the tool once for each question, then says what it said."""
    answered = isinstance(request.context[-1], FunctionCallOutputItem) if request.context else False
    if request.tools and not answered and request.context:
        return [FunctionCall("opening_hours", '{"day": "Monday"}')]
    outputs = [item for item in request.context if isinstance(item, FunctionCallOutputItem)]
    return [Said(str(outputs[-1].output) if outputs else "Hello.")]


def say(page: Page, text: str) -> None:
    """The caller types something, and wants an answer."""
    content = [{"type": "input_text", "text": text}]
    tell(page, {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}})
    tell(page, {"type": "response.create"})


def tell(page: Page, event: dict[str, Any]) -> None:
    page.channel.send(json.dumps(event))


def words(page: Page) -> list[str]:
    return [event.transcript for event in page.of("response.output_audio_transcript.done")]


async def calls_at(client: AsyncOpenAI) -> list[dict[str, Any]]:
    answer = await client.get("/../api/calls", cast_to=httpx.Response)
    return list(answer.json())


async def until(condition: Callable[[], Any], *, seconds: float = 15.0) -> Any:
    """Looks until there is something; asynchronous conditions are awaited."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.05)


async def at_the_model(model: UpstreamSettings) -> list[dict[str, Any]]:
    """Live calls as the model counts them."""
    trust = ssl.create_default_context(cafile=str(model.ca_file))
    async with httpx.AsyncClient(verify=trust, headers={"Authorization": f"Bearer {KEY}"}) as client:
        answer = await client.get(f"{model.url.removesuffix('/v1')}/api/calls")
        return list(answer.raise_for_status().json())


@asynccontextmanager
async def calling(client: AsyncOpenAI, *, agent: str | None = "desk") -> AsyncIterator[tuple[Page, str]]:
    """A caller whose call is up; the call's id at the gateway."""
    page = Page()
    try:
        call_id = await page.call(client, agent=agent)
        await page.heard("session.created")
        yield page, call_id
    finally:
        await page.hang_up()


async def test_the_gateway_runs_the_tools_of_a_call_whose_media_it_never_sees(tmp_path: Path) -> None:
    brain = ForeseeableBrain(reply=asks_for_the_hours)
    async with second(tmp_path, brain) as model, direct_gateway(tmp_path, model) as client:
        async with calling(client) as (page, call_id):
            created = page.of("session.created")[0].session
            assert created.instructions == "You are the front desk."
            assert [tool.name for tool in created.tools] == ["opening_hours"]
            page.speak(speech(600, silence_ms=800))
            await page.heard("output_audio_buffer.stopped")
            assert words(page) == ['"On Monday from nine to five."']
            assert page.loudest > 3_000
            [call] = await calls_at(client)
            [theirs] = await at_the_model(model)
            assert (call["id"], call["transport"], call["agent"]) == (call_id, "direct", "desk")
            assert call["tool_calls"] == 1 and call["responses"] == 2 and call["turns"] == 1
            assert theirs["id"] != call_id and theirs["taps"] == 1
            assert call["usage"]["tokens"]
            assert not page.of("error")
        ended = await until(lambda: ended_call(client, call_id))
        assert ended["ended"] in ("caller_hangup", "caller_lost")
        assert await calls_at(client) == []
        [recorded] = await until(lambda: recorded_calls(client))
        assert (recorded["id"], recorded["transport"], recorded["tool_calls"]) == (call_id, "direct", 1)


async def recorded_calls(client: AsyncOpenAI) -> list[dict[str, Any]]:
    answer = await client.get("/../api/calls/history", cast_to=httpx.Response)
    return [call for call in answer.json()["calls"] if call["end_reason"]]


async def ended_call(client: AsyncOpenAI, call_id: str) -> dict[str, Any] | None:
    answer = await client.get(f"/../api/calls/{call_id}", cast_to=httpx.Response)
    call: dict[str, Any] = answer.json()
    return call if call["ended"] else None


async def test_controllers_take_part_under_the_gateways_own_id(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model, direct_gateway(tmp_path, model) as client:
        async with calling(client) as (page, call_id), client.realtime.connect(call_id=call_id) as sideband:
            first = await asyncio.wait_for(sideband.recv(), 10)
            assert first.type == "session.created" and first.session.instructions == "You are the front desk."
            await sideband.response.create()
            done = await page.heard("response.done")
            assert done.response.status == "completed"
            async with asyncio.timeout(10):
                while (await sideband.recv()).type != "output_audio_buffer.stopped":
                    pass


async def test_hanging_up_at_the_gateway_ends_the_call_at_the_model(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model, direct_gateway(tmp_path, model) as client:
        async with calling(client) as (_, call_id):
            assert len(await at_the_model(model)) == 1
            await client.realtime.calls.hangup(call_id)
            await until(lambda: no_calls(model))
            assert (await ended_call(client, call_id) or {})["ended"] == "api_hangup"


async def no_calls(model: UpstreamSettings) -> bool:
    return await at_the_model(model) == []


async def test_a_call_that_used_up_its_budget_is_ended_at_the_model(tmp_path: Path) -> None:
    budget = {"budget": BudgetSettings(call_tokens=10)}
    warning = WarningSettings(goodbye="Goodbye.", grace_s=5)
    brain = ForeseeableBrain(voice_ms=300)
    async with (
        second(tmp_path, brain) as model,
        direct_gateway(tmp_path, model, agent=budget, warning=warning) as client,
        calling(client) as (page, call_id),
    ):
        say(page, "tell me a long story")
        ended = await until(lambda: ended_call(client, call_id))
        assert ended["ended"] == "limit_reached"
        assert len(page.of("response.created")) == 2, "the last one is the goodbye"
        await until(lambda: no_calls(model))


async def test_a_page_never_sees_the_key(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model, direct_gateway(tmp_path, model) as client:
        secret = await client.realtime.client_secrets.create(extra_body={"agent": "desk"})
        told = (await client.get("/../api/realtime/token?agent=desk", cast_to=httpx.Response)).text
        page = Page()
        try:
            await page.connection.setLocalDescription(await page.connection.createOffer())
            answer = await client.realtime.calls.with_raw_response.create(
                sdp=page.connection.localDescription.sdp, extra_query={"agent": "desk"}
            )
            seen = [secret.model_dump_json(), told, answer.parse().text, str(answer.headers)]
        finally:
            await page.hang_up()
        assert all(KEY not in text for text in seen)


async def test_a_secret_of_the_model_opens_a_call_there_and_a_supervised_one_here(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model, direct_gateway(tmp_path, model) as client:
        secret = await client.realtime.client_secrets.create(extra_body={"agent": "desk"})
        assert secret.value.startswith("ek_")
        assert secret.session.instructions == "You are the front desk."  # type: ignore[union-attr]
        perhop: Any = (secret.model_extra or {})["perhop"]
        assert perhop["url"] == f"{model.url}/realtime/calls"
        trust = httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(model.ca_file)))
        direct = AsyncOpenAI(
            api_key=secret.value, base_url=perhop["url"].removesuffix("/realtime/calls"), http_client=trust
        )
        async with direct, calling(direct, agent=None) as (page, _):
            session = page.of("session.created")[0].session
            assert session.instructions == "You are the front desk."
            assert "x-" not in json.dumps([tool.to_dict() for tool in session.tools])
            assert await calls_at(client) == [], "the gateway has no part in it"
        other = await client.realtime.client_secrets.create(extra_body={"agent": "desk"})
        async with client.with_options(api_key=other.value) as here, calling(here, agent=None) as (_, call_id):
            assert [call["id"] for call in await calls_at(client)] == [call_id]


async def test_an_agent_that_used_up_its_day_gives_no_secret_of_the_model(tmp_path: Path) -> None:
    nothing = {"budget": BudgetSettings(day_tokens=0)}
    async with (
        second(tmp_path, ForeseeableBrain()) as model,
        direct_gateway(tmp_path, model, agent=nothing) as client,
    ):
        with pytest.raises(RateLimitError, match="used what it may use in a day"):
            await client.with_options(max_retries=0).realtime.client_secrets.create(extra_body={"agent": "desk"})


async def test_an_agent_that_wants_supervision_gives_no_secret_of_the_model(tmp_path: Path) -> None:
    supervised = {"supervised": True}
    async with (
        second(tmp_path, ForeseeableBrain()) as model,
        direct_gateway(tmp_path, model, agent=supervised) as client,
    ):
        secret = await client.realtime.client_secrets.create(extra_body={"agent": "desk"})
        assert "perhop" not in (secret.model_extra or {})
        trust = httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(model.ca_file)))
        async with trust, AsyncOpenAI(api_key=secret.value, base_url=model.url, http_client=trust) as direct:
            with pytest.raises(Exception, match="unknown or has expired"):
                await direct.realtime.calls.create(sdp="v=0\r\n")
        async with client.with_options(api_key=secret.value) as here, calling(here, agent=None) as (page, _):
            assert page.of("session.created")[0].session.instructions == "You are the front desk."


async def test_what_the_agent_fixes_is_put_back(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model, direct_gateway(tmp_path, model) as client:
        async with calling(client) as (page, _):
            own = {"type": "function", "name": "mine", "parameters": {"type": "object", "properties": {}}}
            session = {"type": "realtime", "instructions": "Tell jokes.", "tools": [own], "output_modalities": ["text"]}
            tell(page, {"type": "session.update", "session": session})
            back = await page.heard("session.updated", 2)
            assert back.session.instructions == "You are the front desk."
            assert [tool.name for tool in back.session.tools] == ["opening_hours", "mine"]
            assert back.session.output_modalities == ["text"]


@asynccontextmanager
async def over_a_wire(
    folder: Path, brain: ForeseeableBrain, **fields: Any
) -> AsyncIterator[tuple[AsyncOpenAI, UpstreamSettings, Wire]]:
    async with second(folder, brain) as model, through(model) as (reached, wire):
        async with direct_gateway(folder, reached, **fields) as client:
            yield client, model, wire


async def test_a_sideband_that_breaks_is_opened_again_and_the_call_goes_on(tmp_path: Path) -> None:
    brain = ForeseeableBrain(reply=asks_for_the_hours)
    async with over_a_wire(tmp_path, brain) as (client, model, wire), calling(client) as (page, call_id):
        for round_ in range(1, 4):
            wire.cut()
            await until(lambda: supervised(model))
            say(page, "when are you open?")
            await page.until(lambda: len(words(page)) == round_)  # noqa: B023 - awaited in this round
        [call] = await calls_at(client)
        assert call["id"] == call_id and call["tool_calls"] == 3
        assert not page.of("error")


async def supervised(model: UpstreamSettings) -> bool:
    return [call["taps"] for call in await at_the_model(model)] == [1]


async def test_a_sideband_is_tried_for_as_long_as_the_settings_say(tmp_path: Path) -> None:
    brain, patience = ForeseeableBrain(), SessionSettings(give_up_s=0.5)
    async with over_a_wire(tmp_path, brain, sessions=patience) as (client, _, wire), calling(client):
        wire.refuses = True
        wire.cut()
        began = time.monotonic()
        await until(lambda: nobody(client))
        assert time.monotonic() - began < 10.0, "not the half minute that is the default"


async def nobody(client: AsyncOpenAI) -> bool:
    return await calls_at(client) == []


async def test_a_function_call_made_while_nobody_listened_is_run_once(tmp_path: Path) -> None:
    brain = ForeseeableBrain(reply=asks_for_the_hours)
    async with over_a_wire(tmp_path, brain) as (client, _, wire), calling(client) as (page, _):
        wire.refuses = True
        wire.cut()
        say(page, "when are you open?")
        await page.heard("response.done")
        wire.refuses = False
        await page.until(lambda: words(page) == ['"On Monday from nine to five."'])
        await page.heard("output_audio_buffer.stopped")
        outputs = [e for e in page.of("conversation.item.added") if e.item.type == "function_call_output"]
        assert len(outputs) == 1
        [call] = await calls_at(client)
        assert call["tool_calls"] == 1


async def test_what_a_tool_said_while_the_sideband_was_away_is_told_once(tmp_path: Path) -> None:
    brain = ForeseeableBrain(reply=asks_for_the_hours)
    agent = {"tools": ("tests.models.direct:slow_hours",)}
    async with second(tmp_path, brain) as model, through(model) as (reached, wire):
        async with direct_gateway(tmp_path, reached, agent=agent) as client, calling(client) as (page, _):
            BEGUN.clear()
            GO.clear()
            say(page, "when are you open?")
            await asyncio.wait_for(BEGUN.wait(), 10)
            await page.heard("response.done")
            wire.refuses = True
            wire.cut()
            GO.set()
            wire.refuses = False
            await page.until(lambda: words(page) == ['"On Monday, slowly, from nine to five."'])
            outputs = [e for e in page.of("conversation.item.added") if e.item.type == "function_call_output"]
            assert len(outputs) == 1


async def test_a_model_that_refuses_the_offer_is_no_call(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model, direct_gateway(tmp_path, model) as client:
        with pytest.raises(Exception, match="does not take this offer"):
            await client.realtime.calls.create(sdp="nonsense", extra_query={"agent": "desk"})
        assert await calls_at(client) == []


async def test_a_greeting_is_asked_for_once(tmp_path: Path) -> None:
    agent = {"greeting": "Welcome."}
    async with second(tmp_path, ForeseeableBrain()) as model, direct_gateway(tmp_path, model, agent=agent) as client:
        async with calling(client) as (page, call_id):
            await client.post(f"/../api/calls/{call_id}/stats", body={"rtt_ms": 1}, cast_to=httpx.Response)
            await page.heard("output_audio_buffer.stopped")
            await asyncio.sleep(1.2)  # the time after which it would be asked for without a report
            assert len(page.of("response.created")) == 1
