"""Agents and tools in the database over HTTP."""

from __future__ import annotations

from perhop.api.registry.bodies import AgentPage
from perhop.api.registry.routes import AfterName, Limit, agent_page, router

__all__ = ["AfterName", "AgentPage", "Limit", "agent_page", "router"]
