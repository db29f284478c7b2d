"""Events about the caller's audio on its way in, and the model's on its way out."""

from __future__ import annotations

import binascii
from typing import Literal

import pybase64

from perhop.realtime.errors import ProtocolError
from perhop.realtime.events.base import ClientEvent, ServerEvent

__all__ = [
    "APPEND_MAX_BYTES",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCleared",
    "InputAudioBufferCommit",
    "InputAudioBufferCommitted",
    "InputAudioBufferDtmfEventReceived",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "OutputAudioBufferClear",
    "OutputAudioBufferCleared",
    "OutputAudioBufferStarted",
    "OutputAudioBufferStopped",
    "decode_audio",
]

APPEND_MAX_BYTES = 15 * 1024 * 1024
"""Audio one ``append`` may carry, decoded."""


def decode_audio(encoded: str, *, param: str) -> bytes:
    """Base64 of the wire → bytes.

    Raises:
        ProtocolError: ``invalid_value`` for what is not padded standard base64 (RFC 4648 §4), or is too long.
    """
    if len(encoded) > (APPEND_MAX_BYTES + 2) // 3 * 4:
        raise ProtocolError("invalid_value", f"'{param}' holds more than {APPEND_MAX_BYTES} bytes of audio.", param)
    try:
        return pybase64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        raise ProtocolError("invalid_value", f"'{param}' is not base64.", param) from None


class InputAudioBufferAppend(ClientEvent):
    """Audio in the session's input format, base64. Never acknowledged."""

    type: Literal["input_audio_buffer.append"] = "input_audio_buffer.append"
    audio: str

    def decoded(self) -> bytes:
        """The audio itself.

        Raises:
            ProtocolError: ``invalid_value`` with ``param`` ``audio``, naming this event.
        """
        try:
            return decode_audio(self.audio, param="audio")
        except ProtocolError as error:
            raise error.for_event(self.event_id) from None


class InputAudioBufferClear(ClientEvent):
    """Throws away what was not committed yet."""

    type: Literal["input_audio_buffer.clear"] = "input_audio_buffer.clear"


class InputAudioBufferCommit(ClientEvent):
    """Makes a user item of the buffer. Never creates a response."""

    type: Literal["input_audio_buffer.commit"] = "input_audio_buffer.commit"


class OutputAudioBufferClear(ClientEvent):
    """Drops generated audio that was not played yet (WebRTC and SIP, where the server plays)."""

    type: Literal["output_audio_buffer.clear"] = "output_audio_buffer.clear"


class InputAudioBufferCleared(ServerEvent):
    """Answer to ``input_audio_buffer.clear``."""

    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


class InputAudioBufferCommitted(ServerEvent):
    """The buffer became the user item ``item_id``, which follows ``previous_item_id``."""

    type: Literal["input_audio_buffer.committed"] = "input_audio_buffer.committed"
    item_id: str
    previous_item_id: str | None = None


class InputAudioBufferSpeechStarted(ServerEvent):
    """Speech began, prefix padding included, in ms of all audio of the session; it will become ``item_id``."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    audio_start_ms: int
    item_id: str


class InputAudioBufferSpeechStopped(ServerEvent):
    """Speech ended; ``audio_end_ms`` includes the silence that told so."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    audio_end_ms: int
    item_id: str


class InputAudioBufferTimeoutTriggered(ServerEvent):
    """Nobody spoke for ``idle_timeout_ms``; the silence is committed as ``item_id`` and the model prompts."""

    type: Literal["input_audio_buffer.timeout_triggered"] = "input_audio_buffer.timeout_triggered"
    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class InputAudioBufferDtmfEventReceived(ServerEvent):
    """A key of a telephone keypad: 0-9 * # A-D. The one server event without ``event_id``."""

    type: Literal["input_audio_buffer.dtmf_event_received"] = "input_audio_buffer.dtmf_event_received"
    event: str
    received_at: int


class OutputAudioBufferStarted(ServerEvent):
    """The first audio of the response went out (WebRTC and SIP)."""

    type: Literal["output_audio_buffer.started"] = "output_audio_buffer.started"
    response_id: str


class OutputAudioBufferStopped(ServerEvent):
    """The last audio of the response went out (WebRTC and SIP)."""

    type: Literal["output_audio_buffer.stopped"] = "output_audio_buffer.stopped"
    response_id: str


class OutputAudioBufferCleared(ServerEvent):
    """The rest of the response's audio was dropped (WebRTC and SIP)."""

    type: Literal["output_audio_buffer.cleared"] = "output_audio_buffer.cleared"
    response_id: str
