"""Fields of a session that are checked, kept and shown, and change nothing here: tracing, prompt, reasoning.

Clients set them for services that only the original API has. A wrong shape is refused all the same: a session is shown
to every client, and strict ones lose an event whose session they cannot read.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from perhop.realtime.wire import WireModel

__all__ = ["PromptReference", "Reasoning", "Tracing", "TracingSettings"]


class TracingSettings(WireModel):
    """How the original API would name the traces of a session."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: object = None


def _tracing_tag(value: object) -> str:
    return "<word>" if isinstance(value, str) else "<settings>"


Tracing = Annotated[
    Annotated[Literal["auto"], Tag("<word>")] | Annotated[TracingSettings, Tag("<settings>")],
    Discriminator(_tracing_tag),
]


class Reasoning(WireModel):
    """How hard a reasoning model should think."""

    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class _CacheBreakpoint(WireModel):
    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | None = None


class _TextVariable(WireModel):
    type: Literal["input_text"]
    text: str
    prompt_cache_breakpoint: _CacheBreakpoint | None = None


class _ImageVariable(WireModel):
    type: Literal["input_image"]
    detail: Literal["low", "high", "auto", "original"]
    file_id: str | None = None
    image_url: str | None = None
    prompt_cache_breakpoint: _CacheBreakpoint | None = None


class _FileVariable(WireModel):
    type: Literal["input_file"]
    detail: Literal["auto", "low", "high"] | None = None
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: _CacheBreakpoint | None = None


def _variable_tag(value: object) -> str | None:
    if isinstance(value, str):
        return "<word>"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("input_text", "input_image", "input_file") else None


PromptVariable = Annotated[
    Annotated[str, Tag("<word>")]
    | Annotated[_TextVariable, Tag("<input_text>")]
    | Annotated[_ImageVariable, Tag("<input_image>")]
    | Annotated[_FileVariable, Tag("<input_file>")],
    Discriminator(_variable_tag),
]


class PromptReference(WireModel):
    """A prompt stored at the original API."""

    id: Annotated[str, Field(max_length=512)]
    version: str | None = None
    variables: dict[str, PromptVariable] | None = None
