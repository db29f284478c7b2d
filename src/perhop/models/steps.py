"""What a :class:`~perhop.models.scripted.ScriptedModel` can be told to do, one step after another.

>>> script = in_turn(
...     [say("One moment.", ms=300), call("lookup", {"id": 7})],
...     [say("It is seven.", ms=900)],
... )

A *script* is any function from what a response was asked for to its steps; :func:`in_turn` makes one of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.effects import StartResponse

__all__ = [
    "Call",
    "Close",
    "Cut",
    "Emit",
    "Fail",
    "InTurn",
    "Say",
    "Script",
    "ScriptError",
    "Step",
    "Wait",
    "call",
    "close",
    "cut",
    "emit",
    "error",
    "fail",
    "in_turn",
    "say",
    "tone",
    "wait",
    "wait_for",
]


class ScriptError(AssertionError):
    """A session did not go as its script says."""


@dataclass(frozen=True, slots=True)
class Say:
    """Text and its audio.

    Attributes:
        audio: 24 kHz PCM.
        pace: how much faster than real time the audio comes; 0 for all at once.
        piece_ms: length of one delta.
    """

    text: str
    audio: bytes = b""
    pace: float = 0.0
    piece_ms: int = 100

    def pieces(self) -> Iterator[bytes]:
        """The audio in deltas."""
        size = self.piece_ms * BYTES_PER_MS
        for start in range(0, len(self.audio), size):
            yield self.audio[start : start + size]


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments_json(self) -> str:
        """The arguments as they go over the wire."""
        return orjson.dumps(dict(self.arguments)).decode()


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause, or a wait for a client event of this type, at most ``seconds`` long."""

    seconds: float
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Any server event, as JSON; it gets an ``event_id`` unless it has one."""

    event: Mapping[str, Any]

    def json(self, event_id: str) -> bytes:
        """The event as a frame."""
        return orjson.dumps({"event_id": event_id, **self.event})


@dataclass(frozen=True, slots=True)
class Fail:
    """The response ends ``failed`` with this error."""

    code: str = "server_error"
    message: str = "The model failed."


@dataclass(frozen=True, slots=True)
class Cut:
    """The response ends ``incomplete``."""

    reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens"


@dataclass(frozen=True, slots=True)
class Close:
    """The session ends in the middle of the response.

    Attributes:
        code: what a WebSocket is closed with.
        fatal: as in ``ModelSink.on_model_closed``, for a session in process.
    """

    code: int = 1011
    reason: str = "server_error"
    fatal: bool = False


Step = Say | Call | Wait | Emit | Fail | Cut | Close

Script = Callable[[StartResponse], Sequence[Step]]
"""The steps of a response."""


class InTurn:
    """A script that answers the first response with the first list of steps, and so on.

    One object may serve several sessions, which then share what is left of it: so a conversation goes on over sessions.

    Args:
        responses: steps of each response.
        then: steps of every further one; without them a further response fails.
    """

    def __init__(self, responses: Sequence[Sequence[Step]], *, then: Sequence[Step] | None = None) -> None:
        self._responses = list(responses)
        self._then = then

    @property
    def left(self) -> int:
        """Responses nobody has asked for yet."""
        return len(self._responses)

    def __call__(self, request: StartResponse) -> Sequence[Step]:
        """The steps of this response.

        Raises:
            ScriptError: there are none left.
        """
        if self._responses:
            return self._responses.pop(0)
        if self._then is None:
            raise ScriptError(f"the script has no response left for {request.response_id}")
        return self._then


def in_turn(*responses: Sequence[Step], then: Sequence[Step] | None = None) -> InTurn:
    """A script of these responses; see :class:`InTurn`."""
    return InTurn(responses, then=then)


def say(text: str, *, ms: int = 400, audio: bytes | None = None, pace: float = 0.0, piece_ms: int = 100) -> Say:
    """Says ``text``: as this audio, or as a tone of ``ms`` milliseconds."""
    return Say(text, tone(ms) if audio is None else audio, pace, piece_ms)


def call(tool: str, arguments: Mapping[str, Any] | None = None) -> Call:
    """Calls a function."""
    return Call(tool, dict(arguments or {}))


def wait(seconds: float) -> Wait:
    """Lets time pass."""
    return Wait(seconds)


def wait_for(event: str, *, seconds: float = 10.0) -> Wait:
    """Waits until the client sends an event of this type; the response fails when it does not."""
    return Wait(seconds, event)


def emit(type_: str, **fields: Any) -> Emit:
    """Sends any event, also one this version does not know."""
    return Emit({"type": type_, **fields})


def error(code: str, message: str = "Something went wrong; the session goes on.") -> Emit:
    """Sends a recoverable ``error``."""
    detail = {"type": "invalid_request_error", "code": code, "message": message, "param": None, "event_id": None}
    return emit("error", error=detail)


def fail(code: str = "server_error", message: str = "The model failed.") -> Fail:
    """Ends the response ``failed``."""
    return Fail(code, message)


def cut(reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens") -> Cut:
    """Ends the response ``incomplete``."""
    return Cut(reason)


def close(code: int = 1011, reason: str = "server_error", *, fatal: bool = False) -> Close:
    """Ends the session."""
    return Close(code, reason, fatal)


def tone(ms: int) -> bytes:
    """A loud tone of 500 Hz as 24 kHz PCM: speech to :class:`~perhop.models.loudness.LoudIsSpeech`."""
    period = b"\x00\x40" * 24 + b"\x00\xc0" * 24
    return (period * (ms // 2 + 1))[: ms * BYTES_PER_MS]
