"""NTP timestamps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.media.ntp import ntp_from_unix, ntp_middle, seconds_from_short, short_from_seconds, unix_from_ntp


def test_the_unix_epoch_is_seventy_years_into_ntp() -> None:
    assert ntp_from_unix(0) >> 32 == 2_208_988_800


@given(st.floats(0, 2_085_978_495))
def test_unix_time_survives_the_round_trip_to_a_microsecond(seconds: float) -> None:
    assert unix_from_ntp(ntp_from_unix(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_the_middle_is_what_a_report_refers_to() -> None:
    assert ntp_middle(0x1122334455667788) == 0x33445566


@given(st.floats(0, 65_000))
def test_short_durations_survive_to_their_resolution(seconds: float) -> None:
    assert seconds_from_short(short_from_seconds(seconds)) == pytest.approx(seconds, abs=1 / 65536)


def test_short_durations_are_clamped_to_what_fits() -> None:
    assert short_from_seconds(-1) == 0
    assert short_from_seconds(1e9) == 0xFFFFFFFF
