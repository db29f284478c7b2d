"""The conversation so far, as a new model session is told it: what was said, called, answered and heard.

Turns are carried as words: the caller's as transcribed (or as audio where no transcript came), the agent's cut to what
was played. A function call is never separated from its output. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import cast

import pybase64

from perhop.call.history import History
from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.items import (
    ITEM_ID_MAX,
    ContentPart,
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    McpCallItem,
    MessageItem,
)

__all__ = ["carried", "short"]

CHARACTERS_A_TOKEN = 4
TOKENS_AN_ITEM = 8
AUDIO_MS_A_TOKEN = 100
"""Rough sizes: budgets need no tokenizer, and every model has another one."""

SPOKEN_MS_A_CHARACTER = 50
"""Fast speech. A model's words run ahead of its audio, so the share that was heard is taken of at least so long."""


def carried(history: History, *, budget: int, audio: Mapping[tuple[str, int], bytes]) -> list[Item]:
    """The items to create, in conversation order, under the ids they have, or :func:`short` ones.

    Args:
        budget: tokens, about; the oldest items beyond it are left out, but never instructions of role ``system``.
        audio: 24 kHz mono s16le of caller turns that have no transcript, by item id and content part.
    """
    items: list[Item] = []
    for item in history.items:
        items += _carry(item, history, audio)
    return [_named(item) for item in _newest(_paired(items), budget)]


def short(name: str) -> str:
    """The name of an item or function call as every model takes it, always the same one; most are short already."""
    return name if len(name) <= ITEM_ID_MAX else f"long_{sha256(name.encode()).hexdigest()[:24]}"


def _named(item: Item) -> Item:
    names = {"id": item.id}
    if isinstance(item, FunctionCallItem | FunctionCallOutputItem):
        names["call_id"] = item.call_id
    if all(name is None or len(name) <= ITEM_ID_MAX for name in names.values()):
        return item
    return item.model_copy(update={key: short(name) for key, name in names.items() if name is not None})


def _carry(item: Item, history: History, audio: Mapping[tuple[str, int], bytes]) -> Sequence[Item]:
    match item:
        case MessageItem(role="assistant"):
            words = _heard(item, history)
            return [_message(item, [ContentPart(type="output_text", text=words)])] if words else []
        case MessageItem():
            item_id = item.id or ""
            parts = [
                carry for index, part in enumerate(item.content) if (carry := _said(part, audio.get((item_id, index))))
            ]
            return [_message(item, parts)] if parts else []
        case FunctionCallItem() if item.status in (None, "completed"):
            return [FunctionCallItem(id=item.id, call_id=item.call_id, name=item.name, arguments=item.arguments)]
        case FunctionCallOutputItem():
            return [FunctionCallOutputItem(id=item.id, call_id=item.call_id, output=item.output)]
        case McpCallItem():
            # Whichever server ran it: to the model it was a function with an outcome.
            call_id = item.id or ""
            outcome = item.output if item.output is not None else '{"error":"the tool failed"}'
            return [
                FunctionCallItem(id=item.id, call_id=call_id, name=item.name, arguments=item.arguments),
                FunctionCallOutputItem(id=f"{call_id}_o", call_id=call_id, output=outcome),
            ]
        case _:
            return []


def _message(item: MessageItem, parts: list[ContentPart]) -> MessageItem:
    return MessageItem(id=item.id, role=item.role, content=parts)


def _said(part: ContentPart, audio: bytes | None) -> ContentPart | None:
    if part.type != "input_audio":
        return part
    if part.transcript:
        return ContentPart(type="input_text", text=part.transcript)
    if audio:
        return ContentPart(type="input_audio", audio=pybase64.b64encode(audio).decode())
    return None


def _heard(item: MessageItem, history: History) -> str:
    """The agent's words, cut to what was played."""
    words = item.text()
    received_ms = history.received_ms(item.id or "")
    heard_ms = history.heard_ms(item.id or "")
    if heard_ms is None and item.status == "incomplete" and received_ms:
        heard_ms = received_ms  # cut off where it was made
    if heard_ms is None:
        return words
    whole_ms = max(received_ms, len(words) * SPOKEN_MS_A_CHARACTER, 1)
    if heard_ms >= whole_ms:
        return words
    end = len(words) * heard_ms // whole_ms
    if not words[end].isspace() and not words[end - 1 : end].isspace():
        end = words.rfind(" ", 0, end)  # not in the middle of a word
    return words[: max(0, end)].rstrip()


def _paired(items: list[Item]) -> list[Item]:
    """Without outputs whose call is not known: a model refuses those."""
    calls = {item.call_id for item in items if isinstance(item, FunctionCallItem)}
    return [item for item in items if not isinstance(item, FunctionCallOutputItem) or item.call_id in calls]


def _newest(items: list[Item], budget: int) -> list[Item]:
    """As many of the newest as fit; a call and its output are one."""
    sizes: dict[str, int] = {}
    for item in items:
        sizes[_unit(item)] = sizes.get(_unit(item), 0) + _tokens(item)
    kept: set[str] = set()
    for item in reversed(items):
        unit = _unit(item)
        if unit in kept:
            continue
        if sizes[unit] > budget and kept:
            break  # the newest is told whatever its size: without it there is nothing to answer
        budget -= sizes[unit]
        kept.add(unit)
    return [item for item in items if _unit(item) in kept or (isinstance(item, MessageItem) and item.role == "system")]


def _unit(item: Item) -> str:
    if isinstance(item, FunctionCallItem | FunctionCallOutputItem):
        return f"call {item.call_id}"
    return f"item {item.id}"


def _tokens(item: Item) -> int:
    characters, audio_ms = 0, 0
    match item:
        case MessageItem():
            for part in item.content:
                characters += len(part.words())
                audio_ms += len(part.audio or "") * 3 // 4 // BYTES_PER_MS
        case FunctionCallItem():
            characters = len(item.name) + len(item.arguments)
        case _:
            characters = len(cast("FunctionCallOutputItem", item).output)
    return TOKENS_AN_ITEM + math.ceil(characters / CHARACTERS_A_TOKEN) + audio_ms // AUDIO_MS_A_TOKEN
