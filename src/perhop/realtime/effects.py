"""What a :class:`~perhop.realtime.server.RealtimeServer` asks of its host, and what the host tells it in return.

The server is pure: it never recognises, thinks or speaks. It returns *effects*; whoever drives it carries them out
with real engines and feeds what comes of it back in as *brain inputs*, in any order and at any time. Inputs that name
something the server has meanwhile dropped (a cancelled response, a cleared utterance) are ignored. Audio is in the
session's formats, unless the server was told that its host converts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from perhop.realtime.items import Item
from perhop.realtime.mcp.effects import (
    CallMcpTool,
    ListMcpTools,
    McpCallDone,
    McpCallFailed,
    McpListFailed,
    McpToolsListed,
    ReleaseMcpServer,
)

__all__ = [
    "BrainInput",
    "CallMcpTool",
    "CancelResponse",
    "CloseSession",
    "CloseUtterance",
    "Completeness",
    "DropUtterance",
    "Effect",
    "ListMcpTools",
    "McpCallDone",
    "McpCallFailed",
    "McpListFailed",
    "McpToolsListed",
    "OpenUtterance",
    "OutputAudio",
    "OutputDone",
    "OutputFailed",
    "OutputFunctionCall",
    "OutputText",
    "ReleaseMcpServer",
    "StartResponse",
    "Transcribe",
    "Transcript",
    "TranscriptDelta",
    "TranscriptFailed",
    "TurnHint",
    "VoiceActivity",
]

Completeness = Literal["complete", "unknown", "incomplete"]
"""Whether what was said so far is a finished turn, as far as words can tell."""


# -- effects: server → host -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    """Speech began. ``audio`` holds what was buffered since its start, prefix padding included; the host then feeds
    every further appended frame to the recogniser by itself until the utterance is closed or dropped."""

    item_id: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class CloseUtterance:
    """The utterance was committed as ``item_id``: finish recognising and answer with :class:`Transcript`."""

    item_id: str


@dataclass(frozen=True, slots=True)
class DropUtterance:
    """The buffer was cleared: throw the open utterance away, no answer is expected."""

    item_id: str


@dataclass(frozen=True, slots=True)
class Transcribe:
    """A whole utterance at once (manual commit, audio items created by the client): answer with a transcript."""

    item_id: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class StartResponse:
    """Think and speak. Sent once every transcript that ``context`` needs is there.

    Sent again for the same response when the model goes on after MCP calls; the host was through with it before.

    Attributes:
        context: the items the model sees, oldest first; user audio carries its transcript.
        modality: ``audio`` (text is spoken; the host sends text and audio) or ``text``.
        tools: functions as in ``session.tools``, tools of MCP servers among them; ``tool_choice`` as on the wire, but
            never about MCP.
    """

    response_id: str
    context: tuple[Item, ...]
    instructions: str
    modality: Literal["audio", "text"]
    voice: str
    speed: float
    tools: tuple[dict[str, Any], ...]
    tool_choice: str | dict[str, Any]
    max_output_tokens: int | None
    parallel_tool_calls: bool = True


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop producing this response at once; whatever still arrives for it is ignored."""

    response_id: str


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Close the transport after what was sent before, with this WebSocket close code and reason."""

    code: int
    reason: str


Effect = (
    OpenUtterance
    | CloseUtterance
    | DropUtterance
    | Transcribe
    | StartResponse
    | CancelResponse
    | CloseSession
    | ListMcpTools
    | CallMcpTool
    | ReleaseMcpServer
)


# -- brain inputs: host → server --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """Speech probability (0 to 1) of one VAD window ending at ``end_ms`` of session audio time."""

    probability: float
    end_ms: int


@dataclass(frozen=True, slots=True)
class TurnHint:
    """What the words heard so far say about the end of the turn; used by semantic VAD only."""

    item_id: str
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """A further piece of an utterance's text (only from recognisers that never revise)."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """The final text of an utterance; empty when nothing was understood."""

    item_id: str
    text: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    """Recognition failed; the response that waits for it goes on without the words."""

    item_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class OutputText:
    """Text of the reply: transcript deltas when speaking, text deltas otherwise."""

    response_id: str
    text: str


@dataclass(frozen=True, slots=True)
class OutputAudio:
    """Audio of the reply in the session's output format; faster than real time is fine."""

    response_id: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class OutputFunctionCall:
    """The model calls a function, or a tool of an MCP server; ``arguments`` is a JSON object as text."""

    response_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class OutputDone:
    """Everything of this response was given. ``reason`` is set when it was cut short."""

    response_id: str
    reason: Literal["max_output_tokens", "content_filter"] | None = None


@dataclass(frozen=True, slots=True)
class OutputFailed:
    """The engines could not produce the response; it ends ``failed`` with this error."""

    response_id: str
    code: str
    message: str


BrainInput = (
    VoiceActivity
    | TurnHint
    | TranscriptDelta
    | Transcript
    | TranscriptFailed
    | OutputText
    | OutputAudio
    | OutputFunctionCall
    | OutputDone
    | OutputFailed
    | McpToolsListed
    | McpListFailed
    | McpCallDone
    | McpCallFailed
)
