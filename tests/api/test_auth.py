"""Keys, scopes and tenants; what a page may read without a key."""

from __future__ import annotations

import pytest
from tests.api.helpers import OFFER, SDP, World, bearer, build_world, key

from perhop.api.auth import hash_key, new_key
from perhop.config import ServerSettings, Settings, TokenSettings

MASTER = "sk-master"
CALLER = "sk-caller"
OTHER = "sk-other-tenant"
STATS = "sk-stats"
KEYS = (
    key(MASTER, name="master", scopes=("operator",)),
    key(CALLER, name="caller", scopes=("calls", "tokens"), agent="oneroof"),
    key(OTHER, name="other", tenant="acme", scopes=("calls", "tokens", "stats")),
    key(STATS, name="grafana", scopes=("stats",)),
)
PAGE = "https://shop.example"


@pytest.fixture
def locked() -> World:
    """A server with keys, reached from elsewhere."""
    return build_world(Settings(keys=KEYS))


def test_keys_have_256_random_bits_and_are_stored_as_their_hash() -> None:
    first, second = new_key(), new_key()
    assert first != second
    assert len(first) >= len("sk-perhop-") + 43
    assert first not in hash_key(first)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic sk-master"}])
async def test_without_a_bearer_it_says_what_to_send(locked: World, headers: dict[str, str]) -> None:
    async with locked.client(base_url="https://voice.example") as client:
        response = await client.post("/v1/realtime/client_secrets", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "missing_api_key"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_wrong_key_is_refused_without_being_repeated(locked: World) -> None:
    async with locked.client(base_url="https://voice.example") as client:
        response = await client.post("/v1/realtime/calls", headers={**SDP, **bearer("sk-canary")}, content=OFFER)
    assert response.status_code == 401
    assert response.json()["error"] == {
        "message": "The API key is not known here.",
        "type": "invalid_request_error",
        "code": "invalid_api_key",
        "param": None,
    }


async def test_a_scope_that_is_missing_is_named(locked: World) -> None:
    async with locked.client(base_url="https://voice.example") as client:
        minting = await client.post("/v1/realtime/client_secrets", headers=bearer(STATS))
        calling = await client.post("/v1/realtime/calls", headers={**SDP, **bearer(STATS)}, content=OFFER)
        reading = await client.get("/api/calls", headers=bearer(CALLER))
    for response, scope in ((minting, "tokens"), (calling, "calls"), (reading, "stats")):
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "insufficient_scope"
        assert repr(scope) in response.json()["error"]["message"]


async def test_an_operator_may_do_everything_and_sees_all_tenants(locked: World) -> None:
    async with locked.client(base_url="https://voice.example") as client:
        for value in (CALLER, OTHER, MASTER):
            answered = await client.post("/v1/realtime/calls", headers={**SDP, **bearer(value)}, content=OFFER)
            assert answered.status_code == 201
        seen = {
            value: {call["tenant"] for call in (await client.get("/api/calls", headers=bearer(value))).json()}
            for value in (MASTER, OTHER, STATS)
        }
    assert seen == {MASTER: {"default", "acme"}, OTHER: {"acme"}, STATS: {"default"}}


async def test_an_administrator_may_do_everything_in_one_tenant_and_sees_no_other() -> None:
    admin = key("sk-admin", name="admin", tenant="acme", scopes=("admin",))
    world = build_world(Settings(keys=(key(CALLER), admin)))
    async with world.client(base_url="https://voice.example") as client:
        answers = [
            await client.post("/v1/realtime/calls", headers={**SDP, **bearer(value)}, content=OFFER)
            for value in (CALLER, "sk-admin")
        ]
        seen = await client.get("/api/calls", headers=bearer("sk-admin"))
        hung_up = [
            await client.post(f"{answered.headers['location']}/hangup", headers=bearer("sk-admin"))
            for answered in answers
        ]
    assert [call["tenant"] for call in seen.json()] == ["acme"]
    assert [answered.status_code for answered in hung_up] == [404, 200]


async def test_a_call_of_another_tenant_is_as_good_as_none(locked: World) -> None:
    async with locked.client(base_url="https://voice.example") as client:
        answered = await client.post("/v1/realtime/calls", headers={**SDP, **bearer(CALLER)}, content=OFFER)
        path = answered.headers["location"]
        theirs = await client.post(f"{path}/hangup", headers=bearer(OTHER))
        nobodys = await client.post("/v1/realtime/calls/rtc_none/hangup", headers=bearer(OTHER))
        own = await client.post(f"{path}/hangup", headers=bearer(CALLER))
    assert (theirs.status_code, nobodys.status_code, own.status_code) == (404, 404, 200)
    assert theirs.json()["error"]["code"] == nobodys.json()["error"]["code"] == "call_not_found"


async def test_a_keys_default_agent_takes_its_calls(locked: World) -> None:
    async with locked.client(base_url="https://voice.example") as client:
        await client.post("/v1/realtime/calls", headers={**SDP, **bearer(CALLER)}, content=OFFER)
        await client.post("/v1/realtime/calls?agent=echo", headers={**SDP, **bearer(CALLER)}, content=OFFER)
        await client.post("/v1/realtime/calls", headers={**SDP, **bearer(OTHER)}, content=OFFER)
    agents = [call.agent.name if call.agent else None for call in locked.services.calls.live()]
    assert agents == ["oneroof", "echo", None]


async def test_a_client_secret_opens_calls_and_nothing_else(locked: World) -> None:
    async with locked.client(base_url="https://voice.example") as client:
        minted = await client.post("/v1/realtime/client_secrets", headers=bearer(CALLER))
        secret = bearer(minted.json()["value"])
        refused = [
            await client.post("/v1/realtime/client_secrets", headers=secret),
            await client.get("/api/calls", headers=secret),
            await client.get("/metrics", headers={**secret, "X-Forwarded-For": "203.0.113.9"}),
        ]
        answered = await client.post("/v1/realtime/calls", headers={**SDP, **secret}, content=OFFER)
    assert [response.status_code for response in refused] == [403, 403, 403]
    assert answered.status_code == 201


async def test_without_keys_every_bearer_and_none_is_accepted() -> None:
    world = build_world()
    async with world.client() as client:
        for headers in ({}, bearer("sk-anything"), {"Authorization": "Basic x"}):
            answered = await client.post("/v1/realtime/calls", headers={**SDP, **headers}, content=OFFER)
            assert answered.status_code == 201


async def test_without_keys_a_wrong_client_secret_is_still_wrong() -> None:
    async with build_world().client() as client:
        answered = await client.post("/v1/realtime/calls", headers={**SDP, **bearer("ek_wrong")}, content=OFFER)
    assert answered.status_code == 401
    assert answered.json()["error"]["code"] == "client_secret_invalid"


class TestPages:
    """Pages without a key: token, agents and configuration."""

    PATHS = ("/api/realtime/token", "/api/agents", "/api/config")

    @pytest.mark.parametrize("path", PATHS)
    async def test_are_refused_until_an_origin_is_allowed(self, locked: World, path: str) -> None:
        async with locked.client(base_url="https://voice.example") as client:
            response = await client.get(path, headers={"Origin": PAGE})
        assert response.status_code == 403
        assert "tokens.allowed_origins" in response.json()["error"]["message"]
        assert "access-control-allow-origin" not in response.headers

    @pytest.mark.parametrize("path", PATHS)
    async def test_of_an_allowed_origin_are_served(self, path: str) -> None:
        world = build_world(Settings(keys=KEYS, tokens=TokenSettings(allowed_origins=(PAGE,))))
        async with world.client(base_url="https://voice.example") as client:
            allowed = await client.get(path, headers={"Origin": PAGE})
            other = await client.get(path, headers={"Origin": "https://evil.example"})
            plain = await client.get(path)
        assert (allowed.status_code, other.status_code, plain.status_code) == (200, 403, 403)
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert allowed.headers["vary"] == "Origin"
        assert "access-control-allow-origin" not in other.headers

    async def test_of_our_own_origin_send_no_origin_header(self) -> None:
        tokens = TokenSettings(allowed_origins=("https://voice.example",))
        server = ServerSettings(trusted_proxies=("10.0.0.0/8",))
        world = build_world(Settings(keys=KEYS, tokens=tokens, server=server))
        async with world.client(base_url="http://voice.example", peer="10.0.0.1") as client:
            encrypted = await client.get("/api/realtime/token", headers={"X-Forwarded-Proto": "https"})
            plain = await client.get("/api/realtime/token")
        assert (encrypted.status_code, plain.status_code) == (200, 403)

    async def test_a_key_reads_agents_and_configuration_from_anywhere(self, locked: World) -> None:
        async with locked.client(base_url="https://voice.example") as client:
            for path in ("/api/agents", "/api/config"):
                assert (await client.get(path, headers=bearer(CALLER))).status_code == 200

    async def test_fetch_a_limited_number_of_tokens_per_address(self) -> None:
        tokens = TokenSettings(allowed_origins=(PAGE,), per_minute=30)
        server = ServerSettings(trusted_proxies=("10.0.0.0/8",))
        world = build_world(Settings(keys=KEYS, tokens=tokens, server=server))

        async def fetch(client_address: str) -> int:
            headers = {"Origin": PAGE, "X-Forwarded-For": f"6.6.6.6, {client_address}"}
            async with world.client(base_url="https://voice.example", peer="10.0.0.1") as client:
                return (await client.get("/api/realtime/token", headers=headers)).status_code

        statuses = [await fetch("203.0.113.1") for _ in range(11)]
        assert statuses == [200] * 10 + [429]
        assert await fetch("203.0.113.2") == 200
        world.clock.now += 2
        assert await fetch("203.0.113.1") == 200

    async def test_on_this_machine_are_not_limited(self) -> None:
        async with build_world().client() as client:
            statuses = {(await client.get("/api/realtime/token")).status_code for _ in range(50)}
        assert statuses == {200}

    async def test_tokens_are_never_cached(self) -> None:
        async with build_world().client() as client:
            response = await client.get("/api/realtime/token?agent=oneroof")
        assert response.headers["cache-control"] == "no-store"
        assert response.json()["client_secret"].startswith("ek_")
