"""Deliveries on virtual time: who is told, how often, and what is bounded."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from openai import OpenAI
from tests.virtual_time import run_virtual

from perhop.errors import PerhopError
from perhop.webhooks import SigningKey, WebhookEndpoint, WebhookEvent, WebhookSender
from perhop.webhooks.sender import FIRST_PAUSE_S, GIVE_UP_S, LONGEST_PAUSE_S, MAX_PENDING, MAX_RUNNING

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hooks.example/perhop"


def event(n: int = 1, *, type_: str = "perhop.call.started", tenant: str = "red") -> WebhookEvent:
    return WebhookEvent(f"evt_{n}", type_, tenant, 1_700_000_000, {"call_id": f"rtc_{n}"})


def endpoint(url: str = URL, *, events: tuple[str, ...] = ("perhop.call.started",), **more: str) -> WebhookEndpoint:
    return WebhookEndpoint(url=url, key=SigningKey(SECRET), events=frozenset(events), **more)  # type: ignore[arg-type]


@dataclass
class Receiver:
    """Somebody's server. ``answers`` are taken one a request, the last for ever."""

    answers: list[int | Exception] = field(default_factory=lambda: [200])
    takes_s: float = 0.0
    got: list[tuple[float, str, bytes, Mapping[str, str]]] = field(default_factory=list)
    running: int = 0
    most: int = 0

    async def __call__(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> int:
        self.got.append((asyncio.get_running_loop().time() - 1000.0, url, content, headers))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.running -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, _, _, headers in self.got]


@dataclass
class Scene:
    receiver: Receiver
    sender: WebhookSender
    outcomes: Counter[str]


def scene(test: Callable[[Scene], Awaitable[None]], receiver: Receiver | None = None, *to: WebhookEndpoint) -> Scene:
    """Runs a test on virtual time, in which chance is always in the middle."""

    async def main() -> Scene:
        receives = receiver or Receiver()
        outcomes: Counter[str] = Counter()
        sender = WebhookSender(
            to or (endpoint(),),
            receives,
            observe=lambda outcome: outcomes.update([outcome]),
            wall=lambda: 1_700_000_000 + asyncio.get_running_loop().time(),
            chance=lambda: 0.5,
        )
        made = Scene(receives, sender, outcomes)
        await test(made)
        await sender.close(grace_s=0)
        return made

    return run_virtual(main())


def test_an_event_is_posted_once_and_signed() -> None:
    async def test(s: Scene) -> None:
        s.sender.send(event())
        await asyncio.sleep(10_000)

    s = scene(test)
    [(_, url, body, headers)] = s.receiver.got
    assert (url, body) == (URL, event().to_json())
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "evt_1"
    assert s.outcomes == {"delivered": 1}
    assert s.sender.pending == 0


def test_the_official_client_unwraps_a_late_repetition_too() -> None:
    """Each attempt is signed anew: receivers refuse what was signed more than five minutes ago."""

    async def main() -> list[Mapping[str, str]]:
        receiver = Receiver([500] * 7 + [200])
        loop = asyncio.get_running_loop()
        began = loop.time()
        sender = WebhookSender([endpoint()], receiver, wall=lambda: time.time() + loop.time() - began)
        sender.send(event())
        await asyncio.sleep(20_000)
        await sender.close()
        return [headers for _, _, _, headers in receiver.got]

    attempts = run_virtual(main())
    assert len({headers["webhook-id"] for headers in attempts}) == 1
    stamps = [int(headers["webhook-timestamp"]) for headers in attempts]
    assert stamps[-1] - stamps[0] > 300
    tolerance = stamps[-1] - int(time.time()) + 60
    found = OpenAI(api_key="k").webhooks
    found.verify_signature(event().to_json(), attempts[0], secret=SECRET)
    found.verify_signature(event().to_json(), attempts[-1], secret=SECRET, tolerance=tolerance)


def test_only_those_who_want_an_event_are_told() -> None:
    all_of_red = endpoint("https://red.example", events=("perhop.call.started", "perhop.call.ended"), tenant="red")
    ends = endpoint("https://ends.example", events=("perhop.call.ended",))

    async def test(s: Scene) -> None:
        s.sender.send(event(1, tenant="red"))
        s.sender.send(event(2, tenant="blue"))
        s.sender.send(event(3, type_="perhop.call.ended", tenant="blue"))
        s.sender.send(event(4, type_="perhop.call.ended", tenant="red"))
        await asyncio.sleep(1)

    s = scene(test, None, all_of_red, ends)
    told = {(url.removeprefix("https://"), headers["webhook-id"]) for _, url, _, headers in s.receiver.got}
    assert told == {
        ("red.example", "evt_1"),
        ("red.example", "evt_4"),
        ("ends.example", "evt_3"),
        ("ends.example", "evt_4"),
    }


@pytest.mark.parametrize("trouble", [500, 404, 301, PerhopError("hooks.example could not be reached")])
def test_what_is_not_taken_comes_again_with_growing_pauses(trouble: int | Exception) -> None:
    async def test(s: Scene) -> None:
        s.sender.send(event())
        await asyncio.sleep(100)

    s = scene(test, Receiver([trouble, trouble, trouble, 204]))
    assert [round(at, 3) for at, *_ in s.receiver.got] == [0, 2, 8, 26]
    assert s.outcomes == {"retried": 3, "delivered": 1}
    assert s.sender.pending == 0


