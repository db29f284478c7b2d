"""The REST side of a model, against a second Perhop and against answers that are not as they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr
from tests.models.brain import ForeseeableBrain
from tests.models.perhops import Page, second
from tests.models.remote import Listening

from perhop.call.legs import EndReason
from perhop.models.remote_endpoint import Endpoint
from perhop.models.rest import ModelRest, ModelRestError
from perhop.models.upstreams import Upstream
from perhop.realtime.events import ResponseCreate
from perhop.realtime.session import SessionConfig

OFFER = "v=0\r\n"
AGENT = SessionConfig.default().merged(
    {
        "type": "realtime",
        "instructions": "You are the front desk.",
        "audio": {"input": {"transcription": {"model": "built-in"}, "format": {"type": "audio/pcmu"}}},
        "tools": [
            {
                "type": "function",
                "name": "look",
                "description": "Looks.",
                "parameters": {"type": "object", "properties": {}, "x-title": "Look"},
            }
        ],
    }
)


@pytest.mark.integration
async def test_a_secret_of_the_model_opens_a_session_of_the_agent(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model:
        rest = Upstream.load("second", model, base_dir=tmp_path).rest()
        minted = await rest.mint(AGENT, ttl_s=60)
        assert minted.value.get_secret_value().startswith("ek_")
        assert minted.session["instructions"] == "You are the front desk."
        assert minted.value.get_secret_value() not in repr(minted)
        assert minted.expires_at > 0
        await rest.aclose()


@pytest.mark.integration
async def test_an_offer_is_answered_by_the_model_and_the_call_is_controlled_and_ended(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model:
        upstream = Upstream.load("second", model, base_dir=tmp_path)
        rest = upstream.rest()
        page, given = Page(), []

        async def create(*, sdp: str, extra_query: object) -> _Answered:
            given.append(await rest.answer(sdp, AGENT))
            return _Answered(given[0].sdp, given[0].call_id)

        await page.call(_stand_in(create))
        created = await page.heard("session.created")
        assert created.session.instructions == "You are the front desk."
        control, heard = upstream.control(given[0].call_id), Listening()
        control.start(heard, SessionConfig.default())
        seen = await heard.heard("session.created")
        assert seen.session["instructions"] == "You are the front desk."
        control.send(ResponseCreate())
        await page.until(lambda: page.loudest > 3_000)
        await heard.heard("output_audio_buffer.started")
        assert await rest.hang_up(given[0].call_id)
        assert await heard.ended() == (EndReason.MODEL_CLOSED, "close 1000 api_hangup", False)
        await page.until(lambda: page.channel.readyState == "closed")
        assert not await rest.hang_up(given[0].call_id), "it is over"
        await page.hang_up()
        await rest.aclose()


class _Answered:
    """What an official client returns of ``calls.create``."""

    def __init__(self, sdp: str, call_id: str) -> None:
        self.text = sdp
        self.headers = {"location": f"/v1/realtime/calls/{call_id}"}

    def parse(self) -> _Answered:
        return self


def _stand_in(create: object) -> AsyncOpenAI:
    """A client whose offers go where ``create`` takes them."""
    calls = type("Calls", (), {"with_raw_response": type("Raw", (), {"create": staticmethod(create)})})
    return type("Client", (), {"realtime": type("Realtime", (), {"calls": calls})})  # type: ignore[return-value]


# -- what goes out, and what comes of bad answers -----------------------------------------------------------------


def rest_with(answer: Callable[[httpx.Request], httpx.Response], base: str = "wss://model.test/v1") -> ModelRest:
    endpoint = Endpoint(base, "gpt-realtime-2", headers={"Authorization": "Bearer sk-1"})
    return ModelRest(endpoint, transcription_model="whisper-1", transport=httpx.MockTransport(answer))


async def test_the_model_is_told_what_it_understands() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"value": "ek_1", "expires_at": 7, "session": {"type": "realtime"}})

    minted = await rest_with(answer).mint(AGENT, ttl_s=60)
    assert (minted.value, minted.expires_at) == (SecretStr("ek_1"), 7)
    request = asked[0]
    assert str(request.url) == "https://model.test/v1/realtime/client_secrets"
    assert request.headers["authorization"] == "Bearer sk-1"
    body = httpx.Response(200, content=request.content).json()
    assert body["expires_after"] == {"anchor": "created_at", "seconds": 60}
    session = body["session"]
    assert session["model"] == "gpt-realtime-2"
    assert session["audio"] == {"input": {"transcription": {"model": "whisper-1"}}}, "no formats: it is not our audio"
    assert session["tools"][0]["parameters"] == {"type": "object", "properties": {}}


async def test_an_offer_goes_out_as_sdp_and_session() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(201, text="v=0 answer", headers={"Location": "/v1/realtime/calls/rtc_1?x=y"})

    given = await rest_with(answer).answer(OFFER, AGENT, dcid=3)
    assert (given.sdp, given.call_id) == ("v=0 answer", "rtc_1")
    assert asked[0].url.params["dcid"] == "3"
    body = asked[0].content
    assert b'name="sdp"' in body
    assert b"Content-Type: application/sdp\r\n\r\nv=0\r\n" in body
    assert b'name="session"' in body


@pytest.mark.parametrize(
    ("answer", "message", "fatal"),
    [
        (httpx.Response(401, json={"error": {"code": "invalid_api_key", "message": "sk-1"}}), "401 invalid_api", True),
        (httpx.Response(429, json={"error": {"code": "a sentence that could hold anything"}}), "429$", False),
        (httpx.Response(503, text="<html>"), "503$", False),
        (httpx.Response(307, headers={"Location": "https://elsewhere.test"}), "307$", True),
        (httpx.Response(200, json={"value": 7}), "no client secret", True),
        (httpx.Response(200, content=b"{" + b" " * (2 << 20)), "too large", True),
    ],
)
async def test_refusals_hold_status_and_code_and_nothing_else(
    answer: httpx.Response, message: str, fatal: bool
) -> None:
    with pytest.raises(ModelRestError, match=message) as refused:
        await rest_with(lambda _: answer).mint(AGENT)
    assert refused.value.fatal is fatal
    assert "sk-1" not in str(refused.value)


@pytest.mark.parametrize("error", [httpx.ReadTimeout("x"), httpx.ConnectError("x")])
async def test_a_model_that_does_not_answer_may_be_asked_again(error: httpx.TransportError) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ModelRestError) as refused:
        await rest_with(answer).hang_up("rtc_1")
    assert not refused.value.fatal


@pytest.mark.parametrize("location", ["", "/v1/realtime/calls/", "/v1/realtime/calls/a%2fb/c d"])
async def test_an_answer_that_names_no_call_is_none(location: str) -> None:
    answer = httpx.Response(201, text="v=0", headers={"Location": location})
    with pytest.raises(ModelRestError, match="names no call"):
        await rest_with(lambda _: answer).answer(OFFER, AGENT)


async def test_only_ids_are_put_into_addresses() -> None:
    with pytest.raises(ValueError, match="id"):
        await rest_with(lambda _: httpx.Response(200)).hang_up("../client_secrets")
