"""``perhop db``: the tables of the configured database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from perhop.cli.console import errors, output
from perhop.cli.options import ConfigFile

if TYPE_CHECKING:
    from perhop.store import Database, Schema

__all__ = ["app"]

_HELP = """\
Bring the database's tables up to date.

Perhop keeps calls, and its workers keep what they know, in a database: a SQLite file of its own unless \
[cyan]store.url[/] in perhop.toml (or PERHOP_STORE__URL) names another file or a PostgreSQL server. A file is brought \
up to date by [cyan]perhop serve[/] itself. A server is not, because others may be using it: run \
[cyan]perhop db upgrade[/] when a new version is rolled out, before its first process starts.
"""

_EXAMPLES = """\
[bold]Examples[/]\n
[cyan]perhop db current[/]  which tables there are, and whether they fit this version\n
[cyan]perhop db upgrade[/]  make the tables, or bring them up to date; safe to run twice, and from two places at once\n
[cyan]perhop db downgrade core --to 0001[/]  back to what an older version of Perhop needs\n
[cyan]PERHOP_STORE__URL=postgresql://perhop:secret@db/perhop perhop db upgrade[/]
"""

app = typer.Typer(help=_HELP, epilog=_EXAMPLES, no_args_is_help=True, rich_markup_mode="rich")

SchemaName = Annotated[
    str | None,
    typer.Argument(metavar="[SCHEMA]", help="Whose tables; see [cyan]perhop db current[/].", show_default="all"),
]


@app.callback()
def db() -> None:
    """Bring the database's tables up to date."""


@app.command(epilog=_EXAMPLES)
def upgrade(
    schema: SchemaName = None,
    to: Annotated[str, typer.Option(help="Revision to stop at.")] = "head",
    config: ConfigFile = None,
) -> None:
    """Make the tables or bring them up to date; everything of a schema or nothing."""

    async def work(database: Database) -> None:
        from perhop.store import current, upgrade

        for each in _chosen(schema):
            before = await current(database, each)
            await upgrade(database, each, to)
            after = await current(database, each)
            change = "is up to date" if before == after else f"{before or 'nothing'} → {after}"
            errors().print(f"{each.name}: {change}", soft_wrap=True)

    _run(config, work)


@app.command(epilog=_EXAMPLES)
def downgrade(
    schema: Annotated[str, typer.Argument(help="Whose tables; see [cyan]perhop db current[/].")],
    to: Annotated[str, typer.Option(help="Revision to go back to; [cyan]base[/] removes the tables.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Take the tables of one schema back; what only the newer ones can hold is lost."""
    [chosen] = _chosen(schema)
    if not yes:
        typer.confirm(f"What only newer tables of {schema} can hold is lost. Go on?", abort=True, err=True)

    async def work(database: Database) -> None:
        from perhop.store import current, downgrade

        before = await current(database, chosen)
        await downgrade(database, chosen, to)
        after = await current(database, chosen)
        errors().print(f"{chosen.name}: {before or 'nothing'} → {after or 'nothing'}", soft_wrap=True)

    _run(config, work)


@app.command(epilog=_EXAMPLES)
def current(config: ConfigFile = None) -> None:
    """Show which tables there are, and whether they fit this version."""

    async def work(database: Database) -> None:
        from rich.table import Table

        from perhop.store import current

        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("schema", "in the database", "needed"):
            table.add_column(heading)
        for each in _chosen(None):
            found = await current(database, each)
            fits = found == each.head
            table.add_row(each.name, found or "nothing", each.head if not fits else f"{each.head} [green]✓[/]")
        errors().print(database.url, soft_wrap=True, style="dim")
        output().print(table)

    _run(config, work)


def _chosen(name: str | None) -> list[Schema]:
    from perhop.schemas import SCHEMAS

    chosen = [schema for schema in SCHEMAS if name in (None, schema.name)]
    if not chosen:
        known = ", ".join(schema.name for schema in SCHEMAS)
        raise typer.BadParameter(f"there is no schema {name!r}; there are: {known}", param_hint="SCHEMA")
    return chosen


def _run(config: ConfigFile, work: Callable[[Database], Awaitable[None]]) -> None:
    import asyncio

    from perhop.bundled import config_file
    from perhop.config import LogSettings, load_settings
    from perhop.store import Database
    from perhop.telemetry.logs import configure_logging

    settings = load_settings(config, fallback=config_file())
    configure_logging(LogSettings(level="warning"))

    async def main() -> None:
        database = await Database.open(settings.store, data=settings.server.data)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(main())
