"""Frames that nobody should send, by the thousand, through the parser and into a session.

A frame is grown from a valid one: its JSON tree is bent here and there, then its bytes are, sometimes. Whatever comes
of it, nothing but a :class:`ProtocolError` may be raised, what the session says stays valid by the official types, and
no frame takes longer than its size explains.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pybase64
from tests.realtime.helpers import counted_ids, frame, pcm

from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import (
    CloseUtterance,
    ListMcpTools,
    McpToolsListed,
    OutputAudio,
    OutputDone,
    OutputFunctionCall,
    OutputText,
    StartResponse,
    Transcribe,
    Transcript,
    VoiceActivity,
)
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import ClientEvent, ServerEvent, parse_client_event
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.server import Output, RealtimeServer, ServerLimits
from perhop.realtime.session import SessionConfig

__all__ = ["CRASHERS", "SEEDS", "Fuzzer", "Tally"]

CRASHERS = Path(__file__).parent / "fixtures" / "frames"
"""Frames that once crashed something, each under the name of what it was about."""

FIXED_S = 0.03
PER_BYTE_S = 1e-7
"""What a frame may cost: far more than it does, far less than anything that is not linear."""

SESSION_FRAMES = 300
"""Frames one session gets before a new one begins."""

CLIP = pybase64.b64encode_as_string(pcm(120))


def _said(role: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts), **fields}


TEXT = {"type": "input_text", "text": "hi"}
MESSAGE = _said("user", TEXT, id="item_a")
FUNCTION = {
    "type": "function",
    "name": "find",
    "description": "Finds.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["a", "b"]}}},
}
MCP = {
    "type": "mcp",
    "server_label": "maps",
    "server_url": "https://maps.example/mcp",
    "headers": {"X-Key": "k"},
    "allowed_tools": {"tool_names": ["seek"], "read_only": True},
    "require_approval": {"always": {"tool_names": ["seek"]}},
}
SESSION = {
    "type": "realtime",
    "model": "m",
    "instructions": "be kind",
    "output_modalities": ["audio"],
    "tools": [FUNCTION, MCP],
    "tool_choice": {"type": "function", "name": "find"},
    "max_output_tokens": 100,
    "tracing": {"workflow_name": "w", "metadata": {"k": "v"}},
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 900}},
    "prompt": {"id": "p", "variables": {"a": "b"}},
    "include": ["item.input_audio_transcription.logprobs"],
    "parallel_tool_calls": False,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "noise_reduction": {"type": "near_field"},
            "transcription": {"model": "m", "language": "en", "keywords": ["a"]},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 5_000},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "v"}, "speed": 1.1},
    },
}
RESPONSE = {
    "conversation": "none",
    "input": [MESSAGE, {"type": "item_reference", "id": "item_a"}],
    "metadata": {"topic": "x"},
    "output_modalities": ["text"],
    "audio": {"output": {"voice": "ash", "format": {"type": "audio/pcma"}}},
    "tools": [FUNCTION],
    "tool_choice": "required",
    "max_output_tokens": "inf",
}

SEEDS: tuple[dict[str, Any], ...] = (
    {"type": "session.update", "event_id": "e1", "session": SESSION},
    {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}}},
    {"type": "session.update", "session": {"type": "transcription", "audio": {"input": {}}}},
    {"type": "input_audio_buffer.append", "audio": CLIP},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {"type": "conversation.item.create", "previous_item_id": "root", "item": MESSAGE},
    {"type": "conversation.item.create", "item": _said("user", {"type": "input_audio", "audio": CLIP})},
    {"type": "conversation.item.create", "item": _said("assistant", {"type": "output_text", "text": "x"})},
    {"type": "conversation.item.create", "item": _said("user", {"type": "input_image", "image_url": "data:"})},
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "call_1", "output": "1"}},
    {"type": "conversation.item.create", "item": {"type": "function_call", "name": "f", "arguments": "{}"}},
    {
        "type": "conversation.item.create",
        "item": {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    },
    {"type": "conversation.item.retrieve", "item_id": "item_1"},
    {"type": "conversation.item.delete", "item_id": "item_a"},
    {"type": "conversation.item.truncate", "item_id": "item_2", "content_index": 0, "audio_end_ms": 100},
    {"type": "response.create", "response": RESPONSE},
    {"type": "response.create", "event_id": "e2"},
    {"type": "response.cancel", "response_id": "resp_1"},
    {"type": "response.cancel"},
)
"""At least one frame of every client event, and of every kind of item."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**63, -(2**63), 1e308, "", " ", "\u0000", "\U0001f600", "auto", "none", "inf",
    "realtime", "transcription", "audio/pcmu", "semantic_vad", "item_1", "item_a", "AAAA", "A" * 5_000, [], {}, [[]],
    [None], {"type": None}, {"type": "message"}, {"": ""}, ["x"] * 200,
)  # fmt: skip
"""Values to put where others belong."""


