"""What must hold of everything a Realtime server says and asks for, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from tests.realtime.helpers import OFFICIAL

from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import (
    CallMcpTool,
    CancelResponse,
    CloseUtterance,
    DropUtterance,
    Effect,
    ListMcpTools,
    OpenUtterance,
    StartResponse,
    Transcribe,
)
from perhop.realtime.events import ServerEvent
from perhop.realtime.items import MessageItem
from perhop.realtime.server import Output

DONE_OF = {
    "response.output_text.delta": "response.output_text.done",
    "response.output_audio_transcript.delta": "response.output_audio_transcript.done",
    "response.output_audio.delta": "response.output_audio.done",
}


@dataclass
class SeenItem:
    """An output item as the client saw it."""

    index: int
    may_outlive: bool = False
    """It is an MCP call: it can be approved after its response, and goes on when the caller interrupts."""
    part_open: bool = False
    open: bool = True
    awaited: set[str] = field(default_factory=set)
    """``done`` events its deltas have promised."""


@dataclass
class SeenResponse:
    """A response as client and host saw it."""

    in_conversation: bool
    items: dict[str, SeenItem] = field(default_factory=dict)
    started: bool = False
    stopped: bool = False
    through: bool = False
    done: bool = False
    rounds: int = 0
    """Times the host was asked to go on after MCP calls."""

    @property
    def open(self) -> list[str]:
        """Items that are not done yet, but for MCP calls."""
        return [item_id for item_id, item in self.items.items() if item.open and not item.may_outlive]


class Rules:
    """What must hold whatever happens. Every violation is an AssertionError that names it."""

    def __init__(self, *, official: bool) -> None:
        self.official = official
        self.responses: dict[str, SeenResponse] = {}
        self.live: str | None = None
        self.order: list[str] = []
        self.unfinished: set[str] = set()
        self.gone: set[str] = set()
        self.speech: str | None = None
        self.utterance: str | None = None
        self.now = 0.0
        self.unheard: dict[str, float] = {}
        self.event_ids: set[str] = set()
        self.listings: set[str] = set()
        self.calls: dict[str, str] = {}
        """MCP calls at work, and whose response they are."""
        self.requests: set[str] = set()
        """Approval requests without an answer."""
        self.approvable: set[str] = set()
        """MCP calls that had to be approved."""

    def waits_for(self, response_id: str) -> set[str]:
        """Calls that a response waits for: those at work, unless they had to be approved."""
        return {call for call, owner in self.calls.items() if owner == response_id} - self.approvable

    def watch(self, outputs: list[Output]) -> list[dict[str, Any]]:
        """Checks outputs in order; returns the events among them."""
        frames = []
        for output in outputs:
            if isinstance(output, ServerEvent | AudioChunk):
                data = output.to_json("event_a") if isinstance(output, AudioChunk) else output.to_json()
                frame = orjson.loads(data)
                if self.official:
                    OFFICIAL.validate_python(frame)
                if isinstance(output, ServerEvent):
                    assert frame["event_id"] not in self.event_ids, "event ids are unique"
                    self.event_ids.add(frame["event_id"])
                self.on_event(frame)
                frames.append(frame)
            else:
                self.on_effect(output)
        return frames

    # -- events -------------------------------------------------------------------------------------------------------

    def on_event(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "response.created":
            self.on_created(frame["response"])
        elif kind == "response.done":
            self.on_done(frame["response"])
        elif kind.startswith("response.mcp_call."):
            self.on_call(kind.removeprefix("response.mcp_call."), frame)
        elif kind.startswith("mcp_list_tools."):
            assert frame["item_id"] not in self.gone or kind.endswith(("completed", "failed"))
        elif kind.startswith("response."):
            self.on_output(kind, frame)
        elif kind.startswith("conversation.item.") and "transcription" not in kind:
            self.on_item(kind.removeprefix("conversation.item."), frame)
        elif kind.startswith("input_audio_buffer."):
            self.on_input(kind.removeprefix("input_audio_buffer."), frame)

    def on_created(self, response: dict[str, Any]) -> None:
        assert response["id"] not in self.responses, "a response is created once"
        assert (response["status"], response["output"]) == ("in_progress", [])
        in_conversation = response["conversation_id"] is not None
        self.responses[response["id"]] = SeenResponse(in_conversation)
        if in_conversation:
            assert self.live is None, "at most one response lives in the default conversation"
            self.live = response["id"]

    def on_done(self, response: dict[str, Any]) -> None:
        seen = self.responses[response["id"]]
        assert not seen.done, "exactly one response.done"
        assert not seen.open, "every output item is done before its response, but for calls that still run"
        if response["status"] == "completed":
            assert not self.waits_for(response["id"]), "a response that is not cut short waits for its calls"
        assert [item["id"] for item in response["output"]] == list(seen.items), "response.done holds all output items"
        if seen.started and not seen.through:
            assert seen.stopped, "a host that still works is stopped"
        unfinished = {item_id for item_id, item in seen.items.items() if not item.may_outlive} & self.unfinished
        assert not (seen.in_conversation and unfinished), "every added item is done or deleted"
        assert response["usage"]["total_tokens"] >= 0
        seen.done = True
        if seen.in_conversation:
            assert self.live == response["id"]
            self.live = None

    def on_call(self, kind: str, frame: dict[str, Any]) -> None:
        item_id = frame["item_id"]
        seen = next(seen for seen in self.responses.values() if item_id in seen.items)
        item = seen.items[item_id]
        assert item.may_outlive, "only MCP calls run"
        assert item.open, "a call ends before its item does"
        assert frame["output_index"] == item.index
        if kind == "in_progress":
            assert item_id not in self.calls, "a call runs once"

    def on_output(self, kind: str, frame: dict[str, Any]) -> None:
        seen = self.responses[frame["response_id"]]
        if seen.done:
            assert frame.get("item", {}).get("type") == "mcp_call", "nothing comes after response.done but a call's end"
            assert kind == "response.output_item.done"
        assert seen.started, "nothing of a response comes before the host was asked"
        assert not seen.stopped or kind.endswith(".done"), "a stopped response only closes what is open"
        if kind == "response.output_item.added":
            assert frame["output_index"] == len(seen.items), "output indices count up"
            assert not seen.open, "one output item at a time, but for calls"
            seen.items[frame["item"]["id"]] = SeenItem(frame["output_index"], frame["item"]["type"] == "mcp_call")
            if frame["item"].get("approval_request_id") is not None:
                self.approvable.add(frame["item"]["id"])
            return
        item_id = frame["item"]["id"] if "item" in frame else frame["item_id"]
        item = seen.items[item_id]
        assert item.open, "nothing of an item comes after it is done"
        assert frame["output_index"] == item.index
        if kind == "response.output_item.done":
            assert not item.part_open, "every part is done before its item"
            assert not item.awaited, f"{item.awaited} never came"
            assert item_id not in self.unfinished, "conversation.item.done comes first"
            item.open = False
        elif kind == "response.content_part.added":
            assert not item.part_open
            item.part_open = True
        elif kind == "response.content_part.done":
            assert item.part_open
            assert not item.awaited, f"{item.awaited} never came"
            item.part_open = False
        elif kind.endswith("call_arguments.delta"):
            item.awaited.add(kind.replace("delta", "done"))
        elif kind.endswith(".delta"):
            assert item.part_open, "deltas belong to an open part"
            item.awaited.add(DONE_OF[kind])
        else:
            item.awaited.discard(kind)

    def on_item(self, kind: str, frame: dict[str, Any]) -> None:
        item_id = frame["item"]["id"] if "item" in frame else frame["item_id"]
        if kind == "added":
            assert item_id not in self.order, "an item is added once"
            previous = frame["previous_item_id"]
            self.order.insert(self.order.index(previous) + 1 if previous is not None else 0, item_id)
            self.unfinished.add(item_id)
            if frame["item"]["type"] == "mcp_approval_request":
                self.requests.add(item_id)
        elif kind == "done":
            assert item_id in self.unfinished, "an item is done once, after it was added"
            assert frame["item"].get("status") != "in_progress"
            self.unfinished.discard(item_id)
        elif kind == "deleted":
            self.order.remove(item_id)
            self.unfinished.discard(item_id)
            self.requests.discard(item_id)
            self.gone.add(item_id)
        else:
            assert item_id in self.order

    def on_input(self, kind: str, frame: dict[str, Any]) -> None:
        if kind == "speech_started":
            assert self.speech is None, "one utterance at a time"
            self.speech = frame["item_id"]
        elif kind == "speech_stopped":
            assert self.speech == frame["item_id"], "speech that stops has started"
        elif kind == "committed":
            assert self.speech in (None, frame["item_id"]), "what was announced is what is committed"
            assert frame["previous_item_id"] == (self.order[-1] if self.order else None)
            self.speech = None
        elif kind == "cleared":
            self.speech = None

    # -- effects ------------------------------------------------------------------------------------------------------

    def on_effect(self, effect: Effect) -> None:
        match effect:
            case OpenUtterance():
                assert self.utterance is None, "the host has one open utterance"
                assert effect.item_id == self.speech
                self.utterance = effect.item_id
            case CloseUtterance():
                assert effect.item_id == self.utterance, "only an open utterance closes"
                self.utterance = None
                self.unheard[effect.item_id] = self.now
            case DropUtterance():
                assert effect.item_id == self.utterance, "only an open utterance is dropped"
                self.utterance = None
            case Transcribe():
                assert effect.item_id not in self.unheard, "an item is recognised once"
                self.unheard[effect.item_id] = self.now
            case StartResponse():
                seen = self.responses[effect.response_id]
                if seen.started:
                    assert seen.through, "a response is started once, or after its host was through"
                    assert not self.waits_for(effect.response_id), "and its calls are too"
                    seen.through = False
                    seen.rounds += 1
                assert not seen.done
                waited = {item.id for item in effect.context} & (self.unheard.keys() - self.gone)
                assert not waited, "a response starts when all words of its context are known"
                for item in effect.context:
                    assert not (isinstance(item, MessageItem) and item.status == "in_progress")
                seen.started = True
            case ListMcpTools():
                assert effect.item_id in self.unfinished
                self.listings.add(effect.item_id)
            case CallMcpTool():
                assert effect.item_id not in self.calls, "a tool is called once"
                owner = next(name for name, seen in self.responses.items() if effect.item_id in seen.items)
                self.calls[effect.item_id] = owner
            case CancelResponse():
                seen = self.responses[effect.response_id]
                assert seen.started, "only what was started is stopped"
                assert not seen.stopped, "and only once"
                assert not seen.through, "and only while it works"
                seen.stopped = True
