"""Who may reach a server without keys, whose address counts, and what every response carries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from tests.api.helpers import LOCAL, OFFER, SDP, build_world, key

from perhop.api.addresses import client_address, is_loopback_host, is_loopback_origin, own_origin, whose_network
from perhop.config import ServerSettings, Settings


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8080", "app.localhost:1"]
)
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback_host(host)
    assert is_loopback_origin(f"http://{host}")
    assert is_loopback_origin(f"https://{host}")


@pytest.mark.parametrize(
    "host",
    ["", "example.org", "localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "[::2]", "[", "0.0.0.0", "local"],
)
def test_names_of_other_machines(host: str) -> None:
    assert not is_loopback_host(host)
    assert not is_loopback_origin(f"http://{host}")


@pytest.mark.parametrize("origin", ["null", "", "file://", "chrome-extension://127.0.0.1", "127.0.0.1", "http://["])
def test_origins_that_are_no_pages_of_this_machine(origin: str) -> None:
    assert not is_loopback_origin(origin)


@given(st.text(max_size=60))
def test_no_header_breaks_the_check(text: str) -> None:
    is_loopback_host(text)
    is_loopback_origin(text)


REFUSED = {
    "a page elsewhere": {"Origin": "https://evil.example"},
    "a sandboxed page": {"Origin": "null"},
    "a name bound to this address by somebody else": {"Host": "evil.example"},
    "an image on a page elsewhere": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
}
ADMITTED = {
    "a program": {},
    "a page of ours": {"Origin": LOCAL},
    "a page of another server here": {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"},
    "a link on a page elsewhere": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    "the other name of this machine": {"Host": "localhost:8080"},
}


@pytest.mark.parametrize("who", REFUSED)
@pytest.mark.parametrize("path", ["/api/realtime/token", "/v1/realtime", "/api/calls", "/demo", "/metrics", "/nowhere"])
async def test_without_keys_strangers_are_refused_and_told_why(who: str, path: str) -> None:
    async with build_world().client() as client:
        response = await client.get(path, headers=REFUSED[who])
    assert response.status_code == 403
    assert response.json()["error"]["code"] in ("origin_not_allowed", "host_not_allowed")
    assert "without API keys" in response.json()["error"]["message"]


@pytest.mark.parametrize("who", REFUSED)
async def test_without_keys_strangers_start_no_call(who: str) -> None:
    world = build_world()
    async with world.client() as client:
        response = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **REFUSED[who]})
    assert response.status_code == 403
    assert world.services.calls.live() == []


@pytest.mark.parametrize("who", ADMITTED)
async def test_without_keys_this_machine_is_served(who: str) -> None:
    async with build_world().client() as client:
        assert (await client.get("/api/agents", headers=ADMITTED[who])).status_code == 200


async def test_with_keys_any_origin_may_call() -> None:
    world = build_world(Settings(keys=(key("sk-1"),)))
    headers = {**SDP, "Origin": "https://shop.example", "Authorization": "Bearer sk-1"}
    async with world.client(base_url="https://voice.example") as client:
        response = await client.post("/v1/realtime/calls", content=OFFER, headers=headers)
    assert response.status_code == 201
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path", ["/v1/realtime/calls", "/v1/realtime/client_secrets", "/v1/realtime", "/api/calls/x/stats"]
)
async def test_a_preflight_allows_what_the_official_clients_send(path: str) -> None:
    headers = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
    }
    async with build_world().client() as client:
        response = await client.options(path, headers=headers)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    allowed = response.headers["access-control-allow-headers"].replace(" ", "").split(",")
    assert {"authorization", "content-type", "x-openai-agents-sdk", "openai-beta"} <= set(allowed)
    assert "POST" in response.headers["access-control-allow-methods"]


async def test_a_failure_nobody_foresaw_is_readable_by_pages_and_tells_nothing() -> None:
    world = build_world()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("canary")

    world.edge.answer = fail  # type: ignore[assignment,method-assign]
    async with world.client() as client:
        response = await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert response.headers["access-control-allow-origin"] == "*"
    assert "canary" not in response.text
    assert world.services.calls.live() == []


def request(peer: str, **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "path": "/", "query_string": b"", "headers": raw, "client": (peer, 1)}
    return Request(scope)


TRUSTED = ServerSettings(trusted_proxies=("10.0.0.0/8", "fd00::/8")).trusted_proxies


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.1", "1.1.1.1", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1, 10.0.0.2", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1:4711, 10.0.0.2", "203.0.113.1"),
        ("fd00::1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1, rubbish", "10.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_who_asks(peer: str, forwarded: str, client: str) -> None:
    assert client_address(request(peer, x_forwarded_for=forwarded), TRUSTED) == client


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=80))
def test_no_forwarded_header_breaks_the_reading_of_it(text: str) -> None:
    raw = [(b"x-forwarded-for", text.encode("latin-1"))]
    scope = {"type": "http", "headers": raw, "client": ("10.0.0.1", 1)}
    client_address(Request(scope), TRUSTED)


def test_our_own_origin_is_what_the_client_sees() -> None:
    assert own_origin(request("10.0.0.1", host="a.example", x_forwarded_proto="https"), TRUSTED) == "https://a.example"
    assert own_origin(request("6.6.6.6", host="a.example", x_forwarded_proto="https"), TRUSTED) == "http://a.example"


def test_limits_by_address_take_an_ipv6_subscriber_for_one() -> None:
    assert len({whose_network(f"2001:db8:1:2::{number:x}") for number in range(1, 100)}) == 1
    assert whose_network("2001:db8:1:2::1") != whose_network("2001:db8:1:3::1")
    assert whose_network("192.0.2.1") != whose_network("192.0.2.2")
    assert whose_network("::ffff:192.0.2.1") != whose_network("::ffff:192.0.2.2")
    assert whose_network("testclient") == "testclient"
