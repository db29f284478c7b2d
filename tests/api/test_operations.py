"""Health, readiness, metrics and pages."""

from __future__ import annotations

import re

import pytest
from tests.api.helpers import OFFER, SDP, World, bearer, build_world, key

from perhop.config import ServerSettings, Settings


@pytest.fixture
def world() -> World:
    return build_world()


async def test_a_living_process_is_healthy_even_when_it_is_not_ready(world: World) -> None:
    world.missing.append("speech engines")
    async with world.client() as client:
        healthy, ready = await client.get("/healthz"), await client.get("/readyz")
    assert (healthy.status_code, healthy.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (503, {"status": "not_ready", "missing": ["speech engines"]})


async def test_it_is_ready_until_it_shuts_down(world: World) -> None:
    async with world.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        world.services.draining = True
        assert (await client.get("/readyz")).json()["missing"] == ["shutting down"]


async def test_metrics_count_requests_by_route_and_refusals_by_code(world: World) -> None:
    async with world.client() as client:
        await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)
        await client.post("/v1/realtime/calls?agent=nobody", content=OFFER, headers=SDP)
        await client.get("/api/calls/rtc_canary")
        await client.request("BREW", "/canary")
        text = (await client.get("/metrics")).text
    assert 'perhop_http_requests_total{method="POST",route="/v1/realtime/calls",status="201"} 1.0' in text
    assert 'perhop_refused_total{code="unknown_agent"} 1.0' in text
    assert 'route="/api/calls/{call_id}"' in text
    assert "canary" not in text
    assert "BREW" not in text


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("203.0.113.1", {}, 401),
        ("203.0.113.1", bearer("sk-stats"), 200),
        ("203.0.113.1", bearer("sk-calls"), 403),
        ("203.0.113.1", bearer("sk-acme"), 403),
        ("203.0.113.1", bearer("sk-operator"), 200),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.1"}, 401),
        ("10.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 200),
    ],
)
async def test_metrics_are_for_this_machine_or_a_key_of_the_house(
    peer: str, headers: dict[str, str], status: int
) -> None:
    """They name the agents and tools of every tenant, with what they cost."""
    keys = (
        key("sk-calls"),
        key("sk-stats", name="stats", scopes=("stats",)),
        key("sk-acme", name="acme", tenant="acme", scopes=("admin",)),
        key("sk-operator", name="operator", tenant="acme", scopes=("operator",)),
    )
    world = build_world(Settings(keys=keys, server=ServerSettings(trusted_proxies=("10.0.0.0/8",))))
    async with world.client(base_url="https://voice.example", peer=peer) as client:
        answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == status
    if headers == bearer("sk-acme"):
        assert "'operator', or with 'stats' and the tenant 'default'" in answer.json()["error"]["message"]


async def test_the_first_page_is_the_demo(world: World) -> None:
    async with world.client() as client:
        first = await client.get("/")
        demo = await client.get("/demo")
        script = await client.get("/web/js/client.js")
        nothing = await client.get("/web/../app.py")
    assert (first.status_code, first.headers["location"]) == (307, "/demo")
    assert demo.headers["content-type"].startswith("text/html")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "no-cache"
    assert nothing.status_code == 404


async def test_the_api_documentation_loads_nothing_from_elsewhere(world: World) -> None:
    async with world.client() as client:
        page = (await client.get("/docs")).text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert loaded
        for address in loaded:
            assert address.startswith("/"), f"{address} is not ours"
            assert (await client.get(address)).status_code == 200
        schema = (await client.get("/openapi.json")).json()
    assert not re.search(r"https?://", page)
    assert {"/v1/realtime/calls", "/v1/realtime/client_secrets", "/api/calls/{call_id}/stats"} <= set(schema["paths"])


async def test_a_path_that_is_not_there_gets_the_one_error_shape(world: World) -> None:
    async with world.client() as client:
        nowhere = await client.get("/v1/nothing")
        wrong_method = await client.put("/v1/realtime/calls")
        no_socket = await client.get("/v1/realtime")
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "not_found")
    assert (wrong_method.status_code, wrong_method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert (no_socket.status_code, no_socket.json()["error"]["code"]) == (426, "upgrade_required")
