"""Many callers on one port, in virtual time: who belongs to whom, who is gone, and who only makes noise."""

from __future__ import annotations

import asyncio
import random

import pytest
from bench.webrtc_client import LightPeer
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.edges.webrtc.helpers import Caller, Network, chunk, open_edge
from tests.media.test_dtls import other_identity
from tests.virtual_time import run_virtual

from perhop.call.legs import EndReason
from perhop.errors import LimitExceededError
from perhop.media import stun
from perhop.media.dtls import DtlsIdentity, DtlsSession
from perhop.media.sdp import Fingerprint, SdpError
from perhop.realtime.audio import FRAME_BYTES


def edge_fingerprint(caller: Caller) -> Fingerprint:
    """What the answer says of the edge's certificate."""
    line = next(line for line in caller.leg.answer_sdp.splitlines() if line.startswith("a=fingerprint:sha-256 "))
    return Fingerprint("sha-256", bytes.fromhex(line.split()[1].replace(":", "")))


STRANGER = ("198.51.100.66", 666)


def test_callers_behind_one_address_are_told_apart() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        callers = [Caller(network, edge, port=5000 + n) for n in range(20)]
        for caller in callers:
            await caller.connected()
        assert edge.legs == [caller.leg for caller in callers]
        for count, caller in enumerate(callers, 1):
            for _ in range(count):
                caller.send(caller.rtp())
        assert [len(c.sink.audio) // FRAME_BYTES for c in callers] == list(range(1, 21))

    run_virtual(main())


def test_a_caller_with_an_rsa_certificate_is_served() -> None:
    async def main() -> None:
        network = Network()
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        identity = other_identity(key, b"ECDHE-ECDSA-AES128-GCM-SHA256", b"SRTP_AES128_CM_SHA1_80")
        caller = await Caller(network, open_edge(network), identity=identity).connected()
        await caller.talk(3)
        assert len(caller.sink.audio) == 3 * FRAME_BYTES

    run_virtual(main())


def test_a_caller_with_another_certificate_than_it_offered_is_refused() -> None:
    async def main() -> None:
        network = Network()
        caller = Caller(network, open_edge(network), identity=DtlsIdentity())
        assert caller.peer.dtls is not None
        caller.peer.dtls = DtlsSession(DtlsIdentity(), "client", fingerprints=[edge_fingerprint(caller)])
        await asyncio.sleep(3)
        assert caller.sink.closed == [EndReason.CALLER_NEVER_CONNECTED]
        assert not caller.sink.audio

    run_virtual(main())


def test_a_caller_that_vanished_is_closed_within_10_s() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        gone, stays = [await Caller(network, edge, port=port).connected() for port in (5000, 5001)]
        await gone.talk(10)
        gone.vanish()
        await asyncio.sleep(7)
        assert gone.sink.closed == []
        await asyncio.sleep(3)
        assert gone.sink.closed == [EndReason.CALLER_LOST]
        assert edge.legs == [stays.leg]
        assert stays.sink.closed == []

    run_virtual(main())


@pytest.mark.parametrize("interval", [2.5, 6.0])
def test_a_muted_caller_that_only_checks_lives(interval: float) -> None:
    async def main() -> None:
        network = Network()
        caller = await Caller(network, open_edge(network)).connected()
        caller.alive = False  # it answers still, but says nothing by itself
        for count in range(50):
            if count % 7:  # and every seventh check is lost
                caller.send(caller.peer.check())
            await asyncio.sleep(interval)
        assert caller.sink.closed == []

    run_virtual(main())


def test_a_caller_that_never_comes_is_forgotten_after_30_s() -> None:
    async def main() -> None:
        network = Network()
        network.lost = lambda direction, _data: direction == "up"
        edge = open_edge(network)
        caller = Caller(network, edge)
        await asyncio.sleep(29.9)
        assert caller.sink.closed == []
        await asyncio.sleep(0.2)
        assert caller.sink.closed == [EndReason.CALLER_NEVER_CONNECTED]
        assert edge.legs == []

    run_virtual(main())


def test_a_caller_that_checks_but_never_shakes_hands_is_forgotten() -> None:
    async def main() -> None:
        network = Network()
        network.lost = lambda _direction, data: 19 < data[0] < 64
        caller = Caller(network, open_edge(network))
        await asyncio.sleep(16)
        assert caller.sink.closed == [EndReason.CALLER_NEVER_CONNECTED]

    run_virtual(main())


def test_a_call_survives_a_new_address() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        caller = await Caller(network, edge).connected()
        caller.leg.play(chunk(30_000))
        await caller.talk(50)
        caller.move(6000)
        heard = len(caller.sink.audio)
        await caller.talk(50)
        # Nothing is believed from an address that has not proved itself; what is heard is the cover for a hole.
        assert len(caller.sink.audio) == heard + 3 * FRAME_BYTES
        assert edge.counters.unknown_address == 50
        await asyncio.sleep(2.5)  # until the next consent check
        packets = len(caller.heard)
        await caller.talk(50)
        assert len(caller.sink.audio) >= heard + 50 * FRAME_BYTES
        assert len(caller.heard) >= packets + 49
        assert caller.sink.closed == []

    run_virtual(main())


def test_a_check_made_without_the_password_does_not_move_the_call() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        caller = await Caller(network, edge).connected()
        wrong_key = stun.binding_request(
            transaction_id=bytes(12),
            username=f"{caller.peer.remote.ufrag}:x",
            key=b"guess",
            priority=1,
            tie_breaker=1,
            nominate=True,
        )
        network.to_edge(wrong_key, STRANGER)
        caller.leg.play(chunk(100))
        await asyncio.sleep(0.5)
        assert len(caller.heard) == 15
        assert caller.leg.peer.ice.bad_checks == 1

    run_virtual(main())


def test_a_replayed_packet_is_dropped_and_counted() -> None:
    async def main() -> None:
        network = Network()
        caller = await Caller(network, open_edge(network)).connected()
        packets = [caller.rtp() for _ in range(5)]
        for packet in [*packets, *packets, *reversed(packets)]:
            caller.send(packet)
        assert len(caller.sink.audio) == 5 * FRAME_BYTES
        assert caller.leg.dropped.replayed == 10

    run_virtual(main())


def test_garbage_of_every_kind_changes_nothing() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        caller = await Caller(network, edge).connected()
        dice = random.Random(4)
        firsts = [0, 1, 3, 4, 19, 20, 22, 23, 63, 64, 127, 128, 144, 191, 192, 255]
        for _ in range(300):
            junk = bytes([dice.choice(firsts)]) + dice.randbytes(dice.randrange(0, 1500))
            network.to_edge(junk, STRANGER)
            network.to_edge(junk, caller.address)
        network.to_edge(b"", STRANGER)
        assert edge.counters.malformed > 0
        assert edge.counters.unknown_address > 0
        assert caller.leg.dropped.unauthentic > 0
        await caller.talk(10)
        assert len(caller.sink.audio) == 10 * FRAME_BYTES
        assert caller.sink.closed == []
        assert edge.legs == [caller.leg]

    run_virtual(main())


def test_truncated_and_altered_packets_of_the_caller_change_nothing() -> None:
    async def main() -> None:
        network = Network()
        caller = await Caller(network, open_edge(network)).connected()
        for cut in range(40):
            caller.send(caller.rtp()[:cut] or b"\x80")
        for bit in range(0, 200, 7):
            damaged = bytearray(caller.rtp())
            damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
            caller.send(bytes(damaged))
        heard = len(caller.sink.audio)
        await caller.talk(10)
        assert len(caller.sink.audio) >= heard + 9 * FRAME_BYTES
        assert caller.sink.closed == []

    run_virtual(main())


def test_a_check_for_nobody_is_not_answered() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        answers: list[bytes] = []
        network.listen(STRANGER, answers.append)
        check = stun.binding_request(
            transaction_id=bytes(12), username="nobody:x", key=b"k", priority=1, tie_breaker=1, nominate=True
        )
        network.to_edge(check, STRANGER)
        network.to_edge(stun.binding_success(stun.StunMessage.parse(check), host="1.2.3.4", port=5, key=b"k"), STRANGER)
        await asyncio.sleep(1)
        assert answers == []
        assert edge.counters.unknown_user == 1

    run_virtual(main())


def test_a_flooding_caller_is_throttled_and_then_closed_while_others_go_on() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        flooder, other = [await Caller(network, edge, port=port).connected() for port in (5000, 5001)]
        packet = flooder.rtp()
        for _ in range(5000):
            flooder.send(packet)
        assert flooder.leg.dropped.flooding > 2900
        assert flooder.sink.closed == []
        for _ in range(18_000):
            flooder.send(packet)
        await other.talk(5)
        assert flooder.sink.closed == [EndReason.CALLER_ABUSE]
        assert len(other.sink.audio) == 5 * FRAME_BYTES
        assert edge.legs == [other.leg]

    run_virtual(main())


def test_a_caller_that_hangs_up_is_told_apart_from_one_that_is_lost() -> None:
    async def main() -> None:
        network = Network()
        caller = await Caller(network, open_edge(network)).connected()
        assert caller.peer.dtls is not None
        caller.peer.dtls.close()
        for datagram in caller.peer.dtls.outgoing():
            caller.send(datagram)
        await asyncio.sleep(0)
        assert caller.sink.closed == [EndReason.CALLER_HANGUP]

    run_virtual(main())


def test_a_second_call_from_the_same_socket_takes_the_address_over() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        first = await Caller(network, edge).connected()
        first.vanish()
        second = await Caller(network, edge).connected()
        await second.talk(3)
        assert len(second.sink.audio) == 3 * FRAME_BYTES
        await asyncio.sleep(10)
        assert first.sink.closed == [EndReason.CALLER_LOST]
        await second.talk(3)
        assert len(second.sink.audio) > 5 * FRAME_BYTES

    run_virtual(main())


@pytest.mark.parametrize("talking", [True, False], ids=["talking", "silent"])
def test_an_address_that_somebody_else_claims_stays_or_comes_back(talking: bool) -> None:
    """The source of a datagram can be forged: by a good check of one's own call, with another caller's address."""

    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        victim, hostile = [await Caller(network, edge, port=port).connected() for port in (5000, 5001)]
        await victim.talk(5)
        if not talking:
            await asyncio.sleep(2)
        network.to_edge(hostile.peer.check(), victim.address)
        if not talking:
            victim.send(victim.peer.check())
        before = len(victim.sink.audio)
        await victim.talk(50)
        assert len(victim.sink.audio) - before >= 50 * FRAME_BYTES
        network.to_edge(hostile.peer.check(), victim.address)
        hostile.vanish()
        await victim.talk(5)
        assert victim.sink.closed == []

    run_virtual(main())


def test_media_goes_out_by_the_socket_the_check_came_in_by() -> None:
    async def main() -> None:
        network = Network()
        caller = await Caller(network, open_edge(network)).connected()
        network.to_edge(caller.peer.check(), caller.address, socket=1)
        assert caller.leg.peer.ice.selected is not None
        assert caller.leg.peer.ice.selected.local == 1
        assert network.sockets[1].peers == {caller.address: caller.leg.peer}

    run_virtual(main())


def test_nothing_is_left_of_a_closed_caller() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        caller = await Caller(network, edge).connected()
        caller.move(6000)
        caller.send(caller.peer.check())
        assert len(network.sockets[0].peers) == 2
        caller.leg.close(EndReason.API_HANGUP)
        assert network.sockets[0].peers == {}
        assert edge.legs == []

    run_virtual(main())


def test_more_peers_than_allowed_and_bad_offers_are_refused() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network, max_peers=2)
        with pytest.raises(SdpError):
            edge.answer("v=0\r\n")
        with pytest.raises(SdpError, match="dcid"):
            edge.answer(LightPeer(data=True).offer, dcid=65535)
        for port in (5000, 5001):
            Caller(network, edge, port=port)
        with pytest.raises(LimitExceededError):
            Caller(network, edge, port=5002)

    run_virtual(main())


def test_closing_the_edge_ends_every_call() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        callers = [await Caller(network, edge, port=port).connected() for port in (5000, 5001)]
        await edge.close()
        await asyncio.sleep(0)
        assert edge.legs == []
        assert not any(caller.peer.connected for caller in callers)

    run_virtual(main())


def test_a_call_that_breaks_on_its_callers_audio_ends_and_no_other() -> None:
    async def main() -> None:
        network = Network()
        edge = open_edge(network)
        broken, other = [await Caller(network, edge, port=port).connected() for port in (5000, 5001)]

        def refuse(_pcm: bytes) -> None:
            raise LimitExceededError("the model takes no more")

        broken.sink.on_caller_audio = refuse  # type: ignore[method-assign]
        broken.send(broken.rtp())
        await other.talk(3)
        assert broken.sink.closed == [EndReason.CALLER_LOST]
        assert len(other.sink.audio) == 3 * FRAME_BYTES

    run_virtual(main())
