from __future__ import annotations

import ssl

import pytest
from tests.tools.guard.servers import Seen, guard, http_server, redirects, says

from perhop.tools.guard import Guard, OutgoingError, OutgoingLimits, RedirectError, RefusedAddressError, RefusedUrlError
from perhop.tools.guard.client import _redirected

SECRETS = {"authorization": "Bearer s3cret", "x-api-key": "s3cret", "cookie": "s=s3cret", "accept": "text/plain"}


async def test_a_request_carries_what_it_was_given() -> None:
    async with http_server(says(b"done", status="201 Created")) as server:
        response = await guard().request("POST", server.url(), headers=SECRETS, content=b"payload")
    assert (response.status_code, response.content) == (201, b"done")
    [seen] = server.seen
    assert (seen.method, seen.body) == ("POST", b"payload")
    assert SECRETS.items() <= seen.headers.items()


async def test_a_redirect_on_the_same_host_keeps_the_headers() -> None:
    async with http_server(redirects(lambda _: "/next")) as server:
        response = await guard().request("GET", server.url(), headers=SECRETS)
    assert response.content == b"arrived"
    assert server.seen[1].headers["authorization"] == "Bearer s3cret"
    assert server.seen[1].headers["x-api-key"] == "s3cret"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_takes_no_credentials_along(status: int) -> None:
    async with http_server(redirects(lambda seen: f"http://two.example:{port(seen)}/next", status=status)) as server:
        response = await guard().request("GET", server.url(), headers=SECRETS)
    assert response.content == b"arrived"
    headers = server.seen[1].headers
    assert headers["host"] == f"two.example:{server.port}"
    assert headers["accept"] == "text/plain"
    assert not {"authorization", "x-api-key", "cookie"} & headers.keys()
    assert "s3cret" not in repr(headers)


async def test_another_port_is_another_host() -> None:
    async with (
        http_server(says(b"arrived")) as other,
        http_server(redirects(lambda _: other.url("one.example", "/next"))) as server,
    ):
        await guard().request("GET", server.url(), headers=SECRETS)
    assert "authorization" not in other.seen[0].headers


@pytest.mark.parametrize("status", [307, 308])
async def test_a_body_is_never_carried_to_another_host(status: int) -> None:
    async with http_server(redirects(lambda seen: f"http://two.example:{port(seen)}/next", status=status)) as server:
        with pytest.raises(RedirectError, match=r"one\.example redirects a POST"):
            await guard().request("POST", server.url(), content=b"payload")
    assert len(server.seen) == 1


async def test_a_redirect_is_checked_like_the_first_address() -> None:
    async with http_server(redirects(lambda seen: f"http://127.0.0.1:{port(seen)}/next")) as server:
        with pytest.raises(RefusedAddressError):
            await guard().request("GET", server.url())
    assert len(server.seen) == 1


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user:pw@two.example/", "gopher://two.example/"])
async def test_a_redirect_to_anything_but_plain_http_is_refused(location: str) -> None:
    async with http_server(redirects(lambda _: location)) as server:
        with pytest.raises(RefusedUrlError):
            await guard().request("GET", server.url())


async def test_redirects_come_to_an_end() -> None:
    async with http_server(redirects(lambda _: "/")) as server:
        with pytest.raises(RedirectError, match="too often"):
            await guard(OutgoingLimits(max_redirects=2)).request("GET", server.url())
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "location", ["http://two.example:1/", "http://127.0.0.1/", "http://user:pw@two.example/", "gopher://two.example/"]
)
async def test_what_fails_behind_a_redirect_was_sent_all_the_same(location: str) -> None:
    async with http_server(redirects(lambda _: location, status=303)) as server:
        with pytest.raises(OutgoingError) as failed:
            await guard().request("POST", server.url(), content=b"payload")
    assert failed.value.sent, "the POST was received and answered"


async def test_an_answer_knows_the_redirects_that_led_to_it() -> None:
    async with http_server(redirects(lambda _: "/next", status=303)) as server:
        response = await guard().request("POST", server.url(), content=b"payload")
        assert [hop.status_code for hop in response.history] == [303]
        assert (await guard().request("GET", server.url(path="/next"))).history == []


async def test_https_is_never_left_for_http() -> None:
    async with guard().client() as http:
        sent = http.build_request("GET", "https://one.example/")
        with pytest.raises(RedirectError, match="https to http"):
            _redirected(http, sent, http.build_request("GET", "http://one.example/"))


async def test_cookies_of_one_request_are_not_sent_with_the_next() -> None:
    outgoing = guard()
    async with http_server(says(headers=["Set-Cookie: session=s3cret; Path=/"])) as server:
        await outgoing.request("GET", server.url())
        await outgoing.request("GET", server.url())
    assert "cookie" not in server.seen[1].headers


async def test_narrower_limits_hold_for_one_request() -> None:
    outgoing = guard()
    async with http_server(redirects(lambda _: "/next")) as server:
        with pytest.raises(RedirectError):
            await outgoing.request("GET", server.url(), limits=OutgoingLimits(max_redirects=0))
        assert (await outgoing.request("GET", server.url())).content == b"arrived"
    await outgoing.aclose()


async def test_a_client_for_a_library_is_guarded_as_well() -> None:
    async with http_server(says()) as server:
        async with guard().client(headers={"authorization": "Bearer s3cret"}) as http:
            assert (await http.get(server.url())).status_code == 200
            with pytest.raises(RefusedAddressError):
                await http.get(server.url("127.0.0.1"))
        assert server.seen[0].headers["authorization"] == "Bearer s3cret"
        assert server.connections == 1


async def test_a_guard_needs_nothing_but_defaults() -> None:
    async with http_server(says()) as server:
        outgoing = Guard(ssl_context=ssl.create_default_context())
        with pytest.raises(RefusedAddressError):
            await outgoing.request("GET", server.url("localhost"))
        await outgoing.aclose()


def port(seen: Seen) -> str:
    return seen.headers["host"].rpartition(":")[2]
