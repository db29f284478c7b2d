"""The registry of a process: its tables, its rules, and what the settings file brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

import structlog

from perhop.call.agents import Agent
from perhop.config import AgentSettings, Settings
from perhop.registry.catalogue import Rules
from perhop.registry.registry import Registry
from perhop.registry.store import RegistryStore, StoreLimits
from perhop.store import Database
from perhop.tools.registry import DEFAULT_TENANT

__all__ = ["make_registry", "open_registry", "seeded_tenants"]

_log = structlog.get_logger(__name__)


def make_registry(
    settings: Settings,
    db: Database,
    *,
    extra: Iterable[AgentSettings] = (),
    check: Callable[[Agent], object] = lambda _: None,
) -> Registry:
    """A registry that is not started and has not touched the database.

    Args:
        extra: agents that every tenant has, unless it has its own of that name; not in the database.
        check: as of :class:`Registry`.
    """
    limits = StoreLimits(entries=settings.registry.max_entries, versions=settings.registry.keep_versions)
    rules = Rules.of(settings, extra=extra)
    return Registry(RegistryStore(db, limits), rules, check=check, poll_s=settings.registry.poll_s)


async def open_registry(
    settings: Settings,
    db: Database,
    *,
    extra: Iterable[AgentSettings] = (),
    check: Callable[[Agent], object] = lambda _: None,
) -> Registry:
    """A registry at work, after what the settings file says was written to the database; end it with ``close``.

    Raises:
        StoreDownError: the database does not answer.
        RegistryError: there is no room for all that the file says.
    """
    registry = make_registry(settings, db, extra=extra, check=check)
    await registry.start()
    async with AsyncExitStack() as undo:
        undo.push_async_callback(registry.close)
        for tenant in seeded_tenants(settings):
            await _seed(registry, settings, tenant)
        undo.pop_all()
    return registry


def seeded_tenants(settings: Settings) -> list[str]:
    """Who is given the agents and tools of the settings file."""
    if settings.registry.tenants is not None:
        return list(settings.registry.tenants)
    return list(dict.fromkeys([DEFAULT_TENANT, *(key.tenant for key in settings.keys)]))


async def _seed(registry: Registry, settings: Settings, tenant: str) -> None:
    became = await registry.seed(
        settings.agents,
        settings.tools,
        tenant=tenant,
        author="settings",
        overwrite=settings.registry.seed == "replace",
        strict=False,
    )
    kept = sorted(f"{kind} {name}" for (kind, name), what in became.items() if what != "written")
    if kept:
        _log.warning(
            "the settings file says something else than the registry, which counts; "
            "perhop agents import FILE --replace makes the file count",
            tenant=tenant,
            differing=kept[:20],
            more=max(0, len(kept) - 20),
        )
