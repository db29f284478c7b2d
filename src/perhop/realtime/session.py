"""A session's configuration: defaults, validation, and the documented merge of ``session.update``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from perhop.realtime.errors import ProtocolError
from perhop.realtime.session_extras import PromptReference, Reasoning, Tracing
from perhop.realtime.session_fields import (
    AudioInput,
    AudioSettings,
    FunctionTool,
    McpTool,
    Modality,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
    Transcription,
    Truncation,
)
from perhop.realtime.wire import JsonObject, NullIsDefault, WireModel, clipped

__all__ = [
    "BUILT_IN",
    "DEFAULT_INSTRUCTIONS",
    "DEFAULT_MODEL",
    "MaxTokens",
    "SessionConfig",
    "SessionKind",
    "parse_session",
]

DEFAULT_MODEL = "gpt-realtime"
DEFAULT_INSTRUCTIONS = (
    "You are a friendly assistant on a voice call. Answer in short spoken sentences, ask for one thing at a time, "
    "and say so when you cannot help."
)

MaxTokens = Literal["inf"] | Annotated[int, Field(ge=1, le=4096)]
SessionKind = Literal["realtime", "transcription"]
LogprobsInclude = Literal["item.input_audio_transcription.logprobs"]

BUILT_IN = Transcription(model="built-in")
"""Transcription for which nobody named a model."""

_TRANSCRIPTION_KEYS = frozenset({"type", "audio", "include"})
_MERGED_OBJECTS = (
    ("audio",),
    ("audio", "input"),
    ("audio", "output"),
    ("audio", "input", "transcription"),
    ("audio", "input", "noise_reduction"),
)
"""Objects of which an update changes only the keys it holds; every other value replaces the old one whole."""


def _audio_only() -> list[Modality]:
    return ["audio"]


class SessionConfig(WireModel):
    """The effective configuration of one session, every field at its documented default unless set.

    ``parallel_tool_calls`` and ``reasoning`` belong to newer models and are shown only when somebody set them.
    """

    type: SessionKind = "realtime"
    model: Annotated[str, NullIsDefault] = DEFAULT_MODEL
    output_modalities: Annotated[list[Modality], NullIsDefault, Field(min_length=1, max_length=1)] = Field(
        default_factory=_audio_only
    )
    instructions: Annotated[str, NullIsDefault] = DEFAULT_INSTRUCTIONS
    tools: Annotated[list[Tool], Field(fail_fast=True), NullIsDefault] = Field(default_factory=list)
    tool_choice: Annotated[ToolChoice, NullIsDefault] = "auto"
    max_output_tokens: Annotated[MaxTokens, NullIsDefault] = "inf"
    tracing: Tracing | None = None
    truncation: Annotated[Truncation, NullIsDefault] = "auto"
    prompt: PromptReference | None = None
    audio: Annotated[AudioSettings, NullIsDefault] = AudioSettings()
    include: list[LogprobsInclude] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None

    @field_validator("tools", mode="after")
    @classmethod
    def _tool_names_differ(cls, tools: list[Tool]) -> list[Tool]:
        names = [tool.name for tool in tools if isinstance(tool, FunctionTool)]
        if len(names) != len(set(names)):
            raise ValueError("two tools have the same name")
        return tools

    @classmethod
    def default(cls, *, model: str = DEFAULT_MODEL, kind: SessionKind = "realtime") -> Self:
        """What a session is before anybody configured it. A transcription session has transcription switched on."""
        if kind == "transcription":
            return cls(type=kind, model=model, audio=AudioSettings(input=AudioInput(transcription=BUILT_IN)))
        return cls(type=kind, model=model)

    def merged(self, update: Mapping[str, Any]) -> Self:
        """This configuration with an update applied, as ``session.update`` documents it.

        Only keys that are present change; ``audio.*`` objects merge key by key, lists and other objects replace.
        ``turn_detection`` merges while its type stays the same and starts from that type's defaults otherwise. Null
        clears. ``model`` is fixed when the session starts and silently keeps its value.

        Raises:
            ProtocolError: nothing was applied; ``param`` names the field (``session.…``).
        """
        given = parse_session(_with_turn_detection_type(update, self))
        if given["type"] != self.type:
            raise ProtocolError(
                "invalid_value", f"A {self.type} session cannot become a {given['type']} session.", "session.type"
            )
        given.pop("model", None)
        whole = self.to_dict()
        _merge(whole, given, ())
        return self.parse(whole, strict=True, at="session")

    @property
    def modality(self) -> Modality:
        """What the model answers with."""
        return self.output_modalities[0]

    @property
    def tool_choice_wire(self) -> str | JsonObject:
        """``tool_choice`` as it stands on the wire."""
        choice = self.tool_choice
        return choice.to_dict() if isinstance(choice, ToolChoiceFunction | ToolChoiceMcp) else choice

    def to_wire(self, session_id: str, expires_at: int = 0) -> JsonObject:
        """The full effective ``session`` object of ``session.created`` and ``session.updated``.

        Args:
            expires_at: Unix seconds; 0 where a session is only described (``client_secrets``).
        """
        sound_in, sound_out = self.audio.input, self.audio.output
        detection = sound_in.turn_detection
        heard: JsonObject = {
            "format": sound_in.format.wire(),
            "transcription": sound_in.transcription.to_dict() if sound_in.transcription else None,
            "noise_reduction": sound_in.noise_reduction.to_dict() if sound_in.noise_reduction else None,
            "turn_detection": detection.model_dump(mode="json") if detection else None,
        }
        if self.type == "transcription":
            return {
                "type": self.type,
                "object": "realtime.transcription_session",
                "id": session_id,
                "expires_at": expires_at,
                "audio": {"input": heard},
                "include": self.include,
            }
        wire = self.model_dump(mode="json", include={"type", "model", "output_modalities", "instructions"})
        wire["max_output_tokens"] = self.max_output_tokens
        for name in ("tracing", "prompt", "truncation"):
            wire[name] = _shown(getattr(self, name))
        wire["tools"] = [tool.shown() if isinstance(tool, McpTool) else tool.to_dict() for tool in self.tools]
        wire["tool_choice"] = self.tool_choice_wire
        wire |= {
            "object": "realtime.session",
            "id": session_id,
            "expires_at": expires_at,
            "audio": {
                "input": heard,
                "output": {"format": sound_out.format.wire(), "voice": sound_out.voice_name, "speed": sound_out.speed},
            },
            "include": self.include,
        }
        if self.parallel_tool_calls is not None:
            wire["parallel_tool_calls"] = self.parallel_tool_calls
        if self.reasoning is not None:
            wire["reasoning"] = self.reasoning.to_dict()
        return wire


def _shown(value: object) -> object:
    return value.to_dict() if isinstance(value, WireModel) else value


def parse_session(obj: Mapping[str, Any]) -> JsonObject:
    """Validates a ``session`` object (``session.update``, ``client_secrets``, ``calls``), complete or in part.

    Returns:
        What was given and nothing else, normalised: null where a field goes back to its default has become that
        default.

    Raises:
        ProtocolError: with ``param`` as ``session.…``.
    """
    given = dict(obj)
    if "type" not in given:
        raise ProtocolError("missing_required_parameter", "Missing required parameter: 'session.type'.", "session.type")
    if given["type"] == "transcription":
        audio = given.get("audio")
        nested = [f"audio.{key}" for key in audio if key != "input"] if isinstance(audio, Mapping) else []
        for key in [*(set(given) - _TRANSCRIPTION_KEYS), *nested]:
            message = f"'session.{clipped(key)}' is not a parameter of transcription sessions."
            raise ProtocolError("unknown_parameter", message, f"session.{clipped(key)}")
    return SessionConfig.parse(_with_turn_detection_type(given, None), strict=True, at="session").to_dict()


def _with_turn_detection_type(update: Mapping[str, Any], current: SessionConfig | None) -> JsonObject:
    """``turn_detection`` may leave out its type: it then means the current one, or else ``server_vad``.

    With a current configuration the fields that are not given are filled in from it as well, when the type stays.
    """
    whole = dict(update)
    audio = whole.get("audio")
    heard = audio.get("input") if isinstance(audio, Mapping) else None
    detection = heard.get("turn_detection") if isinstance(heard, Mapping) else None
    if not isinstance(audio, Mapping) or not isinstance(heard, Mapping) or not isinstance(detection, Mapping):
        return whole
    active = current.audio.input.turn_detection if current else None
    kind = detection.get("type", active.type if active else "server_vad")
    base = active.model_dump(mode="json") if active is not None and active.type == kind else {}
    whole["audio"] = {**audio, "input": {**heard, "turn_detection": {**base, **detection, "type": kind}}}
    return whole


def _merge(target: JsonObject, update: Mapping[str, Any], path: tuple[str, ...]) -> None:
    for key, value in update.items():
        old = target.get(key)
        if (*path, key) in _MERGED_OBJECTS and isinstance(value, dict) and isinstance(old, dict):
            _merge(old, value, (*path, key))
        else:
            target[key] = value
