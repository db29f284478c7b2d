"""Arithmetic on RTP's wrapping counters: 16-bit sequence numbers and 32-bit timestamps (RFC 3550 section 5.1)."""

from __future__ import annotations

__all__ = ["seq_add", "seq_delta", "ts_add", "ts_delta"]


def seq_add(seq: int, count: int) -> int:
    """The sequence number ``count`` packets after ``seq`` (before it when negative)."""
    return (seq + count) & 0xFFFF


def seq_delta(seq: int, reference: int) -> int:
    """How many packets ``seq`` is ahead of ``reference``, by the shorter way round: -32768 to 32767."""
    return ((seq - reference + 0x8000) & 0xFFFF) - 0x8000


def ts_add(timestamp: int, ticks: int) -> int:
    """The timestamp ``ticks`` after ``timestamp`` (before it when negative)."""
    return (timestamp + ticks) & 0xFFFFFFFF


def ts_delta(timestamp: int, reference: int) -> int:
    """How many ticks ``timestamp`` is ahead of ``reference``, by the shorter way round."""
    return ((timestamp - reference + 0x80000000) & 0xFFFFFFFF) - 0x80000000
