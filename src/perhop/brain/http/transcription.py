"""Speech to text by ``POST /audio/transcriptions``."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable

import httpx
from pydantic import BaseModel, ValidationError

from perhop.brain.http.endpoint import HttpEndpoint
from perhop.brain.providers import Expectation, Recognition, Utterance
from perhop.realtime.audio import BYTES_PER_MS, SAMPLE_RATE

__all__ = ["HttpRecogniser"]

_LONGEST = 120_000 * BYTES_PER_MS
"""Of an utterance; what goes beyond it is not sent."""
_SHORTEST = 100 * BYTES_PER_MS
"""Below 0.1 s servers answer with an error."""
_MAX_ANSWER = 1 << 20


class _Answer(BaseModel):
    text: str


class HttpRecogniser:
    """Sends each utterance when it is complete; there are no partial hypotheses.

    Args:
        model: as the server names it.
    """

    def __init__(self, endpoint: HttpEndpoint, *, model: str) -> None:
        self._endpoint = endpoint
        self._model = model

    def open(self, expectation: Expectation, _: Callable[[str], None]) -> Utterance:
        """Starts an utterance."""
        fields = {"model": self._model, "language": expectation.language.split("-")[0], "response_format": "json"}
        if expectation.prompt:
            fields["prompt"] = expectation.prompt
        return _Utterance(self._endpoint, fields)


class _Utterance:
    def __init__(self, endpoint: HttpEndpoint, fields: dict[str, str]) -> None:
        self._endpoint = endpoint
        self._fields = fields
        self._pcm = bytearray()
        self.dropped_bytes = 0

    def feed(self, pcm: bytes) -> None:
        """Adds audio, up to two minutes."""
        room = _LONGEST - len(self._pcm)
        self._pcm += pcm[:room]
        self.dropped_bytes += max(0, len(pcm) - room)

    async def finish(self) -> Recognition:
        """The words the server heard."""
        if len(self._pcm) < _SHORTEST:
            return Recognition("")
        files = {"file": ("speech.wav", _wav(bytes(self._pcm)), "audio/wav")}
        self._pcm.clear()
        async with self._endpoint.post("/audio/transcriptions", data=self._fields, files=files) as response:
            body = await _read(response, self._endpoint)
        try:
            return Recognition(_Answer.model_validate_json(body).text.strip())
        except ValidationError:
            # Without the cause: it quotes the answer.
            raise self._endpoint.invalid("a transcription without text") from None

    def cancel(self) -> None:
        """Throws the utterance away."""
        self._pcm.clear()


async def _read(response: httpx.Response, endpoint: HttpEndpoint) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _MAX_ANSWER:
            raise endpoint.invalid("with more than 1 MiB")
    return bytes(body)


def _wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(pcm)
    return file.getvalue()
