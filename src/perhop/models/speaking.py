"""Producing one response: what the mind says is cut into sentences and spoken while the mind goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import aclosing

from perhop.brain.providers import BrainError, FunctionCall, Mind, Said, SpeechSynthesiser
from perhop.realtime.effects import (
    BrainInput,
    OutputAudio,
    OutputDone,
    OutputFailed,
    OutputFunctionCall,
    OutputText,
    StartResponse,
)

__all__ = ["Speaking", "split_sentences"]

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|\n+")
_LONGEST = 240
"""Characters after which a sentence without an end is spoken anyway, at the last comma or space."""

_AHEAD = 16
"""Pieces the mind may be ahead of the voice."""


def split_sentences(text: str) -> tuple[list[str], str]:
    """Cuts complete sentences off the front of a growing text.

    Returns:
        The sentences, ready to be spoken, and the rest that may still grow.
    """
    sentences: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if text[start : match.start()].strip():
            sentences.append(text[start : match.end()])
            start = match.end()
    rest = text[start:]
    while len(rest) > _LONGEST:
        cut = max(rest.rfind(", ", 0, _LONGEST), rest.rfind("; ", 0, _LONGEST)) + 2
        if cut < 2:
            cut = rest.rfind(" ", 0, _LONGEST) + 1 or _LONGEST
        sentences.append(rest[:cut])
        rest = rest[cut:]
    return sentences, rest


class Speaking:
    """One response on its way from the mind to the server.

    Args:
        feed: takes what was produced, in order.
    """

    def __init__(self, mind: Mind, voice: SpeechSynthesiser, feed: Callable[[BrainInput], None]) -> None:
        self._mind = mind
        self._voice = voice
        self._feed = feed

    async def run(self, request: StartResponse) -> None:
        """Produces the whole response; cancelling this stops mind and voice at once."""
        try:
            if request.modality == "text":
                await self._write(request)
            else:
                await self._speak(request)
        except* BrainError as errors:
            error = _first(errors)
            self._feed(OutputFailed(request.response_id, error.code, str(error)))
        else:
            self._feed(OutputDone(request.response_id))

    async def _write(self, request: StartResponse) -> None:
        async with aclosing(self._mind.respond(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Said):
                    self._feed(OutputText(request.response_id, piece.text))
                else:
                    self._feed(OutputFunctionCall(request.response_id, piece.name, piece.arguments))

    async def _speak(self, request: StartResponse) -> None:
        pieces: asyncio.Queue[Said | FunctionCall | None] = asyncio.Queue(_AHEAD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._think(request, pieces))
            group.create_task(self._voice_all(request, pieces))

    async def _think(self, request: StartResponse, pieces: asyncio.Queue[Said | FunctionCall | None]) -> None:
        rest = ""
        async with aclosing(self._mind.respond(request)) as thoughts:
            async for piece in thoughts:
                if isinstance(piece, FunctionCall):
                    if rest.strip():
                        await pieces.put(Said(rest))
                    rest = ""
                    await pieces.put(piece)
                    continue
                sentences, rest = split_sentences(rest + piece.text)
                for sentence in sentences:
                    await pieces.put(Said(sentence))
        if rest.strip():
            await pieces.put(Said(rest))
        await pieces.put(None)

    async def _voice_all(self, request: StartResponse, pieces: asyncio.Queue[Said | FunctionCall | None]) -> None:
        while (piece := await pieces.get()) is not None:
            if isinstance(piece, FunctionCall):
                self._feed(OutputFunctionCall(request.response_id, piece.name, piece.arguments))
                continue
            self._feed(OutputText(request.response_id, piece.text))
            async with aclosing(self._voice.speak(piece.text, voice=request.voice, speed=request.speed)) as audio:
                async for pcm in audio:
                    self._feed(OutputAudio(request.response_id, pcm))


def _first(errors: BaseExceptionGroup[BrainError]) -> BrainError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
