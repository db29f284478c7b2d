"""Tells the bus what happens in calls: transcript, life cycle, statistics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from perhop.call.call import Call
from perhop.call.legs import EndReason
from perhop.call.observer import CallObserver, ToolRun
from perhop.call.turns import Turn
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ConversationItemAdded,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemTruncated,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputTextDone,
    ServerEvent,
)
from perhop.realtime.items import MessageItem
from perhop.tools.bus.subjects import CallEventKind

__all__ = ["BusObserver", "Emit", "TranscriptTap"]

STATS_S = 10.0


class Emit(Protocol):
    """Hands an event to the bus; returns at once. :meth:`perhop.tools.bus.events.CallEvents.emit` does."""

    def __call__(self, tenant: str, call_id: str, kind: CallEventKind, data: Mapping[str, Any]) -> None: ...


class TranscriptTap:
    """What was said in one call, as it becomes known.

    Args:
        emit: takes ``{"type": "said", "role": "caller" | "agent", "item_id", "text", "spoken"}``, or
            ``{"type": "cut", "item_id", "heard_ms"}`` for what the caller did not hear to its end.
    """

    def __init__(self, emit: Callable[[Mapping[str, Any]], None]) -> None:
        self._emit = emit

    def on_event(self, event: ServerEvent) -> None:
        """Picks out what was said."""
        match event:
            case ConversationItemInputAudioTranscriptionCompleted():
                self._said("caller", event.item_id, event.transcript, spoken=True)
            case ConversationItemAdded(item=MessageItem(role="user") as item):
                self._said("caller", item.id or "", item.text(), spoken=False)
            case ResponseOutputAudioTranscriptDone():
                self._said("agent", event.item_id, event.transcript, spoken=True)
            case ResponseOutputTextDone():
                self._said("agent", event.item_id, event.text, spoken=False)
            case ConversationItemTruncated():
                self._emit({"type": "cut", "item_id": event.item_id, "heard_ms": event.audio_end_ms})

    def on_audio(self, chunk: AudioChunk) -> None:
        """Not asked for."""

    def on_ended(self, reason: EndReason) -> None:
        """The life cycle tells."""

    def _said(self, role: str, item_id: str, text: str, *, spoken: bool) -> None:
        if text.strip():
            self._emit({"type": "said", "role": role, "item_id": item_id, "text": text, "spoken": spoken})


class BusObserver(CallObserver):
    """Emits the events of all calls of a process.

    Args:
        emit: see :class:`Emit`.
        stats_s: between two statistics of a call.
    """

    def __init__(self, emit: Emit, *, stats_s: float = STATS_S) -> None:
        self._emit = emit
        self._stats_s = stats_s
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def call_started(self, call: Call) -> None:
        """The first event of a call, and from now on what is said in it."""
        agent = call.agent.name if call.agent is not None else None
        self._tell(call, {"type": "started", "agent": agent, "transport": call.transport, "key": call.key})
        call.attach(TranscriptTap(lambda data: self._emit(call.tenant, call.id, "transcript", data)), own=True)
        self._watch(call)

    def call_ended(self, call: Call) -> None:
        """The last event of a call, with its figures."""
        timer = self._timers.pop(call.id, None)
        if timer is not None:
            timer.cancel()
        figures = call.snapshot()
        self._tell(
            call,
            {
                "type": "ended",
                "reason": call.ended.value if call.ended is not None else None,
                "duration_s": round(figures.duration_s, 3),
                "turns": figures.turns,
                "responses": figures.responses,
                "interruptions": figures.interruptions,
                "tool_calls": figures.tool_calls,
            },
        )

    def turn_ended(self, call: Call, turn: Turn) -> None:
        """A turn was answered, interrupted or given up."""
        first = turn.first_audio_s
        first_ms = round(first * 1e3) if first is not None else None
        self._tell(call, {"type": "turn", "number": turn.number, "outcome": turn.outcome, "first_audio_ms": first_ms})

    def tool_ran(self, call: Call, run: ToolRun) -> None:
        """A tool of the agent was run."""
        ms = round((run.ended_at - run.began_at) * 1e3)
        self._tell(call, {"type": "tool", "name": run.name, "ok": run.ok, "code": run.code, "ms": ms})

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:
        """A new model session took over."""
        self._tell(call, {"type": "renewed", "forced": forced, "gap_ms": round(gap_s * 1e3)})

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:
        """A lost model session was replaced."""
        self._tell(call, {"type": "reconnected", "gap_ms": round(seconds * 1e3), "attempts": attempts})

    def failed_over(self, call: Call, model: str) -> None:
        """Another model took over."""
        self._tell(call, {"type": "failed_over", "model": model})

    def resumed(self, call: Call, *, seconds: float) -> None:
        """A lost caller is back."""
        self._tell(call, {"type": "resumed", "away_ms": round(seconds * 1e3)})

    def audio_lost(self, call: Call, *, seconds: float) -> None:
        """The model never heard some of the caller."""
        self._tell(call, {"type": "audio_lost", "ms": round(seconds * 1e3)})

    def _tell(self, call: Call, data: Mapping[str, Any]) -> None:
        self._emit(call.tenant, call.id, "lifecycle", data)

    def _watch(self, call: Call) -> None:
        self._timers[call.id] = asyncio.get_running_loop().call_later(self._stats_s, self._stats, call)

    def _stats(self, call: Call) -> None:
        if call.ended is not None:
            self._timers.pop(call.id, None)
            return
        figures = call.snapshot()
        data = {
            "duration_s": round(figures.duration_s, 3),
            "turns": figures.turns,
            "epoch": figures.epoch,
            "hop": asdict(figures.hop),
            "client": asdict(figures.client),
        }
        self._emit(call.tenant, call.id, "stats", data)
        self._watch(call)