def test_pauses_have_an_upper_limit_and_so_has_patience() -> None:
    async def test(s: Scene) -> None:
        s.sender.send(event())
        await asyncio.sleep(2 * GIVE_UP_S)

    s = scene(test, Receiver([503]))
    times = [at for at, *_ in s.receiver.got]
    pauses = [later - at for at, later in pairwise(times)]
    assert pauses[0] == pytest.approx(FIRST_PAUSE_S)
    assert pauses == sorted(pauses)
    assert max(pauses) == pytest.approx(LONGEST_PAUSE_S)
    assert GIVE_UP_S - LONGEST_PAUSE_S < times[-1] <= GIVE_UP_S
    assert s.outcomes["given_up"] == 1
    assert s.sender.pending == 0


def test_an_endpoint_that_says_gone_is_not_asked_again() -> None:
    async def test(s: Scene) -> None:
        s.sender.send(event())
        await asyncio.sleep(10_000)

    s = scene(test, Receiver([410]))
    assert len(s.receiver.got) == 1
    assert s.outcomes == {"given_up": 1}


def test_pauses_are_spread_by_chance() -> None:
    async def main(chance: float) -> float:
        receiver = Receiver([500, 200])
        sender = WebhookSender([endpoint()], receiver, chance=lambda: chance)
        sender.send(event())
        await asyncio.sleep(100)
        return receiver.got[1][0]

    assert run_virtual(main(0.0)) == pytest.approx(0.8 * FIRST_PAUSE_S)
    assert run_virtual(main(0.9999)) == pytest.approx(1.2 * FIRST_PAUSE_S, rel=1e-3)


def test_a_slow_endpoint_gets_a_few_requests_at_once_and_holds_up_no_other() -> None:
    slow, fast = endpoint("https://slow.example"), endpoint("https://fast.example")

    class Mixed(Receiver):
        async def __call__(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> int:
            self.takes_s = 10.0 if "slow" in url else 0.0
            return await super().__call__(url, content=content, headers=headers)

    async def test(s: Scene) -> None:
        for n in range(20):
            s.sender.send(event(n))
        await asyncio.sleep(1)
        assert sum("fast" in url for _, url, _, _ in s.receiver.got) == 20
        assert s.receiver.running == MAX_RUNNING
        await asyncio.sleep(100)

    s = scene(test, Mixed(), slow, fast)
    assert s.outcomes == {"delivered": 40}


def test_one_event_that_fails_does_not_hold_up_the_next() -> None:
    async def test(s: Scene) -> None:
        s.sender.send(event(1))
        await asyncio.sleep(0.1)
        s.sender.send(event(2))
        await asyncio.sleep(0.1)
        assert s.receiver.ids() == ["evt_1", "evt_2"]

    scene(test, Receiver([500, 200]))


def test_beyond_the_limit_the_oldest_is_dropped() -> None:
    async def test(s: Scene) -> None:
        for n in range(MAX_PENDING + 10):
            s.sender.send(event(n))
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert s.sender.pending == MAX_PENDING
        s.receiver.answers = [200]
        s.receiver.got.clear()
        await asyncio.sleep(10_000)

    s = scene(test, Receiver([500]))
    assert s.outcomes["dropped"] == 10
    assert s.outcomes["delivered"] == MAX_PENDING
    assert "evt_9" not in s.receiver.ids()
    assert f"evt_{MAX_PENDING + 9}" in s.receiver.ids()


def test_one_that_is_dropped_while_under_way_disturbs_nothing() -> None:
    async def test(s: Scene) -> None:
        for n in range(MAX_PENDING + 1):
            s.sender.send(event(n))
        await asyncio.sleep(0.5)
        s.sender.send(event(MAX_PENDING + 1))
        await asyncio.sleep(10_000)

    s = scene(test, Receiver(takes_s=1.0))
    assert s.outcomes == {"dropped": 2, "delivered": MAX_PENDING}
    assert s.sender.pending == 0


def test_closing_lets_what_is_due_go_out_and_waits_for_no_retry() -> None:
    async def test(s: Scene) -> None:
        s.sender.send(event(0))
        await asyncio.sleep(1.5)
        for n in range(1, 11):
            s.sender.send(event(n))
        began = asyncio.get_running_loop().time()
        await s.sender.close(grace_s=5)
        assert asyncio.get_running_loop().time() - began < 5
        s.sender.send(event(99))
        await asyncio.sleep(100)

    s = scene(test, Receiver([500, 200], takes_s=1.0))
    assert s.outcomes == {"retried": 1, "delivered": 10}
    assert s.sender.pending == 1
    assert "evt_99" not in s.receiver.ids()


def test_closing_does_not_wait_for_ever() -> None:
    async def test(s: Scene) -> None:
        s.sender.send(event())
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await s.sender.close(grace_s=3)
        assert asyncio.get_running_loop().time() - began == pytest.approx(3)

    s = scene(test, Receiver(takes_s=1e6))
    assert s.receiver.running == 0


def test_an_endpoint_does_not_show_its_address_or_key() -> None:
    shown = repr(endpoint("https://hooks.example/secret-path"))
    assert "secret-path" not in shown
    assert "MfKQ" not in shown
