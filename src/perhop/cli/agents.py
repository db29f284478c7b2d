"""``perhop agents``: those of a settings file, and those in the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perhop.cli.console import errors, output
from perhop.cli.options import ConfigFile

if TYPE_CHECKING:
    from perhop.config import Settings
    from perhop.registry import Registry

__all__ = ["app"]

_HELP = """\
List the agents of a settings file; import and export those in the database.

Agents and tools live in the database, where the REST API changes them. [cyan]perhop serve[/] writes to it what \
perhop.toml has and the database never had; what is there stays as it is until somebody imports a file with \
[cyan]--replace[/].
"""

_EXAMPLES = """\
[bold]Examples[/]\n
[cyan]perhop agents --config examples/oneroof/perhop.toml[/]  list them, with tools and phrases to try\n
[cyan]perhop agents import perhop.toml --replace[/]  what the file says counts from now on\n
[cyan]perhop agents export > agents.toml[/]  all agents and tools in the database\n
[cyan]perhop agents import agents.toml --tenant acme[/]  what another tenant does not have yet
"""

app = typer.Typer(help=_HELP, epilog=_EXAMPLES, invoke_without_command=True, rich_markup_mode="rich")

Tenant = Annotated[str, typer.Option(help="Whose agents and tools.")]


class _Format(StrEnum):
    TOML = "toml"
    JSON = "json"


@app.callback()
def agents(context: typer.Context, config: ConfigFile = None) -> None:
    """List the agents of a settings file; import and export those in the database."""
    if context.invoked_subcommand is not None:
        return
    from rich.table import Table

    from perhop.bundled import config_file
    from perhop.config import load_settings

    settings = load_settings(config, fallback=config_file())
    if not settings.agents:
        errors().print(f"No agents in {settings.file or 'the settings'}.", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("agent", "title", "model", "tools", "try saying"):
        table.add_column(heading, overflow="fold")
    for agent in settings.agents:
        tools = "\n".join(reference.rpartition(":")[2] for reference in agent.tools)
        table.add_row(agent.name, agent.title, agent.model, tools, "\n".join(agent.samples[:3]))
    output().print(table)


@app.command("import", epilog=_EXAMPLES)
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="TOML or JSON, like perhop.toml.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also over what is in the database already.")] = False,
    tenant: Tenant = "default",
    config: ConfigFile = None,
) -> None:
    """Write agents and tools of files to the database: all of them or, if something is wrong, none."""

    async def work(registry: Registry, settings: Settings) -> None:
        from perhop.errors import PerhopError
        from perhop.registry.files import read_files

        found = read_files(files, settings)
        if not found.agents and not found.tools:
            names = ", ".join(map(str, files))
            raise PerhopError(f"{names}: nothing to import; agents stand in [[agents]], tools in [tools.NAME]")
        became = await registry.seed(
            found.agents, found.tools, tenant=tenant, author="import", overwrite=replace, revive=True
        )
        for (kind, name), what in sorted(became.items()):
            kept = "differs from the one in the database, which stays; see --replace"
            errors().print(f"{kind} {name}: {'written' if what == 'written' else kept}", soft_wrap=True)
        same = len(found.agents) + len(found.tools) - len(became)
        errors().print(f"{same} were there already, just so." if same else "Done.", soft_wrap=True)

    _run(config, work)


@app.command(epilog=_EXAMPLES)
def export(
    form: Annotated[_Format, typer.Option("--format", help="Of the file.")] = _Format.TOML,
    tenant: Tenant = "default",
    config: ConfigFile = None,
) -> None:
    """Print the agents and tools in the database as a file that [cyan]import[/] reads, without the tools that stay in
    perhop.toml."""

    async def work(registry: Registry, _: Settings) -> None:
        from perhop.registry.files import write

        # As it is: no console may wrap or colour it.
        typer.echo(write(await registry.store.all(tenant), form=form.value), nl=False)

    _run(config, work)


def _run(config: ConfigFile, work: Callable[[Registry, Settings], Awaitable[None]]) -> None:
    import asyncio

    from perhop.bundled import config_file
    from perhop.config import LogSettings, load_settings
    from perhop.registry.opening import make_registry
    from perhop.schemas import prepare
    from perhop.store import Database
    from perhop.telemetry.logs import configure_logging

    settings = load_settings(config, fallback=config_file())
    configure_logging(LogSettings(level="warning"))

    async def main() -> None:
        database = await Database.open(settings.store, data=settings.server.data)
        try:
            await prepare(database)
            registry = make_registry(settings, database)
            await registry.start()
            try:
                await work(registry, settings)
            finally:
                await registry.close()
        finally:
            await database.close()

    asyncio.run(main())
