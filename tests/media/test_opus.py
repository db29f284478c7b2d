"""Opus: round trips, loss, garbage, and what the codec objects promise about themselves."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.media.broken_inputs import names, read
from tests.media.helpers import FRAME, browser_packets, frames, rms, samples, snr, tone, voice

from perhop.media import libopus
from perhop.media.opus import MAX_PACKET_BYTES, OpusDecoder, OpusEncoder, OpusError, has_fec


def best_snr(reference: bytes, heard: bytes, lookahead: int) -> float:
    """SNR once the codec's own delay, known to a few samples, is taken out."""
    return max(snr(reference, heard[2 * shift :]) for shift in range(max(0, lookahead - 8), lookahead + 40))


def test_a_tone_survives_the_default_codec() -> None:
    pcm = tone(440, 1.0)
    with OpusEncoder() as encoder, OpusDecoder() as decoder:
        heard = b"".join(decoder.decode(encoder.encode(frame)) for frame in frames(pcm))
        assert len(heard) == len(pcm)
        assert best_snr(pcm, heard, encoder.lookahead) > 20


def test_low_delay_looks_ahead_less_than_voip() -> None:
    with OpusEncoder() as low, OpusEncoder(application="voip") as voip:
        assert low.lookahead == 60  # 2.5 ms
        assert voip.lookahead > low.lookahead


@pytest.mark.parametrize("ms", [10, 20, 40, 60])
def test_packets_of_any_duration_are_decoded_whole(ms: int) -> None:
    with OpusEncoder(application="voip", bitrate=32_000) as encoder, OpusDecoder() as decoder:
        heard = b"".join(decoder.decode(encoder.encode(frame)) for frame in frames(voice(1.2), ms))
    assert len(heard) == len(voice(1.2))
    assert rms(heard) == pytest.approx(rms(voice(1.2)), rel=0.2)


def test_six_frames_in_one_packet_are_decoded_whole() -> None:
    """A code 3 packet of constant size, as RFC 6716 section 3.2.5 draws it."""
    with OpusEncoder() as encoder:
        single = [encoder.encode(frame) for frame in frames(tone(300, 0.12))]
    size = min(map(len, single))
    packet = bytes((single[0][0] | 3, 6)) + b"".join(one[1:size] for one in single)
    with OpusDecoder() as decoder:
        assert len(decoder.decode(packet)) == 6 * 2 * FRAME


def test_a_stereo_packet_is_mixed_down() -> None:
    left = samples(tone(440, 0.5))
    both = b"".join(int(value).to_bytes(2, "little", signed=True) * 2 for value in left)
    with OpusEncoder(channels=2) as encoder, OpusDecoder() as decoder:
        heard = b"".join(decoder.decode(encoder.encode(both[at : at + 1920])) for at in range(0, len(both), 1920))
    assert best_snr(tone(440, 0.5), heard, 60) > 20


def test_a_packet_of_48_khz_is_decoded_at_24() -> None:
    with OpusEncoder(48_000) as encoder, OpusDecoder() as decoder:
        pcm = tone(440, 0.5, rate=48_000)
        heard = b"".join(decoder.decode(encoder.encode(pcm[at : at + 1920])) for at in range(0, len(pcm), 1920))
    assert best_snr(tone(440, 0.5), heard, 60) > 20


def test_the_packets_that_announce_a_pause_are_decoded() -> None:
    with OpusEncoder(application="voip") as encoder, OpusDecoder() as decoder:
        encoder.set_dtx(True)
        packets = [encoder.encode(frame) for frame in frames(voice(0.5) + bytes(48_000))]
        assert min(map(len, packets)) <= 2
        assert {len(decoder.decode(packet)) for packet in packets} == {2 * FRAME}


def test_concealment_is_nearer_to_the_truth_than_silence() -> None:
    packets = browser_packets()
    with OpusDecoder() as whole, OpusDecoder() as holey:
        silence_error = concealed_error = 0.0
        for index, packet in enumerate(packets):
            truth = whole.decode(packet)
            if index % 11 == 7:
                guess = holey.conceal(20)
                assert len(guess) == 2 * FRAME
                silence_error += rms(truth) ** 2
                concealed_error += float(np.mean((samples(truth) - samples(guess)) ** 2))
            else:
                holey.decode(packet)
    assert concealed_error < 0.8 * silence_error


def test_fec_is_nearer_to_the_truth_than_concealment() -> None:
    packets = browser_packets()
    with OpusDecoder() as whole, OpusDecoder() as guessing, OpusDecoder() as recovering:
        guessed = recovered = 0.0
        missing = False
        before = b""
        for index, packet in enumerate(packets):
            truth = whole.decode(packet)
            if missing:
                guessed += float(np.sum((samples(before) - samples(guessing.conceal(20))) ** 2))
                recovered += float(np.sum((samples(before) - samples(recovering.decode_fec(packet, 20))) ** 2))
            missing = index % 11 == 7 and index + 1 < len(packets) and has_fec(packets[index + 1])
            if not missing:
                guessing.decode(packet)
                recovering.decode(packet)
            before = truth
    assert recovered < 0.5 * guessed


def test_fec_covers_the_end_of_a_longer_hole() -> None:
    with OpusDecoder() as decoder:
        for packet in browser_packets()[:10]:
            decoder.decode(packet)
        assert len(decoder.decode_fec(browser_packets()[13], 60)) == 3 * 2 * FRAME


