"""A generated catalogue: 37 agents and 90 tools, and a worker that serves them all."""

from __future__ import annotations

from collections import Counter
from typing import Any

from perhop.tools.base import JsonObject, Tool, ToolContext
from perhop.tools.function import FunctionTool
from perhop.workers.sdk import Worker

__all__ = ["AGENTS", "ARGUMENTS", "TOOLS", "WITH_TOOLS", "catalogue", "tool_names", "worker"]

AGENTS, TOOLS = 37, 90
WITH_TOOLS = "agent_00"
"""The agent that is the same in a catalogue of any size."""

ARGUMENTS: JsonObject = {"name": "Ada", "guests": 2, "day": "2026-03-01"}

_SHARED = 6
_DOMAINS = ("booking", "billing", "contact", "order", "room", "menu", "route", "claim", "visit")


def tool_names(count: int = TOOLS) -> list[str]:
    """Names of the generated tools; every second one is described by its table, the others by the worker."""
    return [f"{_DOMAINS[number % len(_DOMAINS)]}_{number:02}" for number in range(count)]


def catalogue(agents: int = AGENTS, tools: int = TOOLS) -> dict[str, Any]:
    """As a settings file would have it. Every tool is some agent's; each agent shares six with others.

    Args:
        agents: how many; the first is the same whatever the number, and only tools that some agent has are there.
        tools: how many for all 37.
    """
    names = tool_names(tools)
    references = [name if number % 2 == 0 else f"bus:{name}" for number, name in enumerate(names)]
    own = {number: references[_SHARED:][number::AGENTS] for number in range(agents)}
    used = {*references[:_SHARED], *(reference for mine in own.values() for reference in mine)}
    return {
        "agents": [
            {
                "name": f"agent_{number:02}",
                "title": f"Agent {number}",
                "model": "echo",
                "voice": ("cedar", "marin", "ash")[number % 3],
                "instructions": f"You answer for desk {number}. " + "Speak in short and friendly sentences. " * 20,
                "greeting": "Good morning, how can I help you?",
                "languages": ["en", "es"],
                "tools": [*references[:_SHARED], *own[number]],
                "turn_detection": {"type": "semantic_vad"},
            }
            for number in range(agents)
        ],
        "tools": {
            name: {
                "kind": "bus",
                "description": f"Does number {number} of what {name.partition('_')[0]} has to do.",
                "effect": _effect(number),
                "parameters": {
                    "properties": {
                        "name": {"type": "string", "maxLength": 100, "description": "Whose."},
                        "guests": {"type": "integer", "minimum": 1, "maximum": 20},
                        "day": {"type": "string", "format": "date"},
                    },
                    "required": ["name", "guests", "day"],
                },
            }
            for number, name in enumerate(names)
            if name in used
        },
    }


def worker(runs: Counter[str], count: int = TOOLS) -> Worker:
    """Serves all tools.

    Args:
        runs: counts what ran, by name.
    """
    made = Worker("generated", description="All tools of the catalogue", concurrency=64)
    for number, name in enumerate(tool_names(count)):
        made.add(_tool(number, name, runs))
    return made


def _tool(number: int, name: str, runs: Counter[str]) -> Tool:
    async def run(name: str, guests: int, day: str, context: ToolContext) -> dict[str, object]:
        """Does one of many things.

        Args:
            name: Whose.
        """
        runs[made.name] += 1
        return {"tool": made.name, "agent": context.agent, "for": name, "guests": guests, "day": day}

    made = FunctionTool.of(run, name=name, effect=_effect(number))
    return made


def _effect(number: int) -> Any:
    return "none" if number % 3 else "once"
