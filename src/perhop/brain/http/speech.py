"""Text to speech by ``POST /audio/speech``."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from perhop.brain.http.endpoint import HttpEndpoint

__all__ = ["HttpSynthesiser"]


class HttpSynthesiser:
    """Passes on the server's PCM, which is 24 kHz mono s16le by definition of the API, as it arrives.

    Args:
        model: as the server names it.
    """

    def __init__(self, endpoint: HttpEndpoint, *, model: str) -> None:
        self._endpoint = endpoint
        self._model = model

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncGenerator[bytes, None]:
        """PCM of ``text`` in whole samples.

        Raises:
            BrainError: see :class:`HttpEndpoint`.
        """
        if not text.strip():
            return
        request = {"model": self._model, "input": text, "voice": voice, "speed": speed, "response_format": "pcm"}
        async with self._endpoint.post("/audio/speech", json=request) as response:
            half = b""
            async for piece in response.aiter_bytes():
                pcm = half + piece
                whole = len(pcm) & ~1
                half = pcm[whole:]
                if whole:
                    yield pcm[:whole]
