"""The registry of a process: agents and tools of all tenants, in memory for calls and in the database for changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from perhop.call.agents import Agent, UnknownAgentError
from perhop.config import AgentSettings
from perhop.config.tools import ToolSettings
from perhop.errors import PerhopError
from perhop.registry.catalogue import Catalogue, Rules, build
from perhop.registry.definitions import body_of_agent, body_of_tool, file_only
from perhop.registry.errors import DefinitionError, EntryInUseError, FileOnlyError
from perhop.registry.store import Entry, Expected, Kind, RegistryStore
from perhop.store import StoreError
from perhop.tools.base import Tool
from perhop.tools.kinds.define import define
from perhop.tools.registry import DEFAULT_TENANT

if TYPE_CHECKING:
    from perhop.tools.kinds.offered import OfferedTool
    from perhop.tools.mcp.source import McpSource

__all__ = ["Registry"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of a tenant, all of one moment."""

    revision: int
    entries: Mapping[tuple[Kind, str], Entry]
    catalogue: Catalogue | None
    tenant: str


class Registry:
    """Agents by tenant and name, as they are now; calls keep the one they started with.

    Reading never touches the database: everything is in memory. Changes go to the database and are in use here when
    the method that makes them returns; other processes see them within ``poll_s``.

    Args:
        store: the tables.
        rules: what the settings decide.
        check: refuses an agent whose session the Realtime protocol does not allow; raises PerhopError.
        poll_s: how often changes of other processes are looked for.
    """

    def __init__(
        self,
        store: RegistryStore,
        rules: Rules,
        *,
        check: Callable[[Agent], object] = lambda _: None,
        poll_s: float = 1.0,
    ) -> None:
        self.store = store
        self.rules = rules
        self._check = check
        self._poll_s = poll_s
        self._revision = 0
        self._entries: dict[str, dict[tuple[Kind, str], Entry]] = {}
        self._catalogues: dict[str, Catalogue] = {}
        self._nothing: Catalogue | None = None
        self._refreshing = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._prepare: Callable[[Sequence[OfferedTool]], Awaitable[None]] | None = None
        self._polling: asyncio.Task[None] | None = None

    # -- for calls ----------------------------------------------------------------------------------------------------

    def get(self, name: str, *, tenant: str = DEFAULT_TENANT) -> Agent:
        """The agent of this name as it is now.

        Raises:
            UnknownAgentError: the tenant has none; the message names those it has.
        """
        catalogue = self._catalogue(tenant)
        agent = catalogue.agents.get(name)
        if agent is None:
            known = ", ".join(catalogue.agents) or "none"
            raise UnknownAgentError(f"unknown agent {name[:64]!r}; known agents: {known}")
        return agent

    def names(self, *, tenant: str = DEFAULT_TENANT) -> list[str]:
        """Of a tenant's agents; those of the settings file first, in its order."""
        return list(self._catalogue(tenant).agents)

    def version(self, kind: Kind, name: str, *, tenant: str = DEFAULT_TENANT) -> int | None:
        """The version of an agent or tool that is in use here; None for one that is not in the database."""
        entry = self._catalogue(tenant).entries.get((kind, name))
        return entry.version if entry is not None else None

    def problem(self, kind: Kind, name: str, *, tenant: str = DEFAULT_TENANT) -> str | None:
        """Why an agent or tool in the database is not in use here, or which tools its calls do without."""
        catalogue = self._catalogue(tenant)
        error = catalogue.problems.get((kind, name))
        if error is not None:
            return str(error)
        if kind == "agent" and (unserved := catalogue.unserved(name)):
            return f"tools: no worker has offered {', '.join(unserved)} yet; calls do without until one does"
        return None

    # -- for tools ----------------------------------------------------------------------------------------------------

    def find(self, name: str, *, tenant: str = DEFAULT_TENANT) -> Tool:
        """A tool that some agent has. Raises UnknownToolError."""
        return self._catalogue(tenant).tools.find(name, tenant=tenant)

    @property
    def sources(self) -> Sequence[McpSource]:
        """MCP servers that agents refer to."""
        return [source for catalogue in self._catalogues.values() for source in catalogue.tools.sources]

    @property
    def offered(self) -> Sequence[OfferedTool]:
        """Tools that agents refer to and that whoever serves them describes."""
        return [offered for catalogue in self._catalogues.values() for offered in catalogue.tools.offered]

    def before_change(self, prepare: Callable[[Sequence[OfferedTool]], Awaitable[None]]) -> None:
        """Awaits ``prepare`` before a change is in use here, with the tools that somebody has to serve for it.

        What it makes ready the next call has. It raises nothing, and takes seconds at most: changes wait for it.
        """
        self._prepare = prepare

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` after every change that is in use here."""
        self._listeners.append(listener)

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads everything, and follows changes of other processes from now on.

        Raises:
            StoreDownError: the database does not answer.
        """
        self._nothing = await build("", [], self.rules)
        await self.refresh()
        self._polling = asyncio.get_running_loop().create_task(self._poll(), name="registry")

    async def close(self) -> None:
        """Follows no further changes; idempotent."""
        task, self._polling = self._polling, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def refresh(self, *, draft: Catalogue | None = None) -> None:
        """Takes in what changed in the database.

        Args:
            draft: taken over if it is what the database says now.

        Raises:
            StoreDownError: the database does not answer.
        """
        async with self._refreshing:
            changed = await self.store.since(self._revision)
            if not changed:
                return
            entries: dict[str, dict[tuple[Kind, str], Entry]] = {}
            for entry in changed:
                known = entries.setdefault(entry.tenant, dict(self._entries.get(entry.tenant, {})))
                known[entry.kind, entry.name] = entry
            catalogues = {tenant: await self._catalogue_of(tenant, known, draft) for tenant, known in entries.items()}
            offered = [one for catalogue in catalogues.values() for one in catalogue.tools.offered]
            if self._prepare is not None and offered:
                await self._prepare(offered)
            # All in one moment: what is read of them fits together.
            self._entries |= entries
            self._catalogues |= catalogues
            self._revision = changed[-1].revision
        for listener in self._listeners:
            listener()

    # -- changes ------------------------------------------------------------------------------------------------------

    async def seed(
        self,
        agents: Iterable[AgentSettings],
        tools: Mapping[str, ToolSettings],
        *,
        tenant: str,
        author: str,
        overwrite: bool = False,
        revive: bool = False,
        strict: bool = True,
    ) -> dict[tuple[Kind, str], str]:
        """Writes many definitions in one transaction.

        Args:
            tools: those that stay in files are passed over.
            overwrite: also over what is there already.
            revive: what was deleted counts as absent.
            strict: False also writes what cannot be used here; it is left out, and logged.

        Returns:
            What became of each that was not as given: ``written``, ``kept`` (another one is there), ``deleted``
            (somebody deleted it, and it stays so).

        Raises:
            RegistryError: one of them cannot be used; nothing was written.
            StoreDownError: the database does not answer.
        """
        given: dict[tuple[Kind, str], str] = {
            ("tool", name): body_of_tool(tool) for name, tool in tools.items() if file_only(tool) is None
        }
        given |= {("agent", agent.name): body_of_agent(agent) for agent in agents}
        became: dict[tuple[Kind, str], str] = {}
        if not overwrite and self._all_there(tenant, given):
            return became
        live = self._live(tenant)
        async with self.store.change(author) as change:
            before = await self._current(live, await change.since(tenant, live.revision))
            written: list[Entry] = []
            for key, body in given.items():
                there = before.entries.get(key)
                if there is not None and there.body == body:
                    continue
                if there is None or overwrite or (revive and there.body is None):
                    written.append(await change.put(tenant, *key, body))
                    became[key] = "written"
                else:
                    became[key] = "kept" if there.body is not None else "deleted"
            if strict:
                await self._try(before, written)
        await self.refresh()
        return became

    async def put_agent(self, agent: AgentSettings, *, tenant: str, author: str, expected: Expected = "any") -> Entry:
        """Makes or changes an agent; the next call has it.

        Raises:
            DefinitionError: it cannot be used.
            EntryConflictError: what was expected is not what is there.
            FileOnlyError: it names what only a file may name.
            RegistryError: the tenant has too many.
            StoreDownError: the database does not answer.
        """
        return await self._put(tenant, "agent", agent.name, body_of_agent(agent), author=author, expected=expected)

    async def put_tool(
        self, name: str, tool: ToolSettings, *, tenant: str, author: str, expected: Expected = "any"
    ) -> Entry:
        """Makes or changes a tool. Raises as :meth:`put_agent` does, and EntryInUseError when an agent that has it
        could not be used any more."""
        self.rules.check_tool(name, tool)
        return await self._put(tenant, "tool", name, body_of_tool(tool), author=author, expected=expected)

    async def delete(self, kind: Kind, name: str, *, tenant: str, author: str, expected: Expected = "any") -> Entry:
        """Deletes an agent or a tool; calls that have it keep it.

        Raises:
            EntryConflictError: what was expected is not what is there.
            EntryInUseError: agents have this tool.
            FileOnlyError: it is in the settings file only.
            StoreDownError: the database does not answer.
            UnknownEntryError: there is none.
        """
        if kind == "tool" and name in self.rules.file_tools:
            raise FileOnlyError(f"the tool {name!r} is defined in the settings file, and can be changed only there")
        return await self._put(tenant, kind, name, None, author=author, expected=expected)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _catalogue(self, tenant: str) -> Catalogue:
        found = self._catalogues.get(tenant) or self._nothing
        assert found is not None, "not started"
        return found

    async def _put(
        self, tenant: str, kind: Kind, name: str, body: str | None, *, author: str, expected: Expected
    ) -> Entry:
        live = self._live(tenant)
        async with self.store.change(author) as change:
            before = await self._current(live, await change.since(tenant, live.revision))
            # First: who did not see the last version learns that, not what is wrong with a change of an older one.
            entry = await change.put(tenant, kind, name, body, expected=expected)
            draft = await self._try(before, [entry])
        await self.refresh(draft=draft)
        _log.info("registry changed", tenant=tenant, kind=kind, name=name, version=entry.version, by=entry.changed_by)
        return entry

    def _live(self, tenant: str) -> _State:
        return _State(self._revision, self._entries.get(tenant, {}), self._catalogues.get(tenant), tenant)

    async def _current(self, live: _State, others: Sequence[Entry]) -> _State:
        """A tenant as the database has it, when others changed it meanwhile."""
        entries = {**live.entries, **{(entry.kind, entry.name): entry for entry in others}}
        catalogue = live.catalogue
        if others or catalogue is None:
            catalogue = await build(live.tenant, entries.values(), self.rules, before=catalogue)
        return _State(live.revision, entries, catalogue, live.tenant)

    async def _catalogue_of(
        self, tenant: str, entries: Mapping[tuple[Kind, str], Entry], draft: Catalogue | None
    ) -> Catalogue:
        before = self._catalogues.get(tenant)
        alive = {key: entry for key, entry in entries.items() if entry.body is not None}
        if draft is not None and draft.tenant == tenant and draft.entries == alive:
            after = draft
        else:
            after = await build(tenant, entries.values(), self.rules, before=before)
        self._report(after, before)
        return after

    async def _try(self, state: _State, written: Sequence[Entry]) -> Catalogue:
        """Refuses changes after which something that is changed, or was in use, could not be used.

        Returns:
            What the tenant has after them.

        Raises:
            RegistryError: saying what.
        """
        before = state.catalogue
        assert before is not None
        changed = {(entry.kind, entry.name): entry for entry in written}
        after = await build(state.tenant, {**state.entries, **changed}.values(), self.rules, before=before)
        for key, entry in changed.items():
            if key in after.problems:
                raise _as_definition_error(after.problems[key], key)
            settings = after.parsed.get(key)
            if isinstance(settings, AgentSettings):
                self._checked(after.agents[entry.name])
            elif settings is not None and settings.kind != "mcp":
                self._defined(entry.name, settings)
        for key, error in after.problems.items():
            if key not in before.problems and key not in changed:
                raise EntryInUseError(f"the agent {key[1]!r} could not be used any more: {error}")
        return after

    def _checked(self, agent: Agent) -> None:
        try:
            self._check(agent)
        except PerhopError as error:
            raise DefinitionError(str(error), field=getattr(error, "param", None)) from None

    def _defined(self, name: str, settings: ToolSettings) -> None:
        try:
            define(name, settings, folder=None)
        except PerhopError as error:
            raise DefinitionError(str(error)) from None

    def _all_there(self, tenant: str, given: Mapping[tuple[Kind, str], str]) -> bool:
        """Whether everything has been written as it is given: then nothing has to be locked."""
        there = self._entries.get(tenant, {})
        return all(key in there and there[key].body == body for key, body in given.items())

    def _report(self, after: Catalogue, before: Catalogue | None) -> None:
        for key, error in after.problems.items():
            if before is None or str(before.problems.get(key)) != str(error):
                kind, name = key
                _log.warning(
                    "left out of the registry", tenant=after.tenant, kind=kind, name=name, reason=str(error)[:500]
                )

    async def _poll(self) -> None:
        down = False
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
                down = False
            except (StoreError, SQLAlchemyError) as error:
                if not down:
                    _log.warning("the registry cannot be read; agents stay as they are", reason=type(error).__name__)
                down = True


def _as_definition_error(error: PerhopError, key: tuple[Kind, str]) -> PerhopError:
    if isinstance(error, DefinitionError | FileOnlyError):
        return error
    return DefinitionError(str(error), field="tools" if key[0] == "agent" else None)
