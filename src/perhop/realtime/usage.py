"""Token counts for ``response.done``, by the rates the API documents: they say what a real model would have charged.

Audio of a caller is one token per 100 ms, audio of the model one per 50 ms, text about one per four characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from perhop.realtime.conversation import Entry
from perhop.realtime.events import CachedTokensDetails, InputTokenDetails, OutputTokenDetails, Usage
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, McpCallItem, MessageItem
from perhop.realtime.wire import JsonObject

__all__ = [
    "ASSISTANT_AUDIO_MS",
    "CHARACTERS",
    "IMAGE_TOKENS",
    "entry_tokens",
    "input_details",
    "output_tokens",
    "sum_of",
    "text_tokens",
    "usage",
]

USER_AUDIO_MS = 100
ASSISTANT_AUDIO_MS = 50
CHARACTERS = 4
IMAGE_TOKENS = 258
"""Flat count for an image whose size nobody looked at."""


def _parts(amount: int, per_token: int) -> int:
    return -(-amount // per_token)


def text_tokens(characters: int) -> int:
    """Tokens of this many characters of text."""
    return _parts(characters, CHARACTERS)


def output_tokens(*, characters: int, audio_ms: int) -> OutputTokenDetails:
    """Tokens of what a response produced."""
    return OutputTokenDetails(text_tokens=text_tokens(characters), audio_tokens=_parts(audio_ms, ASSISTANT_AUDIO_MS))


@dataclass(slots=True)
class _Amount:
    """What items hold, before it is rounded to tokens."""

    characters: int = 0
    audio_tokens: int = 0
    images: int = 0

    def add(self, entry: Entry) -> None:
        item = entry.known
        if isinstance(item, MessageItem):
            if item.role == "user":
                self.audio_tokens += _parts(entry.audio_ms, USER_AUDIO_MS)
                self.characters += sum(len(part.text or "") for part in item.content)
            else:
                self.audio_tokens += _parts(entry.audio_ms, ASSISTANT_AUDIO_MS)
                self.characters += len(item.text())
            self.images += sum(part.type == "input_image" for part in item.content)
        elif isinstance(item, FunctionCallItem):
            self.characters += len(item.name) + len(item.arguments)
        elif isinstance(item, FunctionCallOutputItem):
            self.characters += len(item.output)
        elif isinstance(item, McpCallItem):
            self.characters += len(item.name) + len(item.arguments) + len(item.output or "")


def entry_tokens(entry: Entry) -> int:
    """Tokens of one item."""
    amount = _Amount()
    amount.add(entry)
    return text_tokens(amount.characters) + amount.audio_tokens + amount.images * IMAGE_TOKENS


def input_details(instructions: str, tools: Iterable[JsonObject], context: Iterable[Entry]) -> InputTokenDetails:
    """Tokens of what the model was shown."""
    amount = _Amount(len(instructions) + sum(len(orjson.dumps(tool)) for tool in tools))
    for entry in context:
        amount.add(entry)
    return InputTokenDetails(
        text_tokens=text_tokens(amount.characters),
        audio_tokens=amount.audio_tokens,
        image_tokens=amount.images * IMAGE_TOKENS,
        cached_tokens=0,
        cached_tokens_details=CachedTokensDetails(text_tokens=0, audio_tokens=0, image_tokens=0),
    )


def sum_of(details: InputTokenDetails | OutputTokenDetails) -> int:
    """All tokens of one side."""
    images = details.image_tokens or 0 if isinstance(details, InputTokenDetails) else 0
    return (details.text_tokens or 0) + (details.audio_tokens or 0) + images


def usage(heard: InputTokenDetails, said: OutputTokenDetails) -> Usage:
    """Both sides and their sums."""
    input_sum, output_sum = sum_of(heard), sum_of(said)
    return Usage(
        total_tokens=input_sum + output_sum,
        input_tokens=input_sum,
        output_tokens=output_sum,
        input_token_details=heard,
        output_token_details=said,
    )
