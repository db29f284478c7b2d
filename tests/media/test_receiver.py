"""The receiver under every kind of network, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.media.broken_inputs import names, read
from tests.media.helpers import FRAME, OPUS, SSRC, browser_packets, opus_rtp, rms, snr, tone
from tests.media.network import Listener, numbered, numbered_frames

from perhop.media.g711 import ulaw_encode
from perhop.media.ntp import ntp_from_unix, ntp_middle
from perhop.media.receiver import OLD_SENDER_QUIET, AudioReceiver
from perhop.media.rtcp import SenderReport
from perhop.media.rtp import RtpPacket, pack_packet
from perhop.realtime.audio import SAMPLE_RATE


@pytest.fixture
def listener() -> Iterator[Listener]:
    with numbered_frames():
        yield Listener()


def clean(listener: Listener, first: int, last: int, *, shift: float = 0.0) -> None:
    """Frames ``first`` to ``last`` arrive in their time."""
    for index in range(first, last + 1):
        listener.frame(index, index * 0.02 + shift)


# -- in order -----------------------------------------------------------------------------------------------------


def test_a_packet_in_order_is_heard_at_once(listener: Listener) -> None:
    for index in range(10):
        assert len(listener.frame(index, index * 0.02)) == 2 * FRAME
    assert listener.story() == [(index, FRAME) for index in range(10)]
    assert listener.receiver.stats.added_delay_ms == 0


def test_sequence_numbers_and_timestamps_may_wrap(listener: Listener) -> None:
    for index in range(10):
        listener.frame(index, index * 0.02, seq=0xFFFC, timestamp=0xFFFFFFFF - 3_000)
    assert listener.story() == [(index, FRAME) for index in range(10)]
    assert listener.receiver.stats.lost == 0
    assert listener.receiver.stats.resyncs == 0


def test_the_extensions_of_a_browser_are_not_heard(listener: Listener) -> None:
    packet = bytes(RtpPacket(OPUS, 0, 0, SSRC, numbered(0), extensions={1: b"\xff", 4: b"0"}, padding=4))
    assert len(listener.packet(packet, 0.0)) == 2 * FRAME


# -- loss ---------------------------------------------------------------------------------------------------------


def test_a_lost_packet_is_taken_from_the_copy_in_the_next(listener: Listener) -> None:
    clean(listener, 0, 2)
    assert listener.frame(4, 0.08) == b""
    assert listener.receiver.next_deadline() == pytest.approx(0.10)
    clean(listener, 5, 7)
    assert listener.story() == [
        (0, FRAME), (1, FRAME), (2, FRAME), ("copy", FRAME), (4, FRAME), (5, FRAME), (6, FRAME), (7, FRAME),
    ]  # fmt: skip
    stats = listener.receiver.stats
    assert (stats.lost, stats.recovered_ms, stats.concealed_ms, stats.late) == (1, 20, 0, 0)


def test_a_burst_is_guessed_up_to_the_copy(listener: Listener) -> None:
    clean(listener, 0, 2)
    clean(listener, 6, 10)
    assert ("guess", 2 * FRAME) in listener.story()
    assert ("copy", FRAME) in listener.story()
    assert listener.samples == 11 * FRAME


def test_a_long_burst_has_silence_inside(listener: Listener) -> None:
    clean(listener, 0, 2)
    clean(listener, 20, 25)
    assert listener.samples == 26 * FRAME
    assert listener.receiver.stats.silence_ms == (17 - 3 - 1) * 20
    assert listener.receiver.stats.concealed_ms == 60


def test_an_overtaken_packet_is_heard_in_its_place(listener: Listener) -> None:
    clean(listener, 0, 2)
    listener.frame(4, 0.080)
    listener.frame(3, 0.095)
    assert [name for name, _ in listener.story()] == [0, 1, 2, 3, 4]
    assert listener.receiver.stats.lost == 0


def test_a_late_packet_is_dropped_and_counted(listener: Listener) -> None:
    clean(listener, 0, 2)
    clean(listener, 4, 6)
    listener.frame(3, 0.135)
    listener.frame(3, 0.136)
    clean(listener, 7, 8)
    assert listener.samples == 9 * FRAME
    assert (listener.receiver.stats.late, listener.receiver.stats.duplicates) == (1, 1)


def test_a_duplicate_is_heard_once(listener: Listener) -> None:
    for index in range(5):
        listener.frame(index, index * 0.02)
        listener.frame(index, index * 0.02 + 0.001)
    assert listener.samples == 5 * FRAME
    assert listener.receiver.stats.duplicates == 5


# -- pauses -------------------------------------------------------------------------------------------------------


def test_a_gap_in_the_timestamps_alone_is_silence() -> None:
    """The sender paused (DTX): sequence numbers go on, time does too."""
    with numbered_frames():
        listener = Listener(AudioReceiver({OPUS: "opus"}))
        clean(listener, 0, 2)
        listener.packet(opus_rtp(12, numbered(12), seq=-9), 12 * 0.02)
    story = dict(listener.story())
    assert story["silence"] + story["guess"] == 9 * FRAME  # the stall timer may have guessed the first 60 ms
    assert story["guess"] <= 3 * FRAME
    assert listener.samples == 13 * FRAME


def test_during_an_announced_pause_silence_comes_in_real_time() -> None:
    listener = Listener()
    listener.packet(opus_rtp(0, browser_packets()[0]), 0.0)
    listener.packet(opus_rtp(1, browser_packets()[0][:1]), 0.02)  # what an encoder sends when it pauses
    listener.wait(0.40)
    behind = 0.40 - listener.samples / 24_000
    assert 0 <= behind <= 0.06
    assert rms(bytes(listener.heard[4 * FRAME :])) == 0
    listener.packet(opus_rtp(21, browser_packets()[1], seq=-19), 0.42)
    assert listener.samples == 22 * FRAME


def test_a_pause_of_a_minute_is_cut_to_a_second(listener: Listener) -> None:
    clean(listener, 0, 2)
    listener.packet(opus_rtp(3_003, numbered(3), seq=-3_000), 3_003 * 0.02)
    assert listener.samples <= 4 * FRAME + 24_000 + 3 * FRAME


def test_when_packets_stop_sixty_milliseconds_are_guessed_and_then_nothing(listener: Listener) -> None:
    clean(listener, 0, 2)
    listener.wait(10.0)
    assert listener.story()[-1] == ("guess", 3 * FRAME)
    assert listener.receiver.next_deadline() is None


def test_a_microphone_that_was_taken_away_is_silence_as_soon_as_its_peer_is_heard(listener: Listener) -> None:
    """A turn it was in would never end otherwise: turn detection counts audio."""
    clean(listener, 0, 2)
    listener.wait(0.9)
    assert listener.sign_of_life() == 0, "the network may be slow"
    listener.wait(2.5)
    assert listener.sign_of_life() > 0
    assert abs(listener.samples - 2.5 * SAMPLE_RATE) < 2 * FRAME, "as much as there is time"
    assert listener.sign_of_life() == 0
    for until in range(5, 60, 2):
        listener.wait(float(until))
        listener.sign_of_life()
    assert listener.samples < 6 * SAMPLE_RATE, "but no more than a turn needs"


def test_what_comes_after_a_microphone_was_away_is_whole(listener: Listener) -> None:
    clean(listener, 0, 2)
    listener.wait(4.0)
    listener.sign_of_life()
    before = listener.samples
    for index in range(3, 20):  # some senders' timestamps stand still meanwhile
        listener.frame(index, 4.0 + index * 0.02)
    assert listener.samples - before == 17 * FRAME
    assert [name for name, _ in listener.story() if isinstance(name, int)][-17:] == list(range(3, 20))


def test_packets_that_were_only_held_up_are_all_heard(listener: Listener) -> None:
    """A stall of 300 ms, then everything at once: nothing is dropped, and the time guessed is won back."""
    clean(listener, 0, 4)
    for index in range(5, 20):
        listener.frame(index, 0.40)
    clean(listener, 20, 60)
    names_heard = [name for name, _ in listener.story() if isinstance(name, int)]
    assert names_heard == list(range(61))
    assert listener.samples == 61 * FRAME
    assert listener.receiver.stats.added_delay_ms == 0


# -- senders ------------------------------------------------------------------------------------------------------


def test_a_jump_of_the_timestamps_costs_nothing(listener: Listener) -> None:
    clean(listener, 0, 2)
    for index in range(3, 6):
        listener.frame(index, index * 0.02, timestamp=1_000_000_000)
    assert listener.story() == [(index, FRAME) for index in range(6)]
    assert listener.receiver.stats.resyncs == 1


def test_a_jump_back_costs_nothing(listener: Listener) -> None:
    clean(listener, 0, 2)
    for index in range(3, 6):
        listener.frame(index, index * 0.02, timestamp=-500_000)
    assert listener.samples == 6 * FRAME


def test_a_new_run_of_sequence_numbers_is_taken_up_whole(listener: Listener) -> None:
    clean(listener, 0, 2)
    for index in range(3, 8):
        listener.frame(index, index * 0.02, seq=30_000)
    assert listener.story() == [(index, FRAME) for index in range(8)]
    stats = listener.receiver.stats
    assert (stats.packets, stats.lost) == (8, 0)


def test_a_stray_packet_is_neither_heard_nor_counted_as_loss(listener: Listener) -> None:
    clean(listener, 0, 2)
    listener.frame(9, 0.05, seq=30_000)
    clean(listener, 3, 5)
    assert listener.story() == [(index, FRAME) for index in range(6)]
    assert listener.receiver.stats.lost == 0


def test_another_ssrc_takes_over_at_once(listener: Listener) -> None:
    clean(listener, 0, 2)
    for index in range(3, 6):
        listener.packet(opus_rtp(index, numbered(index), seq=5_000, timestamp=777, ssrc=99), index * 0.02)
    assert listener.story() == [(index, FRAME) for index in range(6)]
    assert listener.receiver.ssrc == 99
    assert listener.receiver.stats.packets == 6


def test_what_was_held_is_heard_before_the_next_sender(listener: Listener) -> None:
    clean(listener, 0, 2)
    listener.frame(4, 0.08)
    listener.packet(opus_rtp(5, numbered(5), ssrc=99), 0.09)
    assert [name for name, _ in listener.story()] == [0, 1, 2, "copy", 4, 5]


def test_stragglers_of_the_sender_before_do_not_switch_back(listener: Listener) -> None:
    clean(listener, 0, 2)
    for index in range(3, 6):
        listener.packet(opus_rtp(index, numbered(index), ssrc=99), index * 0.02)
        assert listener.frame(index, index * 0.02 + 0.001) == b""
    listener.frame(50, 0.101 + OLD_SENDER_QUIET)
    assert listener.receiver.ssrc == SSRC


# -- payload types ------------------------------------------------------------------------------------------------


def test_telephone_events_keep_their_place_without_being_heard(listener: Listener) -> None:
    clean(listener, 0, 2)
    for index in (3, 4):
        listener.packet(
            pack_packet(101, index, timestamp=3 * 960, ssrc=SSRC, payload=b"\x05\x0a\x01\x40"), index * 0.02
        )
    clean(listener, 5, 6)
    assert listener.samples == 7 * FRAME
    assert listener.receiver.stats.lost == 0
    assert ("silence", 2 * FRAME) in listener.story()


def test_a_telephone_is_heard() -> None:
    listener = Listener(AudioReceiver({0: "pcmu"}))
    narrow = tone(440, 1.0, rate=8_000)
    for index in range(50):
        payload = ulaw_encode(narrow[320 * index : 320 * (index + 1)])
        packet = pack_packet(0, index, timestamp=160 * index, ssrc=SSRC, payload=payload)
        if index != 20:
            listener.packet(packet, index * 0.02)
    assert listener.samples == 50 * FRAME
    assert listener.receiver.stats.concealed_ms == 20
    assert snr(tone(440, 1.0)[: 20 * 960 - 84], bytes(listener.heard[84 : 20 * 960])) > 30


def test_a_change_of_codec_goes_on_without_a_gap() -> None:
    listener = Listener(AudioReceiver({OPUS: "opus", 8: "pcma"}))
    for index in range(5):
        listener.packet(opus_rtp(index, browser_packets()[index]), index * 0.02)
    for index in range(5, 10):
        packet = pack_packet(8, index, timestamp=160 * index, ssrc=SSRC, payload=bytes(160))
        listener.packet(packet, index * 0.02)
    assert listener.samples == 10 * FRAME


# -- abuse --------------------------------------------------------------------------------------------------------


def test_garbage_in_a_payload_is_covered_and_counted() -> None:
    listener = Listener()
    for index in range(10):
        payload = b"\x03\x00garbage" if index == 5 else browser_packets()[index]
        listener.packet(opus_rtp(index, payload), index * 0.02)
    assert listener.samples == 10 * FRAME
    stats = listener.receiver.stats
    assert (stats.undecodable, stats.concealed_ms, stats.lost) == (1, 20, 0)


@pytest.mark.parametrize("name", [name for name in names("rtp") if "byte_extension" not in name])
def test_what_is_not_rtp_is_counted(listener: Listener, name: str) -> None:
    clean(listener, 0, 2)
    assert listener.packet(read(name), 0.05) == b""
    assert listener.receiver.stats.malformed == 1
    clean(listener, 3, 4)
    assert listener.samples == 5 * FRAME


def test_an_empty_payload_is_nothing(listener: Listener) -> None:
    assert listener.packet(opus_rtp(0, b""), 0.0) == b""


def test_a_sender_cannot_flood_the_model_with_silence(listener: Listener) -> None:
    """Timestamps a second apart in packets a millisecond apart."""
    for index in range(1_000):
        listener.packet(
            pack_packet(OPUS, index, timestamp=index * 40_000, ssrc=SSRC, payload=numbered(1)), index * 0.001
        )
    assert listener.samples <= (1.0 + 3.0) * 24_000
    assert listener.receiver.stats.flooded > 900


def test_a_backlog_of_some_seconds_is_not_a_flood(listener: Listener) -> None:
    clean(listener, 0, 499)
    for index in range(500, 700):
        listener.frame(index, 14.0)
    clean(listener, 700, 900)
    assert listener.receiver.stats.flooded == 0
    assert listener.samples == 901 * FRAME


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: b"\x80\x6f" + rest), max_size=30))
def test_garbage_raises_nothing(packets: list[bytes]) -> None:
    listener = Listener()
    for index, packet in enumerate(packets):
        listener.packet(packet, index * 0.02)
    listener.wait(10.0)
    assert listener.samples % FRAME < 2 * 24_000
    listener.receiver.close()


def test_a_closed_receiver_ignores_what_comes(listener: Listener) -> None:
    clean(listener, 0, 2)
    listener.receiver.close()
    listener.receiver.close()
    assert listener.frame(3, 0.06) == b""
    assert listener.receiver.next_deadline() is None


# -- reports ------------------------------------------------------------------------------------------------------


def test_before_the_first_packet_there_is_nothing_to_report() -> None:
    receiver = AudioReceiver({OPUS: "opus"})
    assert receiver.report_block(0.0) is None
    assert receiver.ssrc is None
    assert receiver.next_deadline() is None
    assert receiver.on_timer(1.0) == b""
    assert receiver.stats.packets == 0


def test_reports_refer_to_the_peers_last_report(listener: Listener) -> None:
    clean(listener, 0, 9)
    ntp = ntp_from_unix(1_700_000_000)
    listener.receiver.on_sender_report(SenderReport(SSRC, ntp, 0, 10, 100), 0.2)
    listener.receiver.on_sender_report(SenderReport(SSRC + 1, 0, 0, 10, 100), 0.3)  # somebody else's
    block = listener.receiver.report_block(0.7)
    assert block is not None
    assert (block.ssrc, block.lsr, block.dlsr) == (SSRC, ntp_middle(ntp), 0.5 * 65536)


# -- any network --------------------------------------------------------------------------------------------------


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(
    seq=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    delays=st.lists(st.none() | st.integers(0, 40) | st.integers(0, 250), min_size=1, max_size=60),
    copies=st.sets(st.integers(0, 59)),
)
def test_time_is_kept_whatever_the_network_does(
    seq: int, timestamp: int, delays: list[int | None], copies: set[int]
) -> None:
    """``delays``: ms every packet takes (None: lost), ``copies``: those that come twice; then 2 s without trouble."""
    trouble = len(delays)
    schedule = [(0.02 * index + delay / 1000, index) for index, delay in enumerate(delays) if delay is not None]
    schedule += [(when + 0.007, index) for when, index in schedule if index in copies]
    schedule += [(0.02 * index + 0.25, index) for index in range(trouble, trouble + 113)]
    schedule.sort()
    with numbered_frames():
        listener = Listener()
        for when, index in schedule:
            listener.frame(index, when, seq=seq, timestamp=timestamp)
            stats = listener.receiver.stats
            assert stats.added_delay_ms <= 60 + 60 + 1e-6, "waited 60 ms and guessed 60 ms at the most"
    story = listener.story()
    frames_heard = [name for name, _ in story if isinstance(name, int)]
    assert frames_heard == sorted(set(frames_heard)), "in order, and no frame twice"
    assert frames_heard[-1] == trouble + 112
    # Two seconds after the last trouble no delay is left, and as much was heard as was said.
    assert listener.receiver.stats.added_delay_ms == 0
    first = frames_heard[0]
    assert listener.samples == (trouble + 113 - first) * FRAME
    taken_out = sum(FRAME - count for name, count in story if isinstance(name, int))
    assert taken_out / 24 == pytest.approx(listener.receiver.stats.shortened_ms, abs=1)


def test_real_speech_through_five_percent_loss_sounds_like_itself() -> None:
    packets = browser_packets()
    clear, lossy = Listener(), Listener()
    lost = set(np.random.default_rng(3).choice(np.arange(2, len(packets) - 1), len(packets) // 20, replace=False))
    for index, packet in enumerate(packets):
        clear.packet(opus_rtp(index, packet), index * 0.02)
        if index not in lost:
            lossy.packet(opus_rtp(index, packet), index * 0.02)
    assert clear.samples == lossy.samples == len(packets) * FRAME
    assert snr(bytes(clear.heard), bytes(lossy.heard)) > 8
    stats = lossy.receiver.stats
    assert stats.lost == len(lost)
    assert stats.recovered_ms + stats.concealed_ms == 20 * len(lost)
    assert stats.recovered_ms >= 80
