"""What Perhop does not speak, it says."""

from __future__ import annotations

import json

import pytest
from openai import AsyncOpenAI
from tests.api.conftest import Serve
from tests.api.helpers import build_world, key
from websockets import InvalidStatus

from perhop.config import Settings


async def test_translation_sessions_are_refused_with_what_to_use_instead(serve: Serve) -> None:
    server = await serve(build_world())
    async with AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1", max_retries=0) as openai:
        with pytest.raises(InvalidStatus) as caught:
            async with openai.realtime.translations.connect(model="gpt-realtime-translate"):
                pass
    response = caught.value.response
    error = json.loads(response.body or b"{}")["error"]
    assert (response.status_code, error["code"]) == (400, "translation_not_supported")
    assert "/v1/realtime?intent=transcription" in error["message"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/realtime/translations/client_secrets", 400, "translation_not_supported"),
        ("/v1/realtime/translations/calls", 400, "translation_not_supported"),
        ("/v1/realtime/sessions", 410, "beta_api_shape_disabled"),
        ("/v1/realtime/transcription_sessions", 410, "beta_api_shape_disabled"),
    ],
)
async def test_other_paths_are_refused_too(path: str, status: int, code: str) -> None:
    async with build_world().client() as client:
        answer = await client.post(path, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("DELETE", "/healthz", 405)])
async def test_an_address_that_is_none_says_where_those_that_are_stand(method: str, path: str, status: int) -> None:
    async with build_world().client() as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert "/docs" in answer.json()["error"]["message"]


async def test_strangers_learn_nothing(serve: Serve) -> None:
    world = build_world(Settings(keys=(key("sk-1"),)))
    server = await serve(world)
    async with world.client() as client:
        assert (await client.post("/v1/realtime/sessions")).status_code == 401
    async with AsyncOpenAI(api_key="sk-wrong", base_url=f"{server.url}/v1", max_retries=0) as openai:
        with pytest.raises(InvalidStatus) as caught:
            async with openai.realtime.translations.connect(model="gpt-realtime-translate"):
                pass
    assert caught.value.response.status_code == 401
