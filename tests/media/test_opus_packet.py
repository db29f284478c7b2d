"""What Opus packets say about themselves, checked against libopus where it can be asked."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.helpers import browser_packets, frames, voice

from perhop.media import libopus
from perhop.media.opus import OpusEncoder, OpusError, has_fec, packet_duration_ms
from perhop.media.opus_packet import is_dtx, packet_samples

toc_and_more = st.binary(min_size=1, max_size=60)


def function(name: str) -> ctypes._NamedFuncPointer:
    """A function of libopus that answers about a packet; older libraries lack some."""
    library = ctypes.CDLL(libopus.load().path)
    if not hasattr(library, name):
        wheel = libopus.inside_pyav()
        if wheel is None or not hasattr(library := ctypes.CDLL(wheel), name):
            pytest.skip(f"no libopus here has {name}")
    found: ctypes._NamedFuncPointer = getattr(library, name)
    return found


@given(toc_and_more)
def test_durations_are_those_libopus_tells(packet: bytes) -> None:
    expected = function("opus_packet_get_nb_samples")(packet, len(packet), 48_000)
    if expected > 0:
        assert packet_samples(packet) == expected
    else:
        with pytest.raises(OpusError):
            packet_samples(packet)


@given(toc_and_more)
def test_fec_is_seen_where_libopus_sees_it(packet: bytes) -> None:
    expected = function("opus_packet_has_lbrr")(packet, len(packet))
    if expected >= 0:  # libopus also refuses packets whose later frames make no sense
        assert has_fec(packet) == bool(expected)


def test_fec_of_real_packets_is_seen() -> None:
    ask = function("opus_packet_has_lbrr")
    seen = [has_fec(packet) for packet in browser_packets()]
    assert seen == [bool(ask(packet, len(packet))) for packet in browser_packets()]
    assert 0.3 < sum(seen) / len(seen) < 1.0
    assert not any(map(has_fec, browser_packets(fec=False)))


@pytest.mark.parametrize("ms", [2.5, 5, 10, 20, 40, 60])
def test_the_encoders_own_packets_last_as_long_as_their_frames(ms: float) -> None:
    with OpusEncoder() as encoder:
        packet = encoder.encode(voice()[: round(48 * ms)])
    assert packet_duration_ms(packet) == ms


def test_a_pause_is_announced_by_a_packet_of_two_bytes_at_most() -> None:
    with OpusEncoder(application="voip") as encoder:
        encoder.set_dtx(True)
        packets = [encoder.encode(frame) for frame in frames(voice(0.2) + bytes(48_000))]
    assert is_dtx(packets[-1])
    assert not is_dtx(packets[5])
