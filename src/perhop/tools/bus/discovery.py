"""Which tools there are on the bus: what workers say of themselves, and how a gateway reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from perhop.errors import PerhopError
from perhop.tools.base import Effect, JsonObject, Tool
from perhop.tools.bus.base import Bus
from perhop.tools.bus.subjects import ANY

__all__ = ["ToolOffer", "announcement", "discover"]

TOOL = "tool"
"""The metadata of an endpoint that serves a tool."""

TENANT = "tenant"
MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOffer:
    """One tool as workers offer it.

    Attributes:
        worker: its name, as is ``version``.
        tenant: whose calls it takes; ``*`` for everybody's.
        replicas: processes that offer exactly this.
        parameters: JSON Schema of the arguments.
    """

    worker: str
    version: str
    tenant: str
    name: str
    title: str
    description: str
    parameters: Mapping[str, Any] = field(repr=False)
    effect: Effect
    timeout_s: float
    replicas: int = 1


def announcement(tool: Tool, *, tenant: str) -> dict[str, str]:
    """What a worker says of a tool, as metadata of the endpoint that serves it.

    Raises:
        PerhopError: its schema is too large to be told.
    """
    text = json.dumps(
        {
            "name": tool.name,
            "title": tool.title,
            "description": tool.description,
            "parameters": tool.parameters,
            "effect": tool.effect,
            "timeout_s": tool.timeout_s,
        }
    )
    if len(text.encode()) > MAX_BYTES:
        raise PerhopError(f"tool {tool.name}: its schema and description have more than {MAX_BYTES} bytes")
    return {TOOL: text, TENANT: tenant}


async def discover(bus: Bus, *, timeout_s: float = 0.5) -> list[ToolOffer]:
    """All tools that workers offer at the moment, by worker and name; waits ``timeout_s`` for answers.

    Raises:
        BusDownError: there is no connection to the bus.
    """
    found: dict[tuple[str, str, str, str, str], tuple[ToolOffer, int]] = {}
    for service in await bus.services(timeout_s=timeout_s):
        for metadata in service.endpoints.values():
            offer = _offer(service.name, service.version, metadata)
            if offer is not None:
                key = (offer.worker, offer.name, offer.tenant, offer.version, metadata[TOOL])
                found[key] = (offer, found.get(key, (offer, 0))[1] + 1)
    return [replace(offer, replicas=replicas) for _, (offer, replicas) in sorted(found.items(), key=lambda one: one[0])]


def _offer(worker: str, version: str, metadata: Mapping[str, str]) -> ToolOffer | None:
    """None for what is no tool, or does not look like one: others may be on the same bus."""
    text = metadata.get(TOOL, "")
    if not text or len(text) > MAX_BYTES:
        return None
    try:
        body: JsonObject = json.loads(text)
        name, parameters, effect = body["name"], body["parameters"], body["effect"]
        timeout_s = float(body["timeout_s"])
    except (ValueError, KeyError, TypeError):
        return None
    if not (isinstance(name, str) and isinstance(parameters, dict) and effect in ("none", "once")):
        return None
    return ToolOffer(
        worker=worker,
        version=version,
        tenant=metadata.get(TENANT, ANY),
        name=name,
        title=str(body.get("title", "")),
        description=str(body.get("description", "")),
        parameters=parameters,
        effect=effect,
        timeout_s=timeout_s,
    )
