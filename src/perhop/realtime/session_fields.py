"""The building blocks of a session's configuration, as they stand on the wire.

Every field has its documented default and an explicit null sets it back to that default, unless null has a meaning
of its own (``turn_detection: null`` is manual turns). Validating a *part* of a configuration with these models and
writing only what was set gives that part back, normalised: that is how updates are merged.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from perhop.realtime.wire import JsonObject, NullIsDefault, WireModel

__all__ = [
    "DEFAULT_VOICE",
    "AudioFormat",
    "AudioFormatType",
    "AudioInput",
    "AudioOutput",
    "AudioSettings",
    "Eagerness",
    "FunctionTool",
    "McpApprovalFilter",
    "McpTool",
    "McpToolFilter",
    "Modality",
    "NoiseReduction",
    "RetentionRatio",
    "SemanticVad",
    "ServerVad",
    "TokenLimits",
    "Tool",
    "ToolChoice",
    "ToolChoiceFunction",
    "ToolChoiceMcp",
    "Transcription",
    "Truncation",
    "TurnDetection",
    "VoiceId",
]

DEFAULT_VOICE = "alloy"

AudioFormatType = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
Eagerness = Literal["low", "medium", "high", "auto"]
Modality = Literal["audio", "text"]

HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e]{0,8192}$")]

_HEADERS_OF_TRANSPORT = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-protocol-version",
        "mcp-session-id",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that the connection to an MCP server sets by itself."""

Flag = Annotated[bool, NullIsDefault]


class AudioFormat(WireModel):
    """``audio/pcm`` is 24 kHz mono s16le; ``audio/pcmu`` and ``audio/pcma`` are G.711 at 8 kHz (RFC 3551)."""

    type: Annotated[AudioFormatType, NullIsDefault] = "audio/pcm"
    rate: int | None = None

    @model_validator(mode="after")
    def _rate_fits(self) -> Self:
        expected = 24_000 if self.type == "audio/pcm" else 8_000
        if self.rate not in (None, expected):
            raise ValueError(f"the rate of {self.type} is {expected} Hz")
        return self

    @property
    def bytes_per_ms(self) -> int:
        """Bytes of one millisecond."""
        return 48 if self.type == "audio/pcm" else 8

    def wire(self) -> JsonObject:
        """As the API shows it: with a rate for PCM, without for G.711."""
        return {"type": self.type, "rate": 24_000} if self.type == "audio/pcm" else {"type": self.type}


class NoiseReduction(WireModel):
    """Accepted and shown; what is done about noise is the edge's business."""

    type: Literal["near_field", "far_field"] = "near_field"
    strength: float | None = None


class Transcription(WireModel):
    """How the caller's words are written down for the client. Any model name is fine."""

    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class ServerVad(WireModel):
    """Turns end after a fixed silence.

    Attributes:
        threshold: speech probability that counts as speech, 0 to 1.
        prefix_padding_ms: audio kept from before the speech.
        silence_duration_ms: silence that ends the turn.
        idle_timeout_ms: after this long without speech the model speaks first; 5,000 to 30,000.
    """

    type: Literal["server_vad"] = "server_vad"
    threshold: Annotated[float, NullIsDefault, Field(ge=0.0, le=1.0)] = 0.5
    prefix_padding_ms: Annotated[int, NullIsDefault, Field(ge=0, le=10_000)] = 300
    silence_duration_ms: Annotated[int, NullIsDefault, Field(ge=0, le=60_000)] = 200
    idle_timeout_ms: Annotated[int, Field(ge=5_000, le=30_000)] | None = None
    create_response: Flag = True
    interrupt_response: Flag = True


class SemanticVad(WireModel):
    """Turns end when the words are a finished thought, or after a wait that ``eagerness`` caps."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Annotated[Eagerness, NullIsDefault] = "auto"
    create_response: Flag = True
    interrupt_response: Flag = True


def _vad_tag(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("server_vad", "semantic_vad") else None


TurnDetection = Annotated[
    Annotated[ServerVad, Tag("<server_vad>")] | Annotated[SemanticVad, Tag("<semantic_vad>")], Discriminator(_vad_tag)
]


class AudioInput(WireModel):
    """The caller's audio."""

    format: Annotated[AudioFormat, NullIsDefault] = AudioFormat()
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad()


class VoiceId(WireModel):
    """A custom voice."""

    id: str


