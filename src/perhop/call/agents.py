"""Agents: who answers a call, with which instructions, voice and tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from perhop.call.ownership import SessionLock
from perhop.config import AgentSettings
from perhop.config.budget import BudgetSettings
from perhop.errors import PerhopError
from perhop.tools.tool import Tool

__all__ = ["Agent", "AgentDirectory", "AgentRegistry", "UnknownAgentError"]


class UnknownAgentError(PerhopError):
    """No agent has this name."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent, ready to take calls.

    Attributes:
        fixed: the Realtime session fields this agent decides, locked for its callers (tools apart).
        defaults: session fields it starts with but leaves to its callers.
        tools: functions Perhop runs for the model, by name.
        model: name of the kind of model it talks through.
        fallback_models: tried in this order when that one fails.
        greeting: said first when the caller is connected.
        route: of its WebRTC callers' media: through Perhop, or to the model directly.
        supervised: direct calls only with Perhop taking part.
        samples: phrases to try, for people.
        filler_after_s: how long a tool may run until the agent says one of ``fillers``; None for as long as it likes.
        hold_phrase: what callers are told while its model cannot be reached; None for that of the model.
        budget: what its calls may use, one by one and all together.
        languages: that it speaks, BCP 47; for people.
    """

    name: str
    title: str = ""
    description: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    model: str = "local"
    fallback_models: tuple[str, ...] = ()
    greeting: str | None = None
    route: Literal["gateway", "direct"] = "gateway"
    supervised: bool = False
    samples: tuple[str, ...] = ()
    filler_after_s: float | None = None
    fillers: tuple[str, ...] = ()
    hold_phrase: str | None = None
    budget: BudgetSettings | None = None
    languages: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """All of them, in order of preference."""
        return (self.model, *self.fallback_models)

    def lock(self, *, extensions: bool) -> SessionLock:
        """The lock on a session of this agent.

        Args:
            extensions: keep the ``x-…`` keys in tool schemas, which the built-in model reads; others must not see them.
        """
        return SessionLock(self.fixed, [tool.to_function(extensions=extensions) for tool in self.tools.values()])


class AgentDirectory(Protocol):
    """Agents of several tenants, as they are at the moment."""

    def get(self, name: str, *, tenant: str = ...) -> Agent:
        """The agent of this name. Raises UnknownAgentError."""

    def names(self, *, tenant: str = ...) -> list[str]:
        """Of all that the tenant has."""


class AgentRegistry:
    """All agents by name, the same for every tenant.

    Args:
        agents: with distinct names.
    """

    def __init__(self, agents: Iterable[Agent] = ()) -> None:
        self._agents = {agent.name: agent for agent in agents}

    def get(self, name: str, *, tenant: str = "") -> Agent:  # noqa: ARG002 - as directories have it
        """The agent of this name.

        Raises:
            UnknownAgentError: there is none; the message names those there are.
        """
        agent = self._agents.get(name)
        if agent is None:
            known = ", ".join(self._agents) or "none"
            raise UnknownAgentError(f"unknown agent {name!r}; known agents: {known}")
        return agent

    def names(self, *, tenant: str = "") -> list[str]:  # noqa: ARG002 - as directories have it
        """In the order of the settings."""
        return list(self._agents)

    @staticmethod
    def build(settings: AgentSettings, tools: Mapping[str, Tool]) -> Agent:
        """Makes an agent of its settings and its loaded tools (by name)."""
        fixed: dict[str, Any] = deepcopy(settings.session)
        if settings.instructions is not None:
            fixed["instructions"] = settings.instructions
        if settings.voice is not None:
            fixed.setdefault("audio", {}).setdefault("output", {})["voice"] = settings.voice
        if settings.turn_detection is not None:
            fixed.setdefault("audio", {}).setdefault("input", {})["turn_detection"] = dict(settings.turn_detection)
        return Agent(
            name=settings.name,
            title=settings.title or settings.name,
            description=settings.description,
            fixed=fixed,
            defaults={"audio": {"input": {"transcription": {"model": "built-in"}}}},
            tools=tools,
            model=settings.model,
            fallback_models=settings.fallback_models,
            greeting=settings.greeting,
            route=settings.route,
            supervised=settings.supervised,
            samples=settings.samples,
            filler_after_s=settings.filler_after_s,
            fillers=settings.fillers,
            hold_phrase=settings.hold_phrase,
            budget=settings.budget,
            languages=settings.languages,
        )
