"""One caller and its leg over a network without sockets, in virtual time: what reaches the call, and the caller."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from tests.edges.webrtc.helpers import Caller, Network, chunk, open_edge
from tests.virtual_time import run_virtual

from perhop.call.legs import EndReason, Position
from perhop.media.rtcp import (
    Goodbye,
    SenderReport,
    SourceDescription,
    parse_compound,
)
from perhop.realtime.audio import FRAME_BYTES


async def a_call(**settings: object) -> Caller:
    """A connected caller."""
    network = Network()
    return await Caller(network, open_edge(network, **settings)).connected()


def gaps_ms(caller: Caller) -> list[int]:
    """Milliseconds between the packets heard."""
    times = [time for time, _ in caller.heard]
    return [round((b - a) * 1000) for a, b in itertools.pairwise(times)]


def test_without_a_data_section_the_call_is_ready_once_media_flows() -> None:
    async def main() -> None:
        caller = await a_call()
        assert caller.sink.ready == 1

    run_virtual(main())


def test_what_the_caller_says_reaches_the_call_at_once() -> None:
    async def main() -> None:
        caller = await a_call()
        for frames in range(1, 4):
            caller.send(caller.rtp())
            assert len(caller.sink.audio) == frames * FRAME_BYTES
            await asyncio.sleep(0.020)
        stats = caller.leg.stats()
        assert (stats.packets_received, stats.packets_lost, stats.added_delay_ms) == (3, 0, 0)

    run_virtual(main())


def test_a_lost_packet_is_waited_for_and_then_covered() -> None:
    async def main() -> None:
        caller = await a_call()
        await caller.talk(5)
        caller.rtp()  # never sent
        heard = len(caller.sink.audio)
        caller.send(caller.rtp())
        assert len(caller.sink.audio) == heard
        await asyncio.sleep(0.030)  # nothing else comes: only a timer can have moved it on
        assert len(caller.sink.audio) == heard + 2 * FRAME_BYTES
        assert caller.leg.stats().packets_lost == 1

    run_virtual(main())


def test_after_one_lost_packet_nothing_is_delayed_any_more_within_two_seconds() -> None:
    async def main() -> None:
        caller = await a_call()
        await caller.talk(50)
        caller.rtp()  # never sent
        said, behind = 51, []
        for _ in range(250):
            caller.send(caller.rtp())
            said += 1
            behind.append(said - len(caller.sink.audio) // FRAME_BYTES)  # frames said and not heard, at this moment
            await asyncio.sleep(0.020)
        assert behind[0] == 2, "the lost one is waited for"
        assert max(behind) <= 3, "and for no longer than its copy takes"
        assert not any(behind[100:]), "two seconds later nothing waits"
        assert caller.leg.stats().added_delay_ms == 0
        assert len(caller.sink.audio) == said * FRAME_BYTES, "no audio was added, and none is missing"

    run_virtual(main())


def test_a_reply_starts_at_once_and_then_keeps_its_pace() -> None:
    async def main() -> None:
        caller = await a_call()
        began = caller.loop.time()
        caller.leg.play(chunk(400))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [time for time, _ in caller.heard] == [began]
        caller.leg.end_audio("resp_1")
        await asyncio.sleep(1)
        first, *others = gaps_ms(caller)
        assert 20 <= first <= 25
        assert set(others) == {20}

    run_virtual(main())


def test_after_200_ms_of_silence_nothing_is_sent() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(100))
        caller.leg.end_audio("resp_1")
        await asyncio.sleep(5)
        assert len(caller.heard) == 5 + 10

    run_virtual(main())


def test_timestamps_count_the_silence_and_only_a_first_packet_is_marked() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(40))
        caller.leg.end_audio("resp_1")
        await asyncio.sleep(3)
        caller.leg.play(chunk(40, response="resp_2", item="item_2"))
        caller.leg.end_audio("resp_2")
        await asyncio.sleep(1)
        packets = [packet for _, packet in caller.heard]
        assert [packet.marker for packet in packets] == [True, *[False] * 11, True, *[False] * 11]
        steps = [(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(packets)]
        pause = steps.pop(11)
        assert set(steps) == {960}
        elapsed = caller.heard[12][0] - caller.heard[0][0]
        assert abs((pause + 11 * 960) / 48_000 - elapsed) <= 0.020
        sequence = [packet.sequence_number for packet in packets]
        assert sequence == [(sequence[0] + n) % 2**16 for n in range(24)]

    run_virtual(main())


def test_a_source_in_real_time_is_delayed_by_its_jitter_and_not_by_more() -> None:
    async def main() -> None:
        caller = await a_call()
        lateness = [0, 0, 7, 3, 0, 12, 1, 0, 9, 4] * 10
        began = caller.loop.time()
        sent = []
        for index, late in enumerate(lateness):
            await asyncio.sleep(began + 0.020 * index + late / 1000 - caller.loop.time())
            caller.leg.play(chunk(20))
            sent.append(caller.loop.time())
        await asyncio.sleep(0.1)
        delays = [heard - source for source, (heard, _) in zip(sent, caller.heard, strict=False)]
        assert max(delays) <= 0.0171  # the worst jitter and one step of the pacer
        packets = [packet for _, packet in caller.heard[:100]]
        steps = {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(packets)}
        assert steps == {960}

    run_virtual(main())


@pytest.mark.parametrize("stall_ms", [9, 18, 33, 60, 150])
def test_a_source_that_was_late_once_is_back_at_its_delay_within_a_few_seconds(stall_ms: int) -> None:
    async def main() -> None:
        caller = await a_call()
        began = caller.loop.time()
        unsent = []
        for spoken_ms in range(0, 10_000, 20):
            comes_ms = 2_000 + stall_ms if 2_000 <= spoken_ms < 2_000 + stall_ms else spoken_ms
            await asyncio.sleep(max(0.0, began + comes_ms / 1000 - caller.loop.time()))
            unsent.append(spoken_ms - caller.leg.position("item_1").sent_ms)
            caller.leg.play(chunk(20))
        assert max(unsent[:100]) == 0
        assert max(unsent) >= stall_ms - 20
        assert max(unsent[-100:]) <= 10
        packets = [packet for _, packet in caller.heard]
        steps = {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(packets)}
        assert all(step % 960 == 0 and 960 <= step <= 960 * (2 + stall_ms // 20) for step in steps)

    run_virtual(main())


def test_a_source_that_is_faster_than_real_time_is_sent_at_the_pace_of_the_clock() -> None:
    async def main() -> None:
        caller = await a_call()
        for _ in range(60):
            caller.leg.play(chunk(100))
            await asyncio.sleep(0.090)
        await asyncio.sleep(2)
        first, *others = gaps_ms(caller)[:299]
        assert 20 <= first <= 25
        assert set(others) == {20}

    run_virtual(main())


def test_the_call_is_told_when_playing_starts_and_stops() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(60))
        assert caller.sink.played == [("started", "resp_1")]
        caller.leg.end_audio("resp_1")
        caller.leg.play(chunk(60, response="resp_2"))
        await asyncio.sleep(0.075)
        assert caller.sink.played == [("started", "resp_1"), ("stopped", "resp_1"), ("started", "resp_2")]
        assert caller.leg.clear() == "resp_2"
        await asyncio.sleep(1)
        assert len(caller.sink.played) == 3

    run_virtual(main())


def test_audio_before_the_connection_waits_for_it() -> None:
    async def main() -> None:
        network = Network()
        network.lost = lambda _direction, _data: True
        caller = Caller(network, open_edge(network))
        caller.leg.play(chunk(100))
        await asyncio.sleep(1)
        assert caller.leg.position("item_1") == Position(0, 0)
        network.lost = lambda _direction, _data: False
        await caller.connected()
        await asyncio.sleep(0.2)
        assert caller.leg.position("item_1").sent_ms == 100

    run_virtual(main())


def test_sent_is_exact_and_played_allows_for_the_way_and_the_jitter_buffer() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(1000))
        await asyncio.sleep(2.2)
        caller.report(round_trip=0.080)
        assert caller.leg.stats().rtt_ms == pytest.approx(80, abs=2)
        assert caller.leg.position("item_1") == Position(1000, 960)
        caller.leg.report(jitter_buffer_ms=45.0)
        assert caller.leg.position("item_1") == Position(1000, 915)
        assert caller.leg.position("item_of_another_call") == Position(0, 0)
        caller.leg.report(jitter_buffer_ms=5000)
        assert caller.leg.position("item_1") == Position(1000, 0)

    run_virtual(main())


def test_reports_tell_both_sides_of_the_hop() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(4000))
        await caller.talk(150)
        compounds = [parse_compound(report) for report in caller.peer.reports]
        assert 1 <= len(compounds) <= 4
        report, description = compounds[-1]
        assert isinstance(report, SenderReport)
        assert isinstance(description, SourceDescription)
        assert report.ssrc == caller.heard[0][1].ssrc
        assert report.blocks[0].ssrc == 1
        assert report.blocks[0].packets_lost == 0
        heard_before = sum(packet.sequence_number >= 0 for at, packet in caller.heard if at <= caller.reported_at)
        assert report.packets == heard_before

    run_virtual(main())


def test_a_lossy_caller_gets_speech_with_error_correction_and_a_good_one_does_not() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(20_000))
        await asyncio.sleep(2.1)
        speech = []
        for lost in (0, 25, 25, *[0] * 12):
            caller.report(lost=lost)
            await asyncio.sleep(0.1)
            toc = caller.heard[-1][1].payload[0]
            speech.append(toc >> 3 < 16)  # SILK or hybrid, which have FEC; above are the CELT modes (RFC 6716)
        assert not speech[0]
        assert speech[2]
        assert not speech[-1]

    run_virtual(main())


def test_a_closing_leg_says_goodbye_and_tells_its_call_nothing() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(1000))
        await asyncio.sleep(0.1)
        caller.leg.close(EndReason.API_HANGUP)
        await asyncio.sleep(0.1)
        last = parse_compound(caller.peer.reports[-1])
        assert last[-1] == Goodbye([caller.heard[0][1].ssrc], b"api_hangup")
        assert not caller.peer.connected  # DTLS was closed as well
        heard = len(caller.heard)
        await asyncio.sleep(1)
        assert len(caller.heard) == heard
        assert caller.sink.closed == []
        caller.leg.close(EndReason.API_HANGUP)
        caller.leg.play(chunk(20))

    run_virtual(main())


def test_what_came_before_the_call_was_attached_is_told_then() -> None:
    async def main() -> None:
        network = Network()
        caller = await Caller(network, open_edge(network), attach=False).connected()
        await caller.talk(3)
        caller.leg.attach(caller.sink)
        assert caller.sink.ready == 1
        assert not caller.sink.audio

    run_virtual(main())


def test_silence_within_a_response_is_a_gap_and_silence_between_two_is_none() -> None:
    async def main() -> None:
        caller = await a_call()
        caller.leg.play(chunk(100))
        await asyncio.sleep(0.3)  # the model is too slow
        caller.leg.play(chunk(100))
        caller.leg.end_audio("resp_1")
        await asyncio.sleep(0.5)
        assert caller.leg.stats().gaps == 1
        caller.leg.play(chunk(100, response="resp_2", item="item_2"))
        await asyncio.sleep(0.5)
        assert caller.leg.stats().gaps == 1

    run_virtual(main())


def test_audio_that_comes_just_in_time_leaves_no_gap() -> None:
    async def main() -> None:
        caller = await a_call()
        for _ in range(50):
            caller.leg.play(chunk(20))
            await asyncio.sleep(0.02)
        assert caller.leg.stats().gaps == 0

    run_virtual(main())