@pytest.mark.parametrize("ms", [0, -20, 1, 122.5, 1000])
def test_gaps_libopus_cannot_cover_are_refused(ms: float) -> None:
    with OpusDecoder() as decoder, pytest.raises(OpusError):
        decoder.conceal(ms)


@pytest.mark.parametrize("name", names("opus"))
def test_broken_packets_are_refused_and_the_decoder_goes_on(name: str) -> None:
    with OpusDecoder() as decoder:
        decoder.decode(browser_packets()[0])
        with pytest.raises(OpusError):
            decoder.decode(read(name))
        assert len(decoder.decode(browser_packets()[1])) == 2 * FRAME


@given(st.binary(min_size=0, max_size=200))
@example(b"\xff" * 1500)
def test_garbage_raises_nothing_but_opus_errors(data: bytes) -> None:
    with OpusDecoder() as decoder:
        for decode in (lambda: decoder.decode(data), lambda: decoder.decode_fec(data, 20)):
            try:
                pcm = decode()
            except OpusError:
                continue
            assert len(pcm) % 2 == 0
        assert len(decoder.decode(browser_packets()[0])) == 2 * FRAME


def test_the_same_settings_give_the_same_packets_after_a_reset() -> None:
    with OpusEncoder() as encoder:
        first = [encoder.encode(frame) for frame in frames(voice(0.2))]
        encoder.reset()
        assert [encoder.encode(frame) for frame in frames(voice(0.2))] == first


def test_a_reset_decoder_has_forgotten_the_stream() -> None:
    with OpusDecoder() as decoder:
        first = decoder.decode(browser_packets()[0])
        decoder.decode(browser_packets()[5])
        decoder.reset()
        assert decoder.decode(browser_packets()[0]) == first


def test_loss_switches_to_fec_and_its_end_switches_back() -> None:
    with OpusEncoder() as encoder:

        def encoded() -> list[bytes]:
            return [encoder.encode(frame) for frame in frames(voice(1.0))]

        encoder.protect_against_loss(0.02)
        assert (encoder.application, encoder.fec) == ("lowdelay", False)
        encoder.protect_against_loss(0.05)
        assert (encoder.application, encoder.fec) == ("voip", True)
        assert sum(map(has_fec, encoded())) > 10
        encoder.protect_against_loss(0.02)  # between the two thresholds nothing flaps
        assert encoder.application == "voip"
        encoder.protect_against_loss(0.0)
        assert (encoder.application, encoder.fec) == ("lowdelay", False)
        assert not any(map(has_fec, encoded()))


def test_a_switch_of_application_does_not_break_the_sound() -> None:
    """One listener hears a tone go on through both switches."""
    with OpusEncoder() as encoder, OpusDecoder() as decoder:
        heard = []
        for index, frame in enumerate(frames(tone(300, 3.0))):
            if index in (50, 100):
                encoder.protect_against_loss(0.1 if index == 50 else 0.0)
            heard.append(decoder.decode(encoder.encode(frame)))
    usual = rms(tone(300, 1.0))
    assert all(0.4 * usual < rms(frame) < 1.5 * usual for frame in heard[2:])


def test_settings_are_kept_through_a_switch() -> None:
    with OpusEncoder(bitrate=16_000) as switched, OpusEncoder(application="voip") as fresh:
        for encoder in (switched, fresh):
            encoder.set_complexity(5)
            encoder.set_bitrate(24_000)
            encoder.set_fec(True)
            encoder.set_loss(0.1)
        switched.encode(bytes(960))
        switched.set_application("voip")
        for frame in frames(voice(1.0)):
            assert switched.encode(frame) == fresh.encode(frame)


def test_packets_stay_within_a_datagram_at_the_highest_bitrate() -> None:
    with OpusEncoder(48_000, 2, application="audio", bitrate=510_000) as encoder:
        assert len(encoder.encode(bytes(4 * 5760))) <= MAX_PACKET_BYTES


def test_frames_of_a_length_opus_does_not_have_are_refused() -> None:
    with OpusEncoder() as encoder, pytest.raises(OpusError, match="962 bytes"):
        encoder.encode(bytes(962))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(OpusError):
        OpusDecoder(44_100)
    with pytest.raises(OpusError):
        OpusEncoder(44_100)
    with pytest.raises(OpusError):
        OpusEncoder(complexity=11)


def test_closed_codecs_refuse_to_work() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for codec in (encoder, decoder):
        codec.close()
        codec.close()
    decoder.reset()
    for use in (
        lambda: encoder.encode(bytes(960)),
        lambda: encoder.set_bitrate(32_000),
        lambda: encoder.set_application("voip"),
        lambda: decoder.decode(browser_packets()[0]),
        lambda: decoder.conceal(20),
    ):
        with pytest.raises(OpusError, match="closed"):
            use()


def test_codecs_are_freed_when_nobody_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[str] = []
    library = libopus.load()
    for name in ("decoder_destroy", "encoder_destroy"):
        destroy = getattr(library, name)
        monkeypatch.setattr(
            library, name, lambda state, name=name, destroy=destroy: (freed.append(name), destroy(state))
        )
    OpusDecoder()
    OpusEncoder()
    gc.collect()
    assert sorted(freed) == ["decoder_destroy", "encoder_destroy"]


def test_a_call_needs_less_than_200_kb_of_codec() -> None:
    library = ctypes.CDLL(libopus.load().path)
    size = library.opus_decoder_get_size(1) + library.opus_encoder_get_size(1)
    assert size < 100_000