@dataclass(slots=True)
class Tally:
    """What a run did."""

    frames: int = 0
    accepted: int = 0
    refused: int = 0
    events: int = 0
    slowest_s: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)


class Fuzzer:
    """One run, decided by its seed.

    Args:
        validated: share of the events said that are held against the official types.

    Attributes:
        last: the frame that is being tried, for when it breaks something.
    """

    def __init__(self, seed: int, *, validated: float = 0.05) -> None:
        self.tally = Tally()
        self._validated = validated
        self.last = b""
        self._rng = random.Random(seed)
        self._corpus = [orjson.dumps(seed) for seed in SEEDS] + [path.read_bytes() for path in _crashers()]
        self._begin()

    def run(self, frames: int) -> None:
        """Tries so many frames."""
        for _ in range(frames):
            self.attempt(self._frame())

    def attempt(self, data: bytes) -> None:
        """One frame: parsed, and handled when it is an event."""
        if self.tally.frames % SESSION_FRAMES == 0:
            self._begin()
        self.tally.frames += 1
        self.last = data
        gc.disable()  # its pauses are nobody's fault here
        began = time.thread_time()
        try:
            event = parse_client_event(data)
            outputs = self._server.receive(event, self._now)
        except ProtocolError as error:
            took = time.thread_time() - began
            self._refused(error)
        else:
            took = time.thread_time() - began
            self._handle(event, outputs)
        finally:
            gc.enable()
        self.tally.slowest_s = max(self.tally.slowest_s, took)
        assert took < FIXED_S + PER_BYTE_S * len(data), f"{took:.3f} s for {len(data)} bytes"

    # -- the session --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._now = 0.0
        self._heard_ms = 0
        self._server = RealtimeServer(
            config=SessionConfig.default(kind="transcription" if self._rng.random() < 0.1 else "realtime"),
            now=0.0,
            new_id=counted_ids(),
            limits=ServerLimits(max_items=100),
            transcoded=self._rng.random() < 0.5,
            sighted=self._rng.random() < 0.5,
            mcp=McpRules(hosts=frozenset({"maps.example"})),
        )
        self._take(self._server.start(0.0))

    def _handle(self, event: ClientEvent, outputs: list[Output]) -> None:
        self.tally.accepted += 1
        self._now += self._rng.random()
        assert parse_client_event(event.to_json()).to_json() == event.to_json(), "an event survives the round trip"
        self._take(outputs)
        if self._rng.random() < 0.3:
            self._speak()
        if (deadline := self._server.next_deadline()) is not None and self._rng.random() < 0.1:
            self._now = max(self._now, deadline)
            self._take(self._server.on_timer(self._now))

    def _speak(self) -> None:
        """The caller, so that there is something to interrupt and to answer."""
        for probability in [0.9] * 4 + [0.05] * 8:
            self._heard_ms += 32
            self._take(self._server.append_audio(pcm(32), self._now))
            self._take(self._server.receive(VoiceActivity(probability, self._heard_ms), self._now))

    def _take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, ServerEvent | AudioChunk):
                self.tally.events += 1
                if self._rng.random() < self._validated:
                    frame(output)
            else:
                self._carry_out(output)

    def _carry_out(self, effect: Any) -> None:
        """The host: quick, and sometimes silent."""
        if self._rng.random() < 0.2:
            return
        match effect:
            case CloseUtterance() | Transcribe():
                self._tell(Transcript(effect.item_id, "words"))
            case ListMcpTools():
                self._tell(McpToolsListed(effect.item_id, ()))
            case StartResponse():
                self._tell(OutputText(effect.response_id, "words "))
                self._tell(OutputAudio(effect.response_id, pcm(60)))
                self._tell(OutputFunctionCall(effect.response_id, "find", "{}"))
                self._tell(OutputDone(effect.response_id))
            case _:
                pass

    def _tell(self, said: Any) -> None:
        self._take(self._server.receive(said, self._now))

    def _refused(self, error: ProtocolError) -> None:
        self.tally.refused += 1
        code = error.code or ""
        self.tally.codes[code] = self.tally.codes.get(code, 0) + 1
        assert error.message.endswith((".", "…", ")", "'")), error.message
        assert len(error.message) + len(error.param or "") < 1_000, "an error does not repeat what it was sent"
        frame(error.to_event("event_1"))

    # -- frames -------------------------------------------------------------------------------------------------------

    def _frame(self) -> bytes:
        choose = self._rng.random()
        if choose < 0.1:
            return self._bent_bytes(self._rng.choice(self._corpus))
        tree = deepcopy(self._rng.choice(SEEDS))
        for _ in range(self._rng.choice((0, 1, 1, 2, 4))):
            self._bend(tree)
        data = orjson.dumps(tree, option=orjson.OPT_NON_STR_KEYS)
        return self._bent_bytes(data) if choose < 0.2 else data

    def _bend(self, tree: dict[str, Any]) -> None:
        """Changes one place of a tree."""
        rng = self._rng
        places = list(_places(tree))
        if rng.random() < 0.9:  # an event without its type is not looked at any further
            places = [place for place in places if place[0] is not tree or place[1] != "type"]
        holder, key = rng.choice(places or [(tree, "event_id")])
        match rng.randrange(7):
            case 0:
                holder[key] = deepcopy(rng.choice(ODD))
            case 1 if isinstance(holder, dict):
                holder.pop(key, None)
            case 2 if isinstance(holder, dict):
                holder[rng.choice(("type", "id", "x", "event_id", "audio", "content"))] = deepcopy(rng.choice(ODD))
            case 3:
                other_holder, other_key = rng.choice(list(_places(rng.choice(SEEDS))))
                holder[key] = deepcopy(other_holder[other_key])
            case _ if isinstance(holder, dict) and key not in holder:
                holder[key] = "x"
            case 4 if isinstance(holder[key], list):
                holder[key] = holder[key] * rng.choice((2, 10))
            case 5 if isinstance(holder[key], str) and len(holder[key]) < 100_000:
                holder[key] = holder[key] * rng.choice((0, 2, 100)) + rng.choice(("", "x", "\u2028"))
            case _:
                holder[key] = {"type": holder[key]} if rng.random() < 0.5 else [holder[key]]

    def _bent_bytes(self, data: bytes) -> bytes:
        """Changes a few bytes, wherever they are."""
        rng, bent = self._rng, bytearray(data)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(bent) + 1)
            match rng.randrange(4):
                case 0:
                    bent[place : place + 1] = bytes([rng.randrange(256)])
                case 1:
                    del bent[place : place + rng.randint(1, 20)]
                case 2:
                    bent[place:place] = rng.choice((b'"', b"{", b"[", b",", b"\\u0000", b"\xff", b"1e999", b"NaN"))
                case _:
                    bent[place:place] = bent[max(0, place - rng.randint(1, 60)) : place]
        return bytes(bent)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def _crashers() -> list[Path]:
    return sorted(CRASHERS.glob("*"))
