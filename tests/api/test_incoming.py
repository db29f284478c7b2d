"""Accept, reject and refer: their requests are read as documented; without a telephone edge they find nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from tests.api.conftest import Serve
from tests.api.helpers import OFFER, SDP, World, bearer, build_world, key

from perhop.config import Settings

RINGING = "rtc_ringing"


@dataclass
class Telephones:
    """One call rings."""

    done: list[tuple[str, Any]] = field(default_factory=list)
    tenant: str = "default"

    def tenant_of(self, call_id: str) -> str | None:
        return self.tenant if call_id == RINGING else None

    async def accept(self, call_id: str, *, session: Mapping[str, Any]) -> None:
        self.done.append(("accept", session))

    async def reject(self, call_id: str, *, status_code: int) -> None:
        self.done.append(("reject", status_code))

    async def refer(self, call_id: str, *, target_uri: str) -> None:
        self.done.append(("refer", target_uri))


def ringing(settings: Settings | None = None, *, tenant: str = "default") -> tuple[World, Telephones]:
    world = build_world(settings)
    world.services.telephones = telephones = Telephones(tenant=tenant)
    return world, telephones


async def post(world: World, path: str, **how: Any) -> tuple[int, dict[str, Any]]:
    async with world.client() as http:
        answer = await http.post(f"/v1/realtime/calls/{path}", **how)
    return answer.status_code, answer.json()["error"] if answer.content else {}


async def test_the_official_client_answers_declines_and_transfers(serve: Serve) -> None:
    world, telephones = ringing()
    server = await serve(world)
    async with AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1", max_retries=0) as openai:
        calls = openai.realtime.calls
        await calls.accept(RINGING, type="realtime", model="gpt-realtime", instructions="Be brief.")
        await calls.reject(RINGING)
        await calls.reject(RINGING, status_code=486)
        await calls.refer(RINGING, target_uri="tel:+14155550123")
        with pytest.raises(BadRequestError, match="two tools"):
            tool: Any = {"type": "function", "name": "a", "parameters": {}}
            await calls.accept(RINGING, type="realtime", tools=[tool, tool])
        for attempt in (
            calls.accept("rtc_none", type="realtime"),
            calls.reject("rtc_none"),
            calls.refer("rtc_none", target_uri="sip:a@example.com"),
        ):
            with pytest.raises(NotFoundError) as caught:
                await attempt
            assert caught.value.code == "call_not_found"
    assert telephones.done == [
        ("accept", {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}),
        ("reject", 603),
        ("reject", 486),
        ("refer", "tel:+14155550123"),
    ]


async def test_a_rejection_may_come_without_a_body() -> None:
    world, telephones = ringing()
    assert await post(world, f"{RINGING}/reject") == (200, {})
    assert telephones.done == [("reject", 603)]


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("accept", {}, "missing_required_parameter", "type"),
        ("accept", {"type": "transcription"}, "invalid_value", "type"),
        ("accept", {"type": "realtime", "voice": "ash"}, "unknown_parameter", "voice"),
        ("accept", {"type": "realtime", "audio": {"output": {"speed": 9}}}, "invalid_value", "audio.output.speed"),
        ("reject", {"status_code": 200}, "invalid_value", "status_code"),
        ("reject", {"status_code": 700}, "invalid_value", "status_code"),
        ("reject", {"status_code": "486"}, "invalid_value", "status_code"),
        ("reject", {"status": 486}, "invalid_value", "status"),
        ("refer", {}, "missing_required_parameter", "target_uri"),
        ("refer", {"target_uri": "https://example.com"}, "invalid_value", "target_uri"),
        ("refer", {"target_uri": "sip:a@example.com>\r\nX: y"}, "invalid_value", "target_uri"),
        ("refer", {"target_uri": "tel:+1 415"}, "invalid_value", "target_uri"),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_looked_up(
    path: str, body: dict[str, Any], code: str, param: str
) -> None:
    world, telephones = ringing()
    for call_id in (RINGING, "rtc_none"):
        status, error = await post(world, f"{call_id}/{path}", json=body)
        assert (status, error["code"], error["param"]) == (400, code, param)
    assert telephones.done == []


BODIES: list[tuple[str, dict[str, Any] | None]] = [
    ("accept", {"type": "realtime"}),
    ("reject", None),
    ("refer", {"target_uri": "sip:a@example.com"}),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_only_keys_of_the_calls_tenant_reach_it(path: str, body: dict[str, Any] | None) -> None:
    keys = (
        key("sk-red", name="red", tenant="red"),
        key("sk-blue", name="blue", tenant="blue"),
        key("sk-stats", name="stats", tenant="red", scopes=("stats",)),
    )
    world, telephones = ringing(Settings(keys=keys), tenant="red")
    where = f"{RINGING}/{path}"
    assert (await post(world, where, json=body))[0] == 401
    assert (await post(world, where, json=body, headers=bearer("sk-stats")))[0] == 403
    status, error = await post(world, where, json=body, headers=bearer("sk-blue"))
    assert (status, error["code"]) == (404, "call_not_found")
    assert telephones.done == []
    assert await post(world, where, json=body, headers=bearer("sk-red")) == (200, {})
    assert len(telephones.done) == 1


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_a_call_that_does_not_ring_is_not_found_even_while_it_lives(
    path: str, body: dict[str, Any] | None
) -> None:
    world = build_world()
    async with world.client() as http:
        answer = await http.post("/v1/realtime/calls", content=OFFER, headers=SDP)
    live = answer.headers["location"].rsplit("/", 1)[1]
    status, error = await post(world, f"{live}/{path}", json=body)
    assert (status, error["code"]) == (404, "call_not_found")
    assert len(world.services.calls.live()) == 1