class AudioOutput(WireModel):
    """The model's audio. ``speed`` is 0.25 to 1.5."""

    format: Annotated[AudioFormat, NullIsDefault] = AudioFormat()
    voice: Annotated[str | VoiceId, NullIsDefault] = DEFAULT_VOICE
    speed: Annotated[float, NullIsDefault, Field(ge=0.25, le=1.5)] = 1.0

    @property
    def voice_name(self) -> str:
        """The voice as one string, which is how responses show it."""
        return self.voice if isinstance(self.voice, str) else self.voice.id


class AudioSettings(WireModel):
    """Both directions."""

    input: Annotated[AudioInput, NullIsDefault] = AudioInput()
    output: Annotated[AudioOutput, NullIsDefault] = AudioOutput()


# -- tools ------------------------------------------------------------------------------------------------------------


class FunctionTool(WireModel):
    """A function the model may call; ``parameters`` is a JSON schema and may carry extensions (``x-…``)."""

    type: Literal["function"] = "function"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class McpToolFilter(WireModel):
    """Some tools of an MCP server: those named, those that say they only read, or what is both."""

    tool_names: list[str] | None = None
    read_only: bool | None = None


class McpApprovalFilter(WireModel):
    """Which tools need the client's approval."""

    always: McpToolFilter | None = None
    never: McpToolFilter | None = None


class McpTool(WireModel):
    """An MCP server whose tools the model server runs itself.

    ``authorization`` and ``headers`` are secrets: sessions are shown without them.
    """

    type: Literal["mcp"] = "mcp"
    server_label: Annotated[str, Field(min_length=1, max_length=256)]
    server_url: str | None = None
    server_description: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    authorization: Annotated[HeaderValue | None, Field(repr=False)] = None
    headers: Annotated[dict[HeaderName, HeaderValue] | None, Field(repr=False)] = None
    allowed_tools: list[str] | McpToolFilter | None = None
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    require_approval: Literal["always", "never"] | McpApprovalFilter | None = None
    defer_loading: bool | None = None

    @model_validator(mode="after")
    def _says_where_once(self) -> Self:
        if self.server_url is not None and self.connector_id is not None:
            raise ValueError("it should have a server_url or a connector_id, not both")
        names = {name.lower() for name in self.headers or {}}
        if self.authorization is not None and "authorization" in names:
            raise ValueError("it should have authorization or a header of that name, not both")
        if taken := sorted(names & _HEADERS_OF_TRANSPORT):
            raise ValueError(f"the header {taken[0]} cannot be set")
        return self

    def shown(self) -> JsonObject:
        """As sessions show it."""
        return {key: value for key, value in self.to_dict().items() if key not in ("authorization", "headers")}


def _tool_tag(value: object) -> str | None:
    kind = value.get("type", "function") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("function", "mcp") else None


Tool = Annotated[
    Annotated[FunctionTool, Tag("<function>")] | Annotated[McpTool, Tag("<mcp>")], Discriminator(_tool_tag)
]


class ToolChoiceFunction(WireModel):
    """The model must call this function."""

    type: Literal["function"] = "function"
    name: str


class ToolChoiceMcp(WireModel):
    """The model must use this MCP server."""

    type: Literal["mcp"] = "mcp"
    server_label: str
    name: str | None = None


def _choice_tag(value: object) -> str | None:
    if isinstance(value, str):
        return "<word>"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("function", "mcp") else None


ToolChoice = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("<word>")]
    | Annotated[ToolChoiceFunction, Tag("<function>")]
    | Annotated[ToolChoiceMcp, Tag("<mcp>")],
    Discriminator(_choice_tag),
]


class TokenLimits(WireModel):
    """``post_instructions``: most tokens of the conversation, beside instructions and tools."""

    post_instructions: Annotated[int, Field(ge=0)] | None = None


class RetentionRatio(WireModel):
    """Truncation that keeps this share of the context when it overflows."""

    type: Literal["retention_ratio"] = "retention_ratio"
    retention_ratio: Annotated[float, Field(ge=0.0, le=1.0)]
    token_limits: TokenLimits | None = None

    @property
    def post_instructions(self) -> int | None:
        """Most tokens of the conversation; None for as many as the model takes."""
        return self.token_limits.post_instructions if self.token_limits else None


def _truncation_tag(value: object) -> str | None:
    if isinstance(value, str):
        return "<word>"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "<retention_ratio>" if kind == "retention_ratio" else None


Truncation = Annotated[
    Annotated[Literal["auto", "disabled"], Tag("<word>")] | Annotated[RetentionRatio, Tag("<retention_ratio>")],
    Discriminator(_truncation_tag),
]
"""What becomes of a conversation that outgrows the model."""
