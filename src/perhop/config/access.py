"""Who may do what: API keys, and the client secrets they mint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from perhop.config.budget import BudgetSettings
from perhop.config.table import Name, Table

__all__ = ["KeySettings", "Scope", "TokenSettings"]

Sha256Hex = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]

Scope = Literal["calls", "tokens", "stats", "admin", "operator"]
"""What an API key may do: start and end calls; mint client secrets; read calls and metrics; all of it and change agents
and tools, in its tenant; all of that, and in the calls of every tenant."""


class KeySettings(Table):
    """``[[keys]]``: an API key, stored as its hash; ``perhop keys new`` prints this table.

    Attributes:
        hash: ``sha256:`` and 64 hex digits of the whole key.
        agent: the agent of this key's calls that name none.
        budget: what its calls may use, one by one and all together.
    """

    name: Name
    tenant: Name = "default"
    scopes: tuple[Scope, ...] = ("calls", "tokens")
    hash: Sha256Hex
    agent: Name | None = None
    budget: BudgetSettings | None = None


class TokenSettings(Table):
    """``[tokens]``: ephemeral client secrets (``ek_…``).

    Attributes:
        ttl_s: life of a secret whose request names none.
        single_use: spent by the first answered call; False gives the documented reuse until it expires.
        allowed_origins: pages that ``GET /api/realtime/token`` serves when keys are configured; empty turns it off.
        per_minute: secrets that one client address may fetch there; not limited without keys.
        max_live: secrets held at once; minting beyond it is refused.
    """

    ttl_s: Annotated[int, Field(ge=10, le=7200)] = 600
    single_use: bool = True
    allowed_origins: tuple[str, ...] = ()
    per_minute: Annotated[int, Field(ge=1)] = 30
    max_live: Annotated[int, Field(ge=1)] = 10_000
