"""``/api``: what there is to see, and what browsers report."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from tests.api.helpers import OFFER, SDP, World, bearer, build_world, key

from perhop.config import IceServer, Settings, WebRTCSettings

REPORT = {
    "rtt_ms": 12.5,
    "jitter_ms": 1.5,
    "packets_received": 100,
    "packets_lost": 2,
    "jitter_buffer_ms": 40.0,
    "first_audio_ms": 310,
    "audio_level": 0.4,
    "packets_sent": 99,
    "concealed_ms": 20,
}


@pytest.fixture
def world() -> World:
    return build_world()


async def start(world: World) -> tuple[str, dict[str, str]]:
    """A call as a page starts it: its id, and the header of the secret that opened it."""
    async with world.client() as client:
        secret = bearer((await client.get("/api/realtime/token?agent=oneroof")).json()["client_secret"])
        answered = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **secret})
    return answered.headers["location"].rsplit("/", 1)[1], secret


async def test_live_calls_are_listed_with_their_figures(world: World) -> None:
    call_id, _ = await start(world)
    async with world.client() as client:
        (listed,) = (await client.get("/api/calls")).json()
        single = (await client.get(f"/api/calls/{call_id}")).json()
    assert (listed["id"], listed["agent"], listed["transport"]) == (call_id, "oneroof", "webrtc")
    assert listed["hop"]["packets_lost"] == 0
    assert single["id"] == call_id
    assert "instructions" not in str(single)


async def test_what_a_browser_measured_is_kept_with_its_call(world: World) -> None:
    call_id, secret = await start(world)
    async with world.client() as client:
        reported = await client.post(f"/api/calls/{call_id}/stats", json=REPORT, headers=secret)
        shown = (await client.get(f"/api/calls/{call_id}")).json()["client"]
        figures = (await client.get("/metrics")).text
    assert (reported.status_code, reported.content) == (204, b"")
    assert shown == {name: REPORT[name] for name in shown}
    assert set(shown) >= {"rtt_ms", "jitter_ms", "packets_received", "packets_lost", "jitter_buffer_ms"}
    assert world.edge.legs[0].jitter_buffer_ms == 40.0
    assert "perhop_client_rtt_ms_sum 12.5" in figures


async def test_a_spent_secret_goes_on_reporting_for_its_call(world: World) -> None:
    call_id, secret = await start(world)
    world.clock.now += 10_000
    async with world.client() as client:
        assert (await client.post(f"/api/calls/{call_id}/stats", json={}, headers=secret)).status_code == 204


async def test_the_secret_of_one_call_reports_for_no_other(world: World) -> None:
    _, secret = await start(world)
    other, _ = await start(world)
    async with world.client() as client:
        refused = await client.post(f"/api/calls/{other}/stats", json={}, headers=secret)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "call_not_found")


async def test_a_page_hangs_up_its_own_call(world: World) -> None:
    call_id, secret = await start(world)
    async with world.client() as client:
        assert (await client.post(f"/v1/realtime/calls/{call_id}/hangup", headers=secret)).status_code == 200
        late = await client.post(f"/api/calls/{call_id}/stats", json={}, headers=secret)
    assert late.status_code == 404


@pytest.mark.parametrize(
    ("report", "param"),
    [
        ({"rtt_ms": -1}, "rtt_ms"),
        ({"rtt_ms": "fast"}, "rtt_ms"),
        ({"jitter_ms": 1e300}, "jitter_ms"),
        ({"packets_received": 1.5}, "packets_received"),
        ({"audio_level": 2}, "audio_level"),
    ],
)
async def test_figures_out_of_range_are_refused(world: World, report: dict[str, object], param: str) -> None:
    call_id, secret = await start(world)
    async with world.client() as client:
        response = await client.post(f"/api/calls/{call_id}/stats", json=report, headers=secret)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_with_keys_reporting_needs_the_secret_or_a_key() -> None:
    world = build_world(Settings(keys=(key("sk-caller"), key("sk-stats", name="s", scopes=("stats",)))))
    async with world.client(base_url="https://voice.example") as client:
        answered = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **bearer("sk-caller")})
        path = f"/api/calls/{answered.headers['location'].rsplit('/', 1)[1]}/stats"
        statuses = [
            (await client.post(path, json={}, headers=headers)).status_code
            for headers in ({}, bearer("sk-wrong"), bearer("sk-stats"), bearer("ek_wrong"), bearer("sk-caller"))
        ]
    assert statuses == [401, 401, 403, 404, 204]


async def test_agents_are_shown_as_pages_need_them(world: World) -> None:
    async with world.client() as client:
        agents = (await client.get("/api/agents")).json()
    assert agents[0] == {
        "name": "oneroof",
        "title": "One Roof",
        "description": "Homes to rent and buy.",
        "phrases": ["two bedrooms in Oakland"],
        "tools": [],
        "model": "echo",
        "route": "gateway",
        "languages": [],
    }
    assert agents[1]["title"] == "echo"


async def test_pages_get_ice_servers_in_the_browsers_own_shape() -> None:
    servers = (
        IceServer(urls=("stun:stun.example:3478",)),
        IceServer(urls=("turn:turn.example:3478",), username="u", credential=SecretStr("c")),
    )
    async with build_world(Settings(webrtc=WebRTCSettings(ice_servers=servers))).client() as client:
        config = (await client.get("/api/config")).json()
    assert config["ice_servers"] == [
        {"urls": ["stun:stun.example:3478"]},
        {"urls": ["turn:turn.example:3478"], "username": "u", "credential": "c"},
    ]
    assert config["keys_required"] is False


async def test_pages_of_a_server_without_agents_are_told_so() -> None:
    async with build_world(agents=()).client() as client:
        assert (await client.get("/api/agents")).json() == []
        assert "agent" not in (await client.get("/api/config")).json()
