"""Transcripts as JSON, as text, and as WebVTT for players."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from perhop.workers.transcript.book import Said, Talk

__all__ = ["as_json", "as_text", "as_vtt"]

_WHO = {"caller": "Caller", "agent": "Agent"}
_CHARS_PER_S = 15.0
_SHORTEST_S = 1.0


def as_json(talk: Talk) -> dict[str, Any]:
    """Everything that is known; ``at_s`` counts from the beginning of the call, times are RFC 3339."""
    return {
        "call_id": talk.call_id,
        "agent": talk.agent,
        "began_at": _moment(talk.began_at),
        "ended_at": _moment(talk.ended_at) if talk.ended_at is not None else None,
        "turns": [
            {
                "role": turn.role,
                "text": turn.text,
                "spoken": turn.spoken,
                "at": _moment(turn.said_at),
                "at_s": round(_at_s(talk, turn), 3),
                "heard_ms": turn.heard_ms,
            }
            for turn in talk.turns
        ],
    }


def as_text(talk: Talk) -> str:
    """One line a turn: ``[00:01:02] Caller: Good morning.``"""
    return "".join(
        f"[{_clock(_at_s(talk, turn), millis=False)}] {_WHO[turn.role]}: {_one_line(turn.text)}{_cut(turn)}\n"
        for turn in talk.turns
    )


def as_vtt(talk: Talk, *, first: bool = True) -> str:
    """WebVTT, a cue a turn. A cue begins when the text became known, and lasts as long as it takes to read.

    Args:
        first: begins with the header; further pieces are appended without.
    """
    starts = [_at_s(talk, turn) for turn in talk.turns]
    cues = [
        f"{_clock(start)} --> {_clock(end)}\n<v {_WHO[turn.role]}>{_escaped(_one_line(turn.text))}</v>\n\n"
        for turn, start, end in zip(talk.turns, starts, _ends(talk.turns, starts), strict=True)
    ]
    return ("WEBVTT\n\n" if first else "") + "".join(cues)


def _ends(turns: Sequence[Said], starts: Sequence[float]) -> list[float]:
    ends = []
    for index, (turn, start) in enumerate(zip(turns, starts, strict=True)):
        length = len(turn.text) / _CHARS_PER_S if turn.heard_ms is None else turn.heard_ms / 1000
        end = start + max(length, _SHORTEST_S)
        if index + 1 < len(starts):
            end = min(end, max(starts[index + 1], start + _SHORTEST_S))
        ends.append(end)
    return ends


def _at_s(talk: Talk, turn: Said) -> float:
    return max(0.0, (turn.said_at - talk.began_at).total_seconds())


def _cut(turn: Said) -> str:
    return f" [cut off after {turn.heard_ms / 1000:.1f} s]" if turn.heard_ms is not None else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, *, millis: bool = True) -> str:
    whole, ms = divmod(round(seconds * 1000), 1000)
    minutes, s = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{s:02}" + (f".{ms:03}" if millis else "")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
