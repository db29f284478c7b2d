"""Events about what a response produces: items, their parts, and the deltas of those."""

from __future__ import annotations

from typing import Literal

from perhop.realtime.audio import AudioChunk
from perhop.realtime.events.audio_buffers import decode_audio
from perhop.realtime.events.base import ServerEvent
from perhop.realtime.items import AnyItem
from perhop.realtime.wire import WireModel

__all__ = [
    "ResponseContentPart",
    "ResponseContentPartAdded",
    "ResponseContentPartDone",
    "ResponseFunctionCallArgumentsDelta",
    "ResponseFunctionCallArgumentsDone",
    "ResponseOutputAudioDelta",
    "ResponseOutputAudioDone",
    "ResponseOutputAudioTranscriptDelta",
    "ResponseOutputAudioTranscriptDone",
    "ResponseOutputItemAdded",
    "ResponseOutputItemDone",
    "ResponseOutputTextDelta",
    "ResponseOutputTextDone",
]


class _OfResponse(ServerEvent):
    """About the item at ``output_index`` of a response."""

    response_id: str
    output_index: int


class _OfItem(_OfResponse):
    item_id: str


class _OfPart(_OfItem):
    """About the part at ``content_index`` of an item."""

    content_index: int


class ResponseOutputItemAdded(_OfResponse):
    """An output item started."""

    type: Literal["response.output_item.added"] = "response.output_item.added"
    item: AnyItem


class ResponseOutputItemDone(_OfResponse):
    """An output item is final: completed or incomplete. Clients run function calls on this event."""

    type: Literal["response.output_item.done"] = "response.output_item.done"
    item: AnyItem


class ResponseContentPart(WireModel):
    """A part as it streams. ``type`` is ``audio`` or ``text``, unlike the ``output_…`` of the finished item."""

    type: str
    text: str | None = None
    transcript: str | None = None
    audio: str | None = None


class ResponseContentPartAdded(_OfPart):
    """A part started."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    part: ResponseContentPart


class ResponseContentPartDone(_OfPart):
    """A part is final, also when interrupted."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    part: ResponseContentPart


class ResponseOutputTextDelta(_OfPart):
    """A further piece of text."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str


class ResponseOutputTextDone(_OfPart):
    """The whole text."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    text: str


class ResponseOutputAudioTranscriptDelta(_OfPart):
    """A further piece of what is being said; normally ahead of the audio."""

    type: Literal["response.output_audio_transcript.delta"] = "response.output_audio_transcript.delta"
    delta: str


class ResponseOutputAudioTranscriptDone(_OfPart):
    """All that was said."""

    type: Literal["response.output_audio_transcript.done"] = "response.output_audio_transcript.done"
    transcript: str


class ResponseOutputAudioDelta(_OfPart):
    """Audio, base64. On the hot path it is an :class:`~perhop.realtime.audio.AudioChunk` instead of this object."""

    type: Literal["response.output_audio.delta"] = "response.output_audio.delta"
    delta: str

    def chunk(self) -> AudioChunk:
        """The decoded form.

        Raises:
            ProtocolError: ``delta`` is not base64.
        """
        return AudioChunk(
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            audio=decode_audio(self.delta, param="delta"),
        )


class ResponseOutputAudioDone(_OfPart):
    """No more audio of this part."""

    type: Literal["response.output_audio.done"] = "response.output_audio.done"


class ResponseFunctionCallArgumentsDelta(_OfItem):
    """A further piece of a call's arguments; ``call_id`` is the function_call_id."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    call_id: str
    delta: str


class ResponseFunctionCallArgumentsDone(_OfItem):
    """All arguments of a call."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    call_id: str
    name: str | None = None
    arguments: str
