"""Phrases of Perhop's own, as audio: made once, shared by all calls."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from perhop.errors import PerhopError
from perhop.realtime.audio import BYTES_PER_MS

__all__ = ["Announcer", "Speak"]

_log = structlog.get_logger(__name__)

Speak = Callable[[str, str], AsyncGenerator[bytes, None]]
"""(text, voice) → 24 kHz mono s16le in pieces of any size; an unknown voice gets another one. Raises PerhopError."""


class Announcer:
    """Says phrases that settings hold; with a synthesiser of this machine's, for when there is no model to say them.

    Args:
        speak: the synthesiser.
        phrases: kept at most, those used last.
        longest_s: what one may last; the rest is cut.
        timeout_s: what making one may take.
    """

    def __init__(self, speak: Speak, *, phrases: int = 64, longest_s: float = 10.0, timeout_s: float = 5.0) -> None:
        self._speak = speak
        self._phrases = phrases
        self._max_bytes = round(longest_s * 1000) * BYTES_PER_MS
        self._timeout_s = timeout_s
        self._made: OrderedDict[tuple[str, str], asyncio.Task[bytes]] = OrderedDict()

    async def audio(self, phrase: str, voice: str) -> bytes:
        """This phrase in this voice, 24 kHz mono s16le; empty when it cannot be made now.

        Any number of calls may ask at once, as they do when a model fails: it is made once.
        """
        wanted = phrase, voice
        making = self._made.get(wanted)
        if making is None:
            making = self._made[wanted] = asyncio.get_running_loop().create_task(self._make(phrase, voice))
            if len(self._made) > self._phrases:
                self._made.popitem(last=False)[1].cancel()
        self._made.move_to_end(wanted)
        try:
            pcm = await asyncio.shield(making)
        except asyncio.CancelledError:
            if not making.cancelled():
                raise  # whoever asked is not interested any more
            return b""
        if not pcm and self._made.get(wanted) is making:
            del self._made[wanted]  # the next one may be luckier
        return pcm

    async def close(self) -> None:
        """Ends what is being made."""
        made, self._made = list(self._made.values()), OrderedDict()
        for task in made:
            task.cancel()
        await asyncio.gather(*made, return_exceptions=True)

    async def _make(self, phrase: str, voice: str) -> bytes:
        pcm = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s), aclosing(self._speak(phrase, voice)) as pieces:
                async for piece in pieces:
                    pcm += piece
                    if len(pcm) >= self._max_bytes:
                        break
        except (PerhopError, TimeoutError) as error:
            _log.warning("a phrase cannot be spoken", error=type(error).__name__)
            return b""
        return bytes(pcm[: self._max_bytes])
