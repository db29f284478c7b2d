"""A caller vanishes and comes back to the same call, on a real server with its model in another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest
from bench.webrtc_caller import LightCaller
from tests.integration.gateway import Gateway, eventually, gateway

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

WITHIN_S = 10.0


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, upstream: Gateway) -> Iterator[Gateway]:
    """A gateway with the settings it comes with: a caller is lost after eight seconds and may come back for sixty."""
    settings = f'[models.far]\nurl = "{upstream.url}/v1"\n[[agents]]\nname = "far"\nmodel = "far"\n'
    with gateway(tmp_path_factory.mktemp("patient"), settings) as running:
        yield running


async def heard_again(caller: LightCaller) -> None:
    """Talks, and hears the echo of it."""
    for _ in range(20):
        await caller.talk(10)
        if caller.peer.received:
            return
    await caller.heard()


async def test_the_model_session_ends_within_ten_seconds_and_another_one_goes_on_with_the_call(
    patient: Gateway, upstream: Gateway
) -> None:
    async with (
        httpx.AsyncClient(base_url=patient.url, timeout=10) as http,
        LightCaller() as lost,
        LightCaller() as back,
    ):
        await lost.call(http, "far")
        await heard_again(lost)
        lost.vanish()
        vanished = time.monotonic()
        await eventually(lambda: upstream.live() == [], within_s=WITHIN_S + 2)
        assert time.monotonic() - vanished < WITHIN_S
        (waiting,) = await asyncio.to_thread(patient.live)
        assert (waiting["id"], waiting["waiting"], waiting["ended"]) == (lost.call_id, True, None)
        assert await asyncio.to_thread(patient.figure, "perhop_calls_waiting") == 1

        await back.come_back(http, lost)
        assert back.call_id == lost.call_id
        await heard_again(back)
        (live,) = await asyncio.to_thread(patient.live)
        assert (live["id"], live["waiting"], live["connected"]) == (lost.call_id, False, True)
        assert live["epoch"] == 1
        assert len(await asyncio.to_thread(upstream.live)) == 1
        assert await asyncio.to_thread(patient.figure, "perhop_resumes_total") == 1
        back.hang_up()
        assert await patient.ended(lost.call_id) == "caller_hangup"
    assert all(lost.secret not in str(hook) for hook in patient.hooks)
