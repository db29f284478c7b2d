"""NTP timestamps as RTCP carries them: 32 bits of seconds since 1900 and 32 bits of fraction (RFC 3550 section 4)."""

from __future__ import annotations

__all__ = [
    "NTP_EPOCH_OFFSET",
    "ntp_from_unix",
    "ntp_middle",
    "seconds_from_short",
    "short_from_seconds",
    "unix_from_ntp",
]

NTP_EPOCH_OFFSET = 2_208_988_800
"""Seconds from 1900-01-01 to 1970-01-01."""


def ntp_from_unix(seconds: float) -> int:
    """The 64-bit NTP timestamp of a Unix time in seconds; wraps in 2036 as the format does."""
    return round((seconds + NTP_EPOCH_OFFSET) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def unix_from_ntp(ntp: int) -> float:
    """The Unix time in seconds of a 64-bit NTP timestamp of the era that ends in 2036."""
    return ntp / (1 << 32) - NTP_EPOCH_OFFSET


def ntp_middle(ntp: int) -> int:
    """The middle 32 bits, which is how LSR refers to a sender report: units of 1/65536 s, wrapping every 18 hours."""
    return (ntp >> 16) & 0xFFFF_FFFF


def short_from_seconds(seconds: float) -> int:
    """A duration in units of 1/65536 s, as DLSR is carried; clamped to what 32 bits hold."""
    return min(max(round(seconds * 65536), 0), 0xFFFF_FFFF)


def seconds_from_short(short: int) -> float:
    """Seconds from a duration in units of 1/65536 s."""
    return short / 65536
