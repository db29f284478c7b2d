"""A caller who was lost comes back over the API: with the secret that was told when the call began, only with it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from aiortc import RTCSessionDescription
from tests.api.conftest import Serve
from tests.api.helpers import ANSWER, BROKEN_OFFER, OFFER, SDP, World, bearer, build_world, key
from tests.api.test_sideband_webrtc import Page
from tests.models.brain import ForeseeableBrain
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from perhop.brain.providers import FunctionCall, Said
from perhop.call.call import Call
from perhop.call.legs import EndReason
from perhop.config import LimitSettings, Settings, WebRTCSettings
from perhop.edges.webrtc import WebRTCEdge
from perhop.realtime.effects import StartResponse
from perhop.realtime.items import MessageItem

KEY = "sk-of-a-tenant"


def remembers(request: StartResponse) -> Sequence[Said | FunctionCall]:
    """Says what the caller has said so far."""
    said = [item.text() for item in request.context if isinstance(item, MessageItem) and item.role == "user"]
    return [Said("You said: " + ", ".join(said))]


def world_that_remembers(settings: Settings | None = None) -> World:
    return build_world(settings, local=ForeseeableBrain(reply=remembers, voice_ms=100).model)


def only(world: World) -> Call:
    (call,) = world.services.calls.live()
    return call


def secret_of(call: Call) -> str:
    assert call.resume_secret is not None
    return call.resume_secret


async def until(condition: Callable[[], object]) -> None:
    """Waits for what the server does in the same loop, at the other end of a socket."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server's own loop, on the other end of a socket
            await asyncio.sleep(0.005)


