"""Events about a response as a whole, and the objects in them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perhop.realtime.errors import ProtocolError
from perhop.realtime.events.base import ClientEvent, ServerEvent
from perhop.realtime.items import AnyItem, ItemReference, ResponseInputItem
from perhop.realtime.items_check import check_client_item
from perhop.realtime.session import MaxTokens
from perhop.realtime.session_extras import PromptReference, Reasoning
from perhop.realtime.session_fields import AudioFormat, Modality, Tool, ToolChoice, VoiceId
from perhop.realtime.wire import JsonObject, WireModel

__all__ = [
    "CachedTokensDetails",
    "InputTokenDetails",
    "OutputTokenDetails",
    "Response",
    "ResponseAudio",
    "ResponseAudioOutput",
    "ResponseCancel",
    "ResponseCreate",
    "ResponseCreated",
    "ResponseDone",
    "ResponseFailure",
    "ResponseParams",
    "ResponseParamsAudio",
    "ResponseParamsAudioOutput",
    "ResponseStatus",
    "StatusDetails",
    "Usage",
]

ResponseStatus = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]

MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]


# -- client events ----------------------------------------------------------------------------------------------------


class ResponseParamsAudioOutput(WireModel):
    """Audio settings of one response; absent ones are the session's."""

    format: AudioFormat | None = None
    voice: str | VoiceId | None = None


class ResponseParamsAudio(WireModel):
    """Audio settings of one response."""

    output: ResponseParamsAudioOutput | None = None


class ResponseParams(WireModel):
    """Overrides for one response; absent or null fields are the session's.

    Attributes:
        conversation: ``auto`` is the default conversation, ``none`` an out-of-band response that leaves no items.
        input: replaces the conversation as context; an empty list is no context at all.
        metadata: comes back in ``response.created`` and ``response.done``.
    """

    conversation: Literal["auto", "none"] | None = None
    input: Annotated[list[ResponseInputItem], Field(fail_fast=True)] | None = None
    instructions: str | None = None
    output_modalities: Annotated[list[Modality], Field(min_length=1, max_length=1)] | None = None
    audio: ResponseParamsAudio | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    max_output_tokens: MaxTokens | None = None
    metadata: Metadata | None = None
    prompt: PromptReference | None = None
    reasoning: Reasoning | None = None
    parallel_tool_calls: bool | None = None


class ResponseCreate(ClientEvent):
    """Asks the model to answer."""

    type: Literal["response.create"] = "response.create"
    response: ResponseParams | None = None

    def check(self) -> None:
        items = self.response.input if self.response else None
        for index, item in enumerate(items or ()):
            at = f"response.input[{index}]"
            if not isinstance(item, ItemReference):
                check_client_item(item, at=at)
            elif not item.id:
                raise ProtocolError("invalid_value", f"'{at}.id' must not be empty.", f"{at}.id")


class ResponseCancel(ClientEvent):
    """Stops the response named, or else the one of the default conversation."""

    type: Literal["response.cancel"] = "response.cancel"
    response_id: str | None = None


# -- the response object ----------------------------------------------------------------------------------------------


class CachedTokensDetails(WireModel):
    """Cached input tokens by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class InputTokenDetails(WireModel):
    """Input tokens by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: CachedTokensDetails | None = None


class OutputTokenDetails(WireModel):
    """Output tokens by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


class Usage(WireModel):
    """What a response cost, in tokens."""

    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


class ResponseFailure(WireModel):
    """Why a response failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


class StatusDetails(WireModel):
    """Why a response ended as it did.

    Attributes:
        reason: ``turn_detected`` or ``client_cancelled`` (cancelled), ``max_output_tokens`` or ``content_filter``
            (incomplete).
    """

    type: str | None = None
    reason: str | None = None
    error: ResponseFailure | None = None


class ResponseAudioOutput(WireModel):
    """How a response sounds; ``voice`` is always a plain string here."""

    format: JsonObject | None = None
    voice: str | None = None


class ResponseAudio(WireModel):
    """How a response sounds."""

    output: ResponseAudioOutput | None = None


class Response(WireModel):
    """A response as ``response.created`` and ``response.done`` show it; ``output`` never carries audio bytes."""

    object: str | None = None
    id: str | None = None
    status: ResponseStatus | None = None
    status_details: StatusDetails | None = None
    output: list[AnyItem] | None = None
    conversation_id: str | None = None
    output_modalities: list[str] | None = None
    max_output_tokens: int | Literal["inf"] | None = None
    audio: ResponseAudio | None = None
    usage: Usage | None = None
    metadata: dict[str, str] | None = None


# -- server events ----------------------------------------------------------------------------------------------------


class ResponseCreated(ServerEvent):
    """A response began: ``in_progress``, no output yet."""

    type: Literal["response.created"] = "response.created"
    response: Response


class ResponseDone(ServerEvent):
    """A response ended; sent exactly once, whatever the outcome."""

    type: Literal["response.done"] = "response.done"
    response: Response
