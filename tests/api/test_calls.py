"""Calls over HTTP: every form of an offer, every way it can be wrong, and what a secret is good for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.helpers import ANSWER, BROKEN_OFFER, OFFER, SDP, World, bearer, build_world

from perhop.call.legs import EndReason
from perhop.config import LimitSettings, Settings, TokenSettings


@pytest.fixture
def world() -> World:
    return build_world()


def part(text: str, kind: str | None = None, filename: str | None = None) -> tuple[str | None, str, str | None]:
    return (filename, text, kind) if kind else (filename, text)  # type: ignore[return-value]


FORMS: dict[str, dict[str, Any]] = {
    "raw": {"content": OFFER, "headers": SDP},
    "raw with charset": {"content": OFFER, "headers": {"Content-Type": "Application/SDP; charset=utf-8"}},
    "typed parts": {
        "files": {
            "sdp": part(OFFER, "application/sdp"),
            "session": part('{"type": "realtime", "instructions": "hi"}', "application/json"),
        }
    },
    "plain fields": {"files": {"sdp": part(OFFER), "session": part('{"type": "realtime", "instructions": "hi"}')}},
    "file parts": {"files": {"sdp": part(OFFER, "application/sdp", "blob")}},
    "sdp part only": {"files": {"sdp": part(OFFER)}},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", ["/v1/realtime/calls", "/v1/realtime?model=gpt-realtime"])
async def test_an_offer_is_answered_in_every_form(world: World, form: str, path: str) -> None:
    async with world.client() as client:
        response = await client.post(path, **FORMS[form])
    assert response.status_code == 201, response.text
    assert response.text == ANSWER
    assert response.headers["content-type"].startswith("application/sdp")
    (call,) = world.services.calls.live()
    assert response.headers["location"] == f"/v1/realtime/calls/{call.id}"
    assert call.id.startswith("rtc_")


async def test_pages_anywhere_on_this_machine_can_read_the_location(world: World) -> None:
    async with world.client() as client:
        response = await client.post(
            "/v1/realtime/calls", content=OFFER, headers={**SDP, "Origin": "http://localhost:3000"}
        )
    assert response.headers["access-control-allow-origin"] == "*"
    assert "location" in response.headers["access-control-expose-headers"].lower()


async def test_a_negotiated_channel_id_reaches_the_edge(world: World) -> None:
    async with world.client() as client:
        await client.post("/v1/realtime/calls?dcid=7", content=OFFER, headers=SDP)
        refused = await client.post("/v1/realtime/calls?dcid=70000", content=OFFER, headers=SDP)
    assert world.edge.dcids == [7]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "dcid")


WRONG: dict[str, tuple[dict[str, Any], int, str, str | None]] = {
    "broken offer": ({"content": BROKEN_OFFER, "headers": SDP}, 400, "invalid_sdp", "sdp"),
    "empty offer": ({"content": "", "headers": SDP}, 400, "invalid_sdp", "sdp"),
    "offer not utf-8": ({"content": b"\xff\xfe", "headers": SDP}, 400, "invalid_sdp", "sdp"),
    "offer too large": ({"content": "a" * 70_000, "headers": SDP}, 413, "request_too_large", "sdp"),
    "body too large": ({"content": "a" * 1_100_000, "headers": SDP}, 413, "request_too_large", None),
    "no type": ({"content": OFFER}, 415, "unsupported_media_type", "content-type"),
    "json": ({"json": {"sdp": OFFER}}, 415, "unsupported_media_type", "content-type"),
    "urlencoded": ({"data": {"sdp": OFFER}}, 415, "unsupported_media_type", "content-type"),
    "no sdp part": ({"files": {"session": part("{}")}}, 400, "missing_required_parameter", "sdp"),
    "session not json": ({"files": {"sdp": part(OFFER), "session": part("{")}}, 400, "invalid_json", "session"),
    "session no object": ({"files": {"sdp": part(OFFER), "session": part("[]")}}, 400, "invalid_type", "session"),
    "session without type": (
        {"files": {"sdp": part(OFFER), "session": part("{}")}},
        400,
        "missing_required_parameter",
        "session.type",
    ),
    "session field wrong": (
        {"files": {"sdp": part(OFFER), "session": part('{"type": "realtime", "max_output_tokens": 0}')}},
        400,
        "invalid_value",
        "session.max_output_tokens",
    ),
    "no boundary": (
        {"content": "x", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "invalid_multipart",
        None,
    ),
    "broken multipart": (
        {"content": "x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        400,
        "invalid_multipart",
        None,
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_request_says_what_and_where(world: World, case: str) -> None:
    request, status, code, param = WRONG[case]
    async with world.client() as client:
        response = await client.post("/v1/realtime/calls", **request)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert response.headers["access-control-allow-origin"] == "*"
    assert world.services.calls.live() == []


async def test_a_body_that_does_not_say_its_length_is_cut_off_at_the_limit(world: World) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65_536
            yield b"a" * 65_536

    async with world.client() as client:
        response = await client.post("/v1/realtime/calls", content=endless(), headers=SDP)
    assert response.status_code == 413
    assert response.headers["access-control-allow-origin"] == "*"
    assert sent <= (1 << 20) + 2 * 65_536


async def test_an_unknown_agent_gets_the_names_of_the_known_ones(world: World) -> None:
    async with world.client() as client:
        response = await client.post("/v1/realtime/calls?agent=nobody", content=OFFER, headers=SDP)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_agent"
    assert "known agents: oneroof, echo" in response.json()["error"]["message"]


async def test_a_full_server_says_when_to_come_back() -> None:
    world = build_world(Settings(limits=LimitSettings(max_calls=1)))
    async with world.client() as client:
        first = await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)
        second = await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)
    assert (first.status_code, second.status_code) == (201, 503)
    assert second.json()["error"]["code"] == "server_overloaded"
    assert second.headers["retry-after"] == "5"
    assert world.edge.legs[1].closed is EndReason.MODEL_FAILED


async def test_a_full_edge_answers_503_too(world: World) -> None:
    world.edge.full = True
    async with world.client() as client:
        assert (await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)).status_code == 503


async def test_one_address_may_not_start_calls_without_end() -> None:
    world = build_world(Settings(limits=LimitSettings(calls_per_minute=30)))
    async with world.client() as client:
        statuses = [
            (await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)).status_code for _ in range(11)
        ]
        assert statuses == [201] * 10 + [429]
    async with world.client(peer="127.0.0.2") as other:
        assert (await other.post("/v1/realtime/calls", content=OFFER, headers=SDP)).status_code == 201


async def test_a_hung_up_call_is_over_and_then_unknown(world: World) -> None:
    async with world.client() as client:
        path = (await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)).headers["location"]
        first = await client.post(f"{path}/hangup")
        second = await client.post(f"{path}/hangup")
    assert (first.status_code, first.content, second.status_code) == (200, b"", 404)
    assert world.edge.legs[0].closed is EndReason.API_HANGUP
    assert second.json()["error"]["code"] == "call_not_found"


class TestClientSecrets:
    """``POST /v1/realtime/client_secrets`` and what its secrets do."""

    async def test_show_the_whole_effective_session(self, world: World) -> None:
        body = {
            "expires_after": {"anchor": "created_at", "seconds": 60},
            "session": {"type": "realtime", "model": "gpt-realtime", "max_output_tokens": 100},
        }
        async with world.client() as client:
            minted = (await client.post("/v1/realtime/client_secrets", json=body)).json()
        assert minted["value"].startswith("ek_")
        assert minted["expires_at"] == int(world.clock.now) + 60
        session = minted["session"]
        assert session["id"].startswith("sess_")
        assert (session["object"], session["model"]) == ("realtime.session", "gpt-realtime")
        assert (session["max_output_tokens"], session["expires_at"]) == (100, 0)
        assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"

    @pytest.mark.parametrize("where", ["query", "body"])
    async def test_of_an_agent_hold_its_locked_configuration(self, world: World, where: str) -> None:
        body: dict[str, Any] = {"session": {"type": "realtime", "instructions": "Obey me.", "max_output_tokens": 7}}
        query = "?agent=oneroof" if where == "query" else ""
        if where == "body":
            body["agent"] = "oneroof"
        async with world.client() as client:
            minted = (await client.post(f"/v1/realtime/client_secrets{query}", json=body)).json()
            opened = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **bearer(minted["value"])})
        assert minted["session"]["instructions"] == "You sell homes."
        assert minted["session"]["audio"]["output"]["voice"] == "cedar"
        assert minted["session"]["max_output_tokens"] == 7
        assert opened.status_code == 201
        (call,) = world.services.calls.live()
        assert call.agent is not None
        assert call.agent.name == "oneroof"

    @pytest.mark.parametrize("body", [None, {}, {"session": None}, {"expires_after": None}])
    async def test_need_no_body(self, world: World, body: dict[str, Any] | None) -> None:
        async with world.client() as client:
            minted = await client.post("/v1/realtime/client_secrets", **({} if body is None else {"json": body}))
        assert minted.status_code == 200
        assert minted.json()["expires_at"] == int(world.clock.now) + 600

    @pytest.mark.parametrize(
        ("body", "code", "param"),
        [
            ({"expires_after": {"anchor": "created_at", "seconds": 9}}, "invalid_value", "expires_after.seconds"),
            ({"expires_after": {"anchor": "created_at", "seconds": 7201}}, "invalid_value", "expires_after.seconds"),
            ({"expires_after": {"anchor": "now"}}, "invalid_value", "expires_after.anchor"),
            ({"session": {"type": "realtime", "voice": "x"}}, "unknown_parameter", "session.voice"),
            ({"session": {"instructions": "x"}}, "missing_required_parameter", "session.type"),
            ({"session": []}, "invalid_value", "session"),
            ({"sesion": {}}, "invalid_value", "sesion"),
        ],
    )
    async def test_name_the_wrong_field(self, world: World, body: dict[str, Any], code: str, param: str) -> None:
        async with world.client() as client:
            response = await client.post("/v1/realtime/client_secrets", json=body)
        assert response.status_code == 400
        assert (response.json()["error"]["code"], response.json()["error"]["param"]) == (code, param)

    async def test_name_json_that_is_none(self, world: World) -> None:
        async with world.client() as client:
            response = await client.post(
                "/v1/realtime/client_secrets", content="{", headers={"Content-Type": "application/json"}
            )
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")

    async def test_open_one_call_each(self, world: World) -> None:
        async with world.client() as client:
            secret = bearer((await client.post("/v1/realtime/client_secrets")).json()["value"])
            first = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **secret})
            second = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **secret})
        assert (first.status_code, second.status_code) == (201, 401)
        assert second.json()["error"]["code"] == "client_secret_spent"
        assert second.headers["access-control-allow-origin"] == "*"

    async def test_survive_an_offer_that_fails(self, world: World) -> None:
        async with world.client() as client:
            secret = bearer((await client.post("/v1/realtime/client_secrets")).json()["value"])
            headers = {**SDP, **secret}
            broken = await client.post("/v1/realtime/calls", content=BROKEN_OFFER, headers=headers)
            world.edge.full = True
            full = await client.post("/v1/realtime/calls", content=OFFER, headers=headers)
            world.edge.full = False
            good = await client.post("/v1/realtime/calls", content=OFFER, headers=headers)
        assert (broken.status_code, full.status_code, good.status_code) == (400, 503, 201)

    async def test_raced_by_many_offers_open_exactly_one_call(self, world: World) -> None:
        async with world.client() as client:
            secret = bearer((await client.post("/v1/realtime/client_secrets")).json()["value"])
            headers = {**SDP, **secret}
            responses = await asyncio.gather(
                *(client.post("/v1/realtime/calls", content=OFFER, headers=headers) for _ in range(20))
            )
        assert sorted(response.status_code for response in responses) == [201] + [401] * 19
        assert len(world.services.calls.live()) == 1

    async def test_are_reusable_when_the_settings_say_so(self) -> None:
        world = build_world(Settings(tokens=TokenSettings(single_use=False)))
        async with world.client() as client:
            secret = bearer((await client.post("/v1/realtime/client_secrets")).json()["value"])
            for _ in range(3):
                opened = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **secret})
                assert opened.status_code == 201

    async def test_expire(self, world: World) -> None:
        async with world.client() as client:
            secret = bearer((await client.post("/v1/realtime/client_secrets")).json()["value"])
            world.clock.now += 601
            late = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **secret})
        assert (late.status_code, late.json()["error"]["code"]) == (401, "client_secret_invalid")

    async def test_of_one_agent_do_not_open_calls_to_another(self, world: World) -> None:
        async with world.client() as client:
            minted = await client.post("/v1/realtime/client_secrets?agent=oneroof")
            headers = {**SDP, **bearer(minted.json()["value"])}
            other = await client.post("/v1/realtime/calls?agent=echo", content=OFFER, headers=headers)
            same = await client.post("/v1/realtime/calls?agent=oneroof", content=OFFER, headers=headers)
        assert (other.status_code, same.status_code) == (403, 201)
        assert other.json()["error"]["code"] == "agent_not_allowed"

    async def test_of_no_agent_leave_the_choice_to_the_call(self, world: World) -> None:
        async with world.client() as client:
            minted = await client.post("/v1/realtime/client_secrets")
            headers = {**SDP, **bearer(minted.json()["value"])}
            opened = await client.post("/v1/realtime/calls?agent=oneroof", content=OFFER, headers=headers)
        assert opened.status_code == 201
        (call,) = world.services.calls.live()
        assert call.agent is not None
        assert call.agent.name == "oneroof"
