"""G.711 by tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.media.helpers import snr, tone

from perhop.media.g711 import ALAW_SILENCE, ULAW_SILENCE, alaw_decode, alaw_encode, ulaw_decode, ulaw_encode

LAWS = pytest.mark.parametrize(
    ("encode", "decode"), [(ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)], ids=["ulaw", "alaw"]
)
Convert = Callable[[bytes], bytes]


def levels(decode: Convert) -> list[int]:
    return [int(value) for value in np.frombuffer(decode(bytes(range(256))), "<i2")]


def test_mu_law_levels_are_those_of_the_standard() -> None:
    """ITU-T G.711 table 2a, scaled from 14 to 16 bits."""
    table = levels(ulaw_decode)
    assert [table[code] for code in (0x80, 0x81, 0x8F, 0x9F, 0xFE, 0xFF)] == [32124, 31100, 16764, 8316, 8, 0]
    assert [table[code] for code in (0x00, 0x7E, 0x7F)] == [-32124, -8, 0]


def test_a_law_levels_are_those_of_the_standard() -> None:
    """ITU-T G.711 table 1a, scaled from 13 to 16 bits."""
    table = levels(alaw_decode)
    assert [table[code ^ 0x55] for code in (0xFF, 0xF0, 0xC0, 0x80)] == [32256, 16896, 2112, 8]
    assert [table[code ^ 0x55] for code in (0x7F, 0x00)] == [-32256, -8]


@LAWS
def test_every_code_survives_decoding_and_encoding(encode: Convert, decode: Convert) -> None:
    codes = bytes(range(256))
    again = encode(decode(codes))
    # Mu-law has two codes for zero; the encoder uses one of them.
    assert [code for code in codes if again[code] != code] in ([], [0x7F])


@LAWS
def test_no_other_code_is_nearer_to_any_sample(encode: Convert, decode: Convert) -> None:
    every = np.arange(-32768, 32768)
    chosen = np.frombuffer(decode(encode(every.astype("<i2").tobytes())), "<i2").astype(int)
    ordered = np.array(sorted(set(levels(decode))))
    index = np.searchsorted(ordered, every).clip(1, len(ordered) - 1)
    nearest = np.minimum(abs(ordered[index] - every), abs(ordered[index - 1] - every))
    assert (abs(chosen - every) == nearest).all()


@LAWS
def test_a_tone_keeps_the_quality_of_a_telephone(encode: Convert, decode: Convert) -> None:
    pcm = tone(440, 0.5, rate=8_000)
    assert snr(pcm, decode(encode(pcm))) > 36


def test_silence_is_the_code_senders_use() -> None:
    assert ulaw_encode(bytes(4)) == bytes((ULAW_SILENCE,)) * 2
    assert alaw_encode(bytes(4)) == bytes((ALAW_SILENCE,)) * 2


@LAWS
def test_nothing_becomes_nothing(encode: Convert, decode: Convert) -> None:
    assert encode(b"") == decode(b"") == b""
