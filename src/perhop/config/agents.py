"""Agents: what callers talk to."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from perhop.config.budget import BudgetSettings
from perhop.config.models import BUILT_IN_MODELS
from perhop.config.table import Name, Table
from perhop.config.tools import Phrase, ToolReference

__all__ = ["AgentSettings"]

LanguageTag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}$")]


class AgentSettings(Table):
    """``[[agents]]``: what an agent fixes is locked for its callers; what it leaves unset is theirs to choose.

    Attributes:
        title: for people; the name when unset.
        description: one line for the page that lists agents.
        tools: ``"module:function"`` of a typed Python function, ``"builtin:hang_up"``, ``"bus:<name>"`` of a worker's
            tool, or the name of a ``[tools.<name>]`` table.
        turn_detection: as in the Realtime session; ``{}`` is not allowed, leave it out instead.
        greeting: said when the call starts, without the caller speaking first.
        model: ``local`` (the built-in server), ``echo``, or the name of a ``[models.…]`` table.
        fallback_models: tried in this order when that one fails.
        route: ``gateway`` (media passes through Perhop) or ``direct`` (of WebRTC callers, to a model somewhere else).
        supervised: with ``direct``: pages get no secret of the model, so no call goes without Perhop.
        samples: phrases the page suggests to callers.
        filler_after_s: when a tool takes longer, the agent says one of ``fillers``, in turn, and nothing more until
            there is an answer; tools may say otherwise for themselves.
        hold_phrase: what callers are told while its model cannot be reached; that of the model when unset, empty for
            nothing.
        session: further Realtime session fields that this agent fixes.
        budget: what its calls may use, one by one and all together.
        languages: that it speaks, BCP 47; for people and pages.
        privacy: reserved for a privacy policy. It is stored; nothing acts on it yet.
    """

    name: Name
    title: str = ""
    description: str = ""
    instructions: str | None = None
    voice: str | None = None
    model: str = "local"
    fallback_models: tuple[str, ...] = ()
    tools: tuple[ToolReference, ...] = ()
    turn_detection: dict[str, Any] | None = None
    greeting: str | None = None
    route: Literal["gateway", "direct"] = "gateway"
    supervised: bool = False
    samples: tuple[str, ...] = ()
    filler_after_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    fillers: tuple[Phrase, ...] = ("One moment, please.", "Just a second.", "I am still on it.")
    hold_phrase: Annotated[str, Field(max_length=300)] | None = None
    session: dict[str, Any] = Field(default_factory=dict)
    budget: BudgetSettings | None = None
    languages: Annotated[tuple[LanguageTag, ...], Field(max_length=50)] = ()
    privacy: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _direct_goes_somewhere_else(self) -> Self:
        if self.route == "direct":
            if self.model in BUILT_IN_MODELS:
                raise ValueError("route = 'direct' needs a model somewhere else: one of the [models.…] tables")
            if self.fallback_models:
                raise ValueError("route = 'direct' has no fallback_models: a caller cannot be moved to another model")
        elif self.supervised:
            raise ValueError("supervised is for route = 'direct'; other calls always are")
        return self
