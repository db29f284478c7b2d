"""What one response is to be: the session's settings with the overrides of its ``response.create``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.core import Core
from perhop.realtime.events import ResponseParams
from perhop.realtime.session import SessionConfig
from perhop.realtime.session_fields import AudioFormat, Modality, Tool, Truncation, VoiceId
from perhop.realtime.wire import JsonObject

__all__ = ["ResponsePlan", "asked_voice"]


@dataclass(frozen=True, slots=True)
class ResponsePlan:
    """Settled when the response is created; later session updates do not touch it.

    Attributes:
        in_conversation: its items join the default conversation; False for out-of-band responses.
        bytes_per_ms: of the audio the host gives for it.
        tools: as declared, definitions of MCP servers complete.
    """

    in_conversation: bool
    modality: Modality
    instructions: str
    voice: str
    speed: float
    format: AudioFormat
    bytes_per_ms: int
    tools: Sequence[Tool]
    tool_choice: str | JsonObject
    parallel_tool_calls: bool
    max_output_tokens: int | None
    truncation: Truncation
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, core: Core, params: ResponseParams | None, tools: Sequence[Tool]) -> ResponsePlan:
        """The plan for ``params`` with these tools; what they leave out, or give as null, is the session's."""
        config, asked = core.config, params or ResponseParams()
        output = asked.audio.output if asked.audio else None
        sound = (output.format if output else None) or config.audio.output.format
        parallel = config.parallel_tool_calls if asked.parallel_tool_calls is None else asked.parallel_tool_calls
        limit = asked.max_output_tokens if asked.max_output_tokens is not None else config.max_output_tokens
        return cls(
            in_conversation=asked.conversation != "none",
            modality=asked.output_modalities[0] if asked.output_modalities else config.modality,
            instructions=config.instructions if asked.instructions is None else asked.instructions,
            voice=asked_voice(params) or config.audio.output.voice_name,
            speed=config.audio.output.speed,
            format=sound,
            bytes_per_ms=BYTES_PER_MS if core.transcoded else sound.bytes_per_ms,
            tools=tools,
            tool_choice=_tool_choice(config, asked),
            parallel_tool_calls=parallel is not False,
            max_output_tokens=None if limit == "inf" else limit,
            truncation=config.truncation,
            metadata=asked.metadata,
        )


def asked_voice(params: ResponseParams | None) -> str | None:
    """The voice a ``response.create`` asks for, if any."""
    output = params.audio.output if params and params.audio else None
    voice = output.voice if output else None
    return voice.id if isinstance(voice, VoiceId) else voice


def _tool_choice(config: SessionConfig, asked: ResponseParams) -> str | JsonObject:
    if asked.tool_choice is None:
        return config.tool_choice_wire
    return asked.tool_choice if isinstance(asked.tool_choice, str) else asked.tool_choice.to_dict()
