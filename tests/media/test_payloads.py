"""Payload decoders: what the receiver relies on, for every codec."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.helpers import FRAME, browser_packets, rms, snr, tone

from perhop.errors import PerhopError
from perhop.media.g711 import alaw_encode, ulaw_encode
from perhop.media.payloads import Codec, PayloadError, open_payload

CODECS: list[Codec] = ["opus", "pcmu", "pcma"]
EVERY_CODEC = pytest.mark.parametrize("codec", CODECS)


def payload(codec: Codec) -> bytes:
    """20 ms of something."""
    return {
        "opus": browser_packets()[3],
        "pcmu": ulaw_encode(tone(400, 0.02, rate=8_000)),
        "pcma": alaw_encode(tone(400, 0.02, rate=8_000)),
    }[codec]


@EVERY_CODEC
def test_a_payload_decodes_to_as_much_as_it_says(codec: Codec) -> None:
    decoder = open_payload(codec)
    assert decoder.duration(payload(codec)) == FRAME
    assert len(decoder.decode(payload(codec))) == 2 * FRAME
    decoder.close()


@EVERY_CODEC
@given(missing=st.integers(1, 2880))
def test_any_hole_is_covered_to_the_sample(codec: Codec, missing: int) -> None:
    decoder = open_payload(codec)
    decoder.decode(payload(codec))
    assert len(decoder.conceal(missing)) == 2 * missing
    assert len(decoder.recover(payload(codec), missing)) == 2 * missing
    assert len(decoder.decode(payload(codec))) == 2 * FRAME
    decoder.close()


@EVERY_CODEC
@given(garbage=st.binary(min_size=1, max_size=2000))
def test_garbage_raises_nothing_but_our_errors(codec: Codec, garbage: bytes) -> None:
    decoder = open_payload(codec)
    with contextlib.suppress(PerhopError):
        assert len(decoder.decode(garbage)) == 2 * decoder.duration(garbage)
    decoder.recoverable(garbage)
    assert len(decoder.decode(payload(codec))) == 2 * FRAME
    decoder.close()


@pytest.mark.parametrize(("codec", "encode"), [("pcmu", ulaw_encode), ("pcma", alaw_encode)])
def test_a_telephone_is_heard_at_the_models_rate(codec: Codec, encode: type[bytes]) -> None:
    decoder = open_payload(codec)
    narrow = tone(440, 0.5, rate=8_000)
    heard = b"".join(decoder.decode(encode(narrow[at : at + 320])) for at in range(0, len(narrow), 320))
    delay = 2 * 42  # 1.75 ms
    assert snr(tone(440, 0.5)[: len(heard) - delay], heard[delay:]) > 30


@EVERY_CODEC
def test_a_hole_in_a_loud_stream_is_not_silent(codec: Codec) -> None:
    decoder = open_payload(codec)
    for _ in range(5):
        said = decoder.decode(payload(codec))
    assert rms(decoder.conceal(FRAME)) > 0.2 * rms(said)
    decoder.close()


def test_a_packet_of_g711_may_not_be_longer_than_200_ms() -> None:
    with pytest.raises(PayloadError):
        open_payload("pcmu").decode(bytes(1601))


def test_only_opus_carries_copies() -> None:
    opus = open_payload("opus")
    assert any(map(opus.recoverable, browser_packets()))
    assert not open_payload("pcmu").recoverable(payload("pcmu"))
    opus.close()
