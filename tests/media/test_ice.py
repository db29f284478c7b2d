"""ICE-lite in virtual time: answering checks, following the peer, noticing its silence, and nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perhop.media import stun
from perhop.media.ice import MAX_PATHS, IceCredentials, IceLite, IceState, Path
from perhop.media.stun import StunMessage

LOCAL = IceCredentials("ourufrag", "our-password-of-24-chars")
REMOTE = IceCredentials("peer", "the-peers-password-is-this")
HOME = Path(0, ("192.0.2.7", 4000))
MOVED = Path(0, ("192.0.2.7", 4999))
LOST = 8.0


@pytest.fixture
def ice() -> IceLite:
    return IceLite(LOCAL, REMOTE, now=0.0, connect_timeout=30.0, lost_timeout=LOST)


def check(*, nominate: bool | None = True, username: str = "ourufrag:peer", key: str = LOCAL.password) -> StunMessage:
    return StunMessage.parse(
        stun.binding_request(
            transaction_id=b"twelve bytes",
            username=username,
            key=key.encode(),
            priority=1,
            tie_breaker=2,
            nominate=nominate,
        )
    )


def code_of(datagram: bytes | None) -> int | None:
    assert datagram is not None
    return StunMessage.parse(datagram).error_code()


def test_a_good_check_connects_and_is_answered_with_where_it_came_from(ice: IceLite) -> None:
    reply = ice.receive(check(), HOME, now=1.0)
    assert reply.datagram is not None
    answer = StunMessage.parse(reply.datagram)
    assert answer.verify(LOCAL.password.encode())
    assert answer.mapped_address() == ("192.0.2.7", 4000)
    assert (ice.state, ice.selected, reply.checked) == (IceState.CONNECTED, HOME, HOME)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (check(key="wrong"), 401),
        (check(username="other:peer"), 401),
        (check(username="nocolon"), 400),
        (check(nominate=None), 487),
    ],
)
def test_bad_checks_are_refused_and_change_nothing(ice: IceLite, message: StunMessage, code: int) -> None:
    reply = ice.receive(message, HOME, now=1.0)
    assert code_of(reply.datagram) == code
    assert (ice.state, ice.selected, reply.checked) == (IceState.WAITING, None, None)


def test_a_check_without_integrity_is_a_bad_request(ice: IceLite) -> None:
    bare = StunMessage.parse(b"\x00\x01\x00\x08" + stun.MAGIC_COOKIE + bytes(12) + b"\x00\x06\x00\x03a:b\x00")
    assert code_of(ice.receive(bare, HOME, now=1.0).datagram) == 400


def test_without_a_check_the_peer_never_was(ice: IceLite) -> None:
    assert ice.next_deadline() == 30.0
    ice.on_timer(29.9)
    assert ice.state is IceState.WAITING
    ice.on_timer(30.0)
    assert ice.state is IceState.FAILED
    assert ice.next_deadline() == float("inf")


def test_nomination_moves_the_media(ice: IceLite) -> None:
    ice.receive(check(nominate=False), HOME, now=1.0)
    ice.receive(check(nominate=False), MOVED, now=1.1)
    assert ice.selected == HOME
    reply = ice.receive(check(nominate=True), MOVED, now=1.2)
    assert (ice.selected, reply.checked) == (MOVED, MOVED)


def test_a_new_address_is_followed_when_the_old_one_fell_silent(ice: IceLite) -> None:
    ice.receive(check(), HOME, now=1.0)
    ice.last_heard = 5.0
    ice.receive(check(nominate=False), MOVED, now=5.5)
    assert ice.selected == HOME  # media still came half a second ago
    ice.receive(check(nominate=False), MOVED, now=7.0)
    assert ice.selected == MOVED


def test_a_peer_that_only_checks_every_six_seconds_lives(ice: IceLite) -> None:
    now = 1.0
    for _ in range(20):
        ice.receive(check(nominate=False), HOME, now=now)
        until = now + 6.0
        while ice.next_deadline() < until:
            now = ice.next_deadline()
            ice.on_timer(now)
        now = until
    assert ice.state is IceState.CONNECTED


def test_a_silent_peer_is_asked_and_its_answer_counts(ice: IceLite) -> None:
    ice.receive(check(), HOME, now=1.0)
    now = ice.next_deadline()
    assert now == 1.0 + LOST / 2
    probe = ice.on_timer(now)
    assert probe is not None
    question = StunMessage.parse(probe)
    assert question.username == ("peer", "ourufrag")
    assert question.verify(REMOTE.password.encode())
    forged = stun.binding_success(question, host="192.0.2.1", port=1, key=b"guess")
    ice.receive(StunMessage.parse(forged), HOME, now=now + 0.1)
    assert ice.last_heard == 1.0
    answer = stun.binding_success(question, host="192.0.2.1", port=1, key=REMOTE.password.encode())
    ice.receive(StunMessage.parse(answer), HOME, now=now + 0.2)
    assert ice.last_heard == now + 0.2


def test_a_peer_that_vanished_is_lost_in_time(ice: IceLite) -> None:
    ice.receive(check(), HOME, now=1.0)
    ice.last_heard = 20.0
    probes = 0
    while ice.next_deadline() < float("inf"):
        now = ice.next_deadline()
        probes += ice.on_timer(now) is not None
    assert (ice.state, now) == (IceState.LOST, 20.0 + LOST)
    assert probes == 4
    assert ice.receive(check(), HOME, now=now).datagram is None


def test_no_more_paths_are_kept_than_allowed_and_never_the_one_in_use_given_up(ice: IceLite) -> None:
    ice.receive(check(), HOME, now=1.0)
    removed = []
    for port in range(100):
        reply = ice.receive(check(nominate=False), Path(0, ("192.0.2.7", port)), now=1.0 + port / 1000)
        removed.append(reply.removed)
    assert len(ice.paths) == MAX_PATHS
    assert HOME in ice.paths
    assert ice.selected == HOME
    assert len([path for path in removed if path]) == 101 - MAX_PATHS


STEP = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.01, 3.0)),
    st.tuples(st.just("media"), st.just(0.0)),
    st.tuples(st.sampled_from(["check", "forged", "moved"]), st.just(0.0)),
)


@settings(max_examples=200)
@given(st.lists(STEP, max_size=60))
def test_only_silence_ends_a_connection(steps: list[tuple[str, float]]) -> None:
    """Whatever happens in whatever order: lost exactly when nothing authentic came for the whole timeout."""
    ice = IceLite(LOCAL, REMOTE, now=0.0, lost_timeout=LOST)
    ice.receive(check(), HOME, now=0.0)
    now = heard = 0.0
    for what, duration in steps:
        until = now + duration
        while ice.next_deadline() <= until:
            now = ice.next_deadline()
            ice.on_timer(now)
            assert (ice.state is IceState.LOST) == (now >= heard + LOST)
            if ice.state is IceState.LOST:
                return
        now = until
        if what == "media":
            ice.last_heard = heard = now
        elif what == "forged":
            ice.receive(check(key="guess"), MOVED, now=now)
            assert MOVED not in ice.paths or ice.selected is not None
        elif what in ("check", "moved"):
            ice.receive(check(nominate=False), HOME if what == "check" else MOVED, now=now)
            heard = now
        assert ice.state is IceState.CONNECTED
        assert now < heard + LOST
