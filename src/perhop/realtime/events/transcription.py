"""Events about the words of the caller's audio; asynchronous, matched by ``item_id``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from perhop.realtime.events.base import ServerEvent
from perhop.realtime.wire import JsonObject, WireModel

__all__ = [
    "ConversationItemInputAudioTranscriptionCompleted",
    "ConversationItemInputAudioTranscriptionDelta",
    "ConversationItemInputAudioTranscriptionFailed",
    "ConversationItemInputAudioTranscriptionSegment",
    "TranscriptionError",
    "TranscriptionTokenDetails",
    "UsageDuration",
    "UsageTokens",
]


class UsageDuration(WireModel):
    """Transcription charged by time."""

    type: Literal["duration"] = "duration"
    seconds: float


class TranscriptionTokenDetails(WireModel):
    """What the input tokens were."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


class UsageTokens(WireModel):
    """Transcription charged by tokens."""

    type: Literal["tokens"] = "tokens"
    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: TranscriptionTokenDetails | None = None


def _usage_tag(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("duration", "tokens") else None


TranscriptionUsage = Annotated[
    Annotated[UsageDuration, Tag("<duration>")] | Annotated[UsageTokens, Tag("<tokens>")], Discriminator(_usage_tag)
]


class ConversationItemInputAudioTranscriptionDelta(ServerEvent):
    """A further piece of the transcript."""

    type: Literal["conversation.item.input_audio_transcription.delta"] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: str
    content_index: int | None = None
    delta: str | None = None
    logprobs: list[JsonObject] | None = None


class ConversationItemInputAudioTranscriptionCompleted(ServerEvent):
    """The final transcript."""

    type: Literal["conversation.item.input_audio_transcription.completed"] = (
        "conversation.item.input_audio_transcription.completed"
    )
    item_id: str
    content_index: int
    transcript: str
    usage: TranscriptionUsage | None = None
    languages: list[JsonObject] | None = None
    logprobs: list[JsonObject] | None = None


class TranscriptionError(WireModel):
    """Why there is no transcript; what is not known is left out."""

    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class ConversationItemInputAudioTranscriptionFailed(ServerEvent):
    """There will be no transcript; the conversation goes on."""

    type: Literal["conversation.item.input_audio_transcription.failed"] = (
        "conversation.item.input_audio_transcription.failed"
    )
    item_id: str
    content_index: int
    error: TranscriptionError


class ConversationItemInputAudioTranscriptionSegment(ServerEvent):
    """What one speaker said; ``start`` and ``end`` in seconds of the item's audio."""

    type: Literal["conversation.item.input_audio_transcription.segment"] = (
        "conversation.item.input_audio_transcription.segment"
    )
    item_id: str
    content_index: int
    id: str
    speaker: str
    start: float
    end: float
    text: str