async def event(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            found: dict[str, Any] = json.loads(await socket.recv())
            assert found["type"] != "error", found
            if found["type"] == kind:
                return found


async def say(socket: ClientConnection, text: str) -> str:
    """Types something; what the agent answers."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create"}))
    done = await event(socket, "response.done")
    transcript: str = done["response"]["output"][0]["content"][0]["transcript"]
    return transcript


def headers_of(socket: ClientConnection) -> dict[str, str]:
    assert socket.response is not None
    return dict(socket.response.headers.raw_items())


class TestOverWebSockets:
    async def test_the_conversation_goes_on_with_its_history(self, serve: Serve) -> None:
        world = world_that_remembers()
        server = await serve(world)
        ws = server.url.replace("http", "ws")
        async with connect(f"{ws}/v1/realtime") as socket:
            told = headers_of(socket)
            await event(socket, "session.created")
            assert await say(socket, "one") == "You said: one"
            call = only(world)
            socket.transport.abort()
        assert told["perhop-call"] == call.id
        await until(lambda: call.waiting)
        async with world.client() as client:
            (listed,) = (await client.get("/api/calls")).json()
        assert (listed["waiting"], listed["connected"], listed["ended"]) == (True, False, None)

        async with connect(
            f"{ws}/api/calls/{call.id}/resume", additional_headers=bearer(told["perhop-resume"])
        ) as back:
            assert headers_of(back)["perhop-resume"] == told["perhop-resume"]
            first = json.loads(await back.recv())
            assert first["type"] == "session.created"
            assert await say(back, "two") == "You said: one, two"
        await until(lambda: call.ended)
        assert call.ended is EndReason.CALLER_HANGUP

    async def test_browsers_present_the_secret_as_a_subprotocol(self, serve: Serve) -> None:
        world = world_that_remembers()
        server = await serve(world)
        ws = server.url.replace("http", "ws")
        async with connect(f"{ws}/v1/realtime") as socket:
            await event(socket, "session.created")
            socket.transport.abort()
        call = only(world)
        protocols: Any = ["realtime", f"openai-insecure-api-key.{secret_of(call)}"]
        async with connect(f"{ws}/api/calls/{call.id}/resume", subprotocols=protocols) as back:
            assert back.subprotocol == "realtime"
            assert await say(back, "here") == "You said: here"

    async def test_the_new_leg_speaks_the_formats_of_the_session(self, serve: Serve) -> None:
        world = build_world()
        server = await serve(world)
        ws = server.url.replace("http", "ws")
        sound = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
        async with connect(f"{ws}/v1/realtime?agent=echo") as socket:
            session = {"type": "realtime", "audio": sound}
            await socket.send(json.dumps({"type": "session.update", "session": session}))
            await event(socket, "session.updated")
            socket.transport.abort()
        call = only(world)
        await until(lambda: call.waiting)
        async with connect(f"{ws}/api/calls/{call.id}/resume", additional_headers=bearer(secret_of(call))) as back:
            sent = bytes(160 * 10)
            audio = base64.b64encode(sent).decode()
            await back.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            heard = base64.b64decode((await event(back, "response.output_audio.delta"))["delta"])
        assert 0 < len(heard) <= len(sent), "G.711 in, PCM at the echo, G.711 out: as many bytes, not six times as many"

    async def test_a_leg_that_lives_still_is_replaced(self, serve: Serve) -> None:
        world = world_that_remembers()
        server = await serve(world)
        ws = server.url.replace("http", "ws")
        async with connect(f"{ws}/v1/realtime") as old:
            await say(old, "one")
            call = only(world)
            address = f"{ws}/api/calls/{call.id}/resume"
            async with connect(address, additional_headers=bearer(secret_of(call))) as new:
                with pytest.raises(ConnectionClosed):
                    await event(old, "never")
                assert await say(new, "two") == "You said: one, two"
                assert call.ended is None

    async def test_of_two_who_race_the_last_stays_and_the_call_lives(self, serve: Serve) -> None:
        world = world_that_remembers()
        server = await serve(world)
        ws = server.url.replace("http", "ws")
        async with connect(f"{ws}/v1/realtime") as socket:
            await say(socket, "one")
            socket.transport.abort()
        call = only(world)
        address = f"{ws}/api/calls/{call.id}/resume"
        both = await asyncio.gather(*(connect(address, additional_headers=bearer(secret_of(call))) for _ in range(2)))
        lives = [each for each in both if await _is_open(each)]
        assert len(lives) == 1
        assert await say(lives[0], "two") == "You said: one, two"
        assert call.ended is None
        for each in both:
            await each.close()

    @pytest.mark.parametrize("secret", ["rs_wrong", "", "ek_not-this-kind", KEY, "rs_\u00e9"])
    async def test_nobody_comes_back_with_anything_else(self, serve: Serve, secret: str) -> None:
        world = build_world(Settings(keys=(key(KEY),)))
        server = await serve(world)
        ws = server.url.replace("http", "ws")
        async with connect(f"{ws}/v1/realtime?agent=echo", additional_headers=bearer(KEY)):
            call = only(world)
            sent = {"Authorization": f"Bearer {secret}".encode().decode("latin-1")}
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{ws}/api/calls/{call.id}/resume", additional_headers=sent)
            assert refused.value.response.status_code == (404 if secret else 401)
            assert not call.waiting


async def _is_open(socket: ClientConnection) -> bool:
    try:
        async with asyncio.timeout(0.5):
            while True:
                await socket.recv()
    except ConnectionClosed:
        return False
    except TimeoutError:
        return True


async def started(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    answer = await client.post("/v1/realtime/calls?agent=echo", content=OFFER, headers={**SDP, **headers})
    assert answer.status_code == 201
    return answer


class TestOverHttp:
    async def test_an_offer_with_the_secret_is_answered_and_takes_the_place_of_the_old_leg(self) -> None:
        world = build_world(Settings(keys=(key(KEY, tenant="one"),)))
        async with world.client() as client:
            told = (await started(client, **bearer(KEY))).headers
            assert {"perhop-call", "perhop-resume"} <= set(
                told["access-control-expose-headers"].lower().replace(" ", "").split(",")
            )
            call = only(world)
            # No key of any tenant comes with it: whoever has the secret is the caller.
            resumed = await client.post(
                f"/api/calls/{told['perhop-call']}/resume",
                content=OFFER,
                headers={**SDP, **bearer(told["perhop-resume"])},
            )
        assert (resumed.status_code, resumed.text) == (201, ANSWER)
        assert resumed.headers["location"].endswith(call.id)
        old, new = world.edge.legs
        assert old.closed is EndReason.CALLER_LOST
        assert new.closed is None
        assert new.sent[0].type == "session.created"
        assert only(world) is call

    async def test_what_cannot_be_resumed_is_not_there_whatever_the_reason(self) -> None:
        world = build_world()
        async with world.client() as client:
            told = (await started(client)).headers
            call_id, secret = told["perhop-call"], told["perhop-resume"]
            other = (await started(client)).headers

            async def attempt(call_id: str, secret: str) -> tuple[int, str]:
                answer = await client.post(
                    f"/api/calls/{call_id}/resume", content=OFFER, headers={**SDP, **bearer(secret)}
                )
                return answer.status_code, answer.text.replace(call_id, "…")

            refusals = {await attempt("rtc_unknown", secret), await attempt(call_id, other["perhop-resume"])}
            found = world.services.calls.get(call_id)
            assert found is not None
            found.hang_up(EndReason.API_HANGUP)
            refusals.add(await attempt(call_id, secret))
            without = await client.post(f"/api/calls/{other['perhop-call']}/resume", content=OFFER, headers=SDP)
        assert len(refusals) == 1, "unknown, ended and wrong cannot be told apart"
        assert next(iter(refusals))[0] == 404
        assert without.status_code == 401
        assert len(world.edge.legs) == 2, "none of them cost a peer"

    async def test_a_wrong_offer_leaves_the_call_as_it_is(self) -> None:
        world = build_world()
        async with world.client() as client:
            told = (await started(client)).headers
            address, headers = f"/api/calls/{told['perhop-call']}/resume", bearer(told["perhop-resume"])
            broken = await client.post(address, content=BROKEN_OFFER, headers={**SDP, **headers})
            parts = {"sdp": (None, OFFER), "session": (None, '{"type": "realtime"}')}
            with_session = await client.post(address, files=parts, headers=headers)
            world.edge.full = True
            full = await client.post(address, content=OFFER, headers={**SDP, **headers})
        assert [each.status_code for each in (broken, with_session, full)] == [400, 400, 503]
        (leg,) = world.edge.legs
        assert leg.closed is None

    async def test_guessing_is_limited(self) -> None:
        world = build_world(Settings(limits=LimitSettings(calls_per_minute=6)))
        async with world.client() as client:
            told = (await started(client)).headers
            codes = [
                (await client.post(f"/api/calls/{told['perhop-call']}/resume", headers=bearer("rs_guess"))).status_code
                for _ in range(8)
            ]
        assert codes == [404] * 5 + [429] * 3

    async def test_without_a_window_there_is_no_secret_and_a_lost_caller_ends_the_call(self) -> None:
        world = build_world(Settings(limits=LimitSettings(resume_window_s=0)))
        async with world.client() as client:
            told = (await started(client)).headers
            call = only(world)
            call.on_caller_ready()
            call.on_caller_closed(EndReason.CALLER_LOST)
        assert "perhop-resume" not in told
        assert call.ended is EndReason.CALLER_LOST

    async def test_a_waiting_call_takes_one_of_the_calls_there_may_be(self) -> None:
        world = build_world(Settings(limits=LimitSettings(max_calls=1)))
        async with world.client() as client:
            told = (await started(client)).headers
            call = only(world)
            call.on_caller_ready()
            call.on_caller_closed(EndReason.CALLER_LOST)
            assert call.waiting
            refused = await client.post("/v1/realtime/calls?agent=echo", content=OFFER, headers=SDP)
            back = await client.post(
                f"/api/calls/{call.id}/resume", content=OFFER, headers={**SDP, **bearer(told["perhop-resume"])}
            )
        assert (refused.status_code, back.status_code) == (503, 201)


@pytest.mark.integration
class TestOverWebRTC:
    async def test_a_page_comes_back_by_a_new_offer(self, serve: Serve) -> None:
        world = world_that_remembers()
        edge = await WebRTCEdge.open(WebRTCSettings(host="127.0.0.1", port=0))
        world.services.webrtc = edge
        server = await serve(world)
        async with httpx.AsyncClient(base_url=server.url) as client:
            page = ResumingPage()
            await page.enter(client, "/v1/realtime/calls", {})
            assert await page.typed("one") == "You said: one"
            call = only(world)
            edge.legs[0].on_peer_lost(EndReason.CALLER_LOST, "as if the network were gone")
            await until(lambda: call.waiting)

            back = ResumingPage()
            await back.enter(client, f"/api/calls/{call.id}/resume", bearer(page.secret))
            assert await back.typed("two") == "You said: one, two"
            await back.until("output_audio_buffer.stopped")

            # An ICE restart: nobody was lost, and the path changes.
            moved = ResumingPage()
            await moved.enter(client, f"/api/calls/{call.id}/resume", bearer(page.secret))
            assert await moved.typed("three") == "You said: one, two, three"
            async with asyncio.timeout(5):
                await back.closed.wait()
            assert only(world) is call
            for each in (page, back, moved):
                await each.connection.close()
        await edge.close()

    async def test_who_comes_back_and_never_connects_may_try_again(self, serve: Serve) -> None:
        world = world_that_remembers()
        edge = await WebRTCEdge.open(WebRTCSettings(host="127.0.0.1", port=0, connect_timeout_s=0.2))
        world.services.webrtc = edge
        server = await serve(world)
        async with connect(f"{server.url.replace('http', 'ws')}/v1/realtime") as socket:
            await say(socket, "one")
            socket.transport.abort()
        call = only(world)
        await until(lambda: call.waiting)
        async with httpx.AsyncClient(base_url=server.url) as client:
            page = ResumingPage()
            await page.connection.setLocalDescription(await page.connection.createOffer())
            offer = page.connection.localDescription.sdp
            answer = await client.post(
                f"/api/calls/{call.id}/resume", content=offer, headers={**SDP, **bearer(secret_of(call))}
            )
            assert answer.status_code == 201
            assert not call.waiting
            await until(lambda: call.waiting)
            assert call.ended is None
            await page.connection.close()
        await edge.close()


class ResumingPage(Page):
    """A page that keeps what it was told."""

    secret = ""

    async def enter(self, client: httpx.AsyncClient, address: str, headers: dict[str, str]) -> None:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        answer = await client.post(address, content=offer, headers={**SDP, **headers})
        assert answer.status_code == 201, answer.text
        self.secret = answer.headers["perhop-resume"]
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        await self.until("session.created")

    async def typed(self, text: str) -> str:
        content = [{"type": "input_text", "text": text}]
        self.say(type="conversation.item.create", item={"type": "message", "role": "user", "content": content})
        self.say(type="response.create")
        done = await self.until("response.done")
        transcript: str = done.response.output[0].content[0].transcript
        return transcript
