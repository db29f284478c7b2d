"""Token counts for ``response.done``, by the rates the API documents: they say what a real model would have charged.

Audio of a caller is one token per 100 ms, audio of the model one per 50 ms, text about one per four characters.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from perhop.realtime.conversation import Entry
from perhop.realtime.events import CachedTokensDetails, InputTokenDetails, OutputTokenDetails, Usage
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, McpCallItem, MessageItem
from perhop.realtime.wire import JsonObject

__all__ = ["IMAGE_TOKENS", "input_details", "output_tokens", "text_tokens", "usage"]

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


def input_details(instructions: str, tools: Iterable[JsonObject], context: Iterable[Entry]) -> InputTokenDetails:
    """Tokens of what the model was shown."""
    characters = len(instructions) + sum(len(orjson.dumps(tool)) for tool in tools)
    audio = images = 0
    for entry in context:
        item = entry.known
        if isinstance(item, MessageItem):
            if item.role == "user":
                audio += _parts(entry.audio_ms, USER_AUDIO_MS)
                characters += sum(len(part.text or "") for part in item.content)
            else:
                audio += _parts(entry.audio_ms, ASSISTANT_AUDIO_MS)
                characters += len(item.text())
            images += sum(IMAGE_TOKENS for part in item.content if part.type == "input_image")
        elif isinstance(item, FunctionCallItem):
            characters += len(item.name) + len(item.arguments)
        elif isinstance(item, FunctionCallOutputItem):
            characters += len(item.output)
        elif isinstance(item, McpCallItem):
            characters += len(item.name) + len(item.arguments) + len(item.output or "")
    return InputTokenDetails(
        text_tokens=text_tokens(characters),
        audio_tokens=audio,
        image_tokens=images,
        cached_tokens=0,
        cached_tokens_details=CachedTokensDetails(text_tokens=0, audio_tokens=0, image_tokens=0),
    )


def usage(heard: InputTokenDetails, said: OutputTokenDetails) -> Usage:
    """Both sides and their sums."""
    input_sum = (heard.text_tokens or 0) + (heard.audio_tokens or 0) + (heard.image_tokens or 0)
    output_sum = (said.text_tokens or 0) + (said.audio_tokens or 0)
    return Usage(
        total_tokens=input_sum + output_sum,
        input_tokens=input_sum,
        output_tokens=output_sum,
        input_token_details=heard,
        output_token_details=said,
    )
