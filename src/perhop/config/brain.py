"""The built-in Realtime server."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr

from perhop.config.table import Table

__all__ = ["BrainSettings"]


class BrainSettings(Table):
    """``[brain]``: the built-in Realtime server. Each of the three URLs switches one engine to an OpenAI-compatible
    HTTP server (base address that ``/audio/transcriptions``, ``/chat/completions`` or ``/audio/speech`` is added to).

    Attributes:
        language: BCP 47, of recognition and synthesis.
        stt_engines: recogniser processes; 0 takes one per two cores.
        tts_engines: synthesiser processes.
        engine_queue: utterances that may wait for one engine; beyond it they fail with ``engine_overloaded``.
        http_timeout_s: for one request to a configured URL, connection included.
    """

    language: str = "en"
    stt_url: HttpUrl | None = None
    stt_model: str = "whisper-1"
    stt_key: SecretStr | None = None
    llm_url: HttpUrl | None = None
    llm_model: str = "gpt-4o-mini"
    llm_key: SecretStr | None = None
    tts_url: HttpUrl | None = None
    tts_model: str = "tts-1"
    tts_key: SecretStr | None = None
    stt_engines: Annotated[int, Field(ge=0, le=64)] = 1
    tts_engines: Annotated[int, Field(ge=1, le=64)] = 1
    engine_queue: Annotated[int, Field(ge=1, le=1024)] = 32
    http_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0
