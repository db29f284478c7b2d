"""The official client, ``openai``, towards a Perhop, and what it receives."""

from __future__ import annotations

import asyncio
from typing import Any

from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.browser.server import Server

__all__ = ["openai_client", "until"]

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
_PATIENCE_S = 20.0


def openai_client(server: Server, api_key: str = "sk-anything") -> AsyncOpenAI:
    """The client, with only its base URL changed."""
    return AsyncOpenAI(api_key=api_key, base_url=f"{server.url}/v1", max_retries=0)


async def until(connection: Any, kind: str) -> Any:
    """The next event of this type, validated as every one before it; errors are wanted or wrong."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            event = _EVENTS.validate_json(await connection.recv_bytes())
            if event.type == kind:
                return event
            assert event.type != "error", event
