"""``perhop worker``"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from perhop.cli.console import output
from perhop.cli.options import ConfigFile

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["app"]

_EXAMPLES = """\
[bold]Examples[/]\n
[cyan]perhop worker new crm[/]  a small worker to start from, with a test\n
[cyan]PERHOP_BUS__URL=nats://127.0.0.1:4222 perhop worker run crm.worker:worker[/]\n
[cyan]perhop worker crm.worker:worker[/]  the same in short\n
[cyan]perhop worker run calendar[/]  one that comes with Perhop; [cyan]perhop workers up[/] starts all of them\n
[cyan]perhop worker list[/]  what workers on the bus offer
"""


class _Group(TyperGroup):
    """Takes ``module:worker`` in the place of a command for ``run module:worker``."""

    # Newer versions of typer carry a click of their own, so its types have no one name.
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As in click."""
        if args and re.fullmatch(r"[\w.]+:\w+", args[0]):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(help="Run and write workers: processes that serve tools.", no_args_is_help=True, cls=_Group)


@app.command(epilog=_EXAMPLES)
def run(
    workers: Annotated[
        list[str],
        typer.Argument(metavar="WORKER...", help="Of this one process: module:worker, or one that comes with Perhop."),
    ],
    config: ConfigFile = None,
    port: Annotated[
        int | None,
        typer.Option(help="TCP port of health and metrics; 0 takes any.", min=0, max=65535, show_default="0"),
    ] = None,
    ready_fd: Annotated[int | None, typer.Option(hidden=True, min=3)] = None,
) -> None:
    """Serve the tools of workers over the bus until interrupted."""
    from asyncio import Runner

    from perhop.config import load_settings
    from perhop.telemetry.logs import configure_logging
    from perhop.tools.guard import Guard
    from perhop.tools.guard.addresses import Reach
    from perhop.workers.hosting import make_worker
    from perhop.workers.sdk.process import run_workers

    settings = load_settings(config, overrides={"worker": {"port": port}})
    configure_logging(settings.log)
    guard = Guard(Reach.of(hosts=settings.outgoing.hosts, networks=settings.outgoing.networks))
    made = [make_worker(reference, settings, guard) for reference in workers]

    async def work() -> None:
        try:
            await run_workers(made, settings, on_ready=lambda port: _tell_ready(ready_fd, port))
        finally:
            await guard.aclose()

    with Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work())


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores.")],
    folder: Annotated[Path | None, typer.Option(help="Where to put it.", show_default="./NAME")] = None,
) -> None:
    """Write a small worker to start from: tables, a migration, tools, a test."""
    from rich.markup import escape

    from perhop.workers.sdk.scaffold import scaffold

    made = scaffold(name, folder if folder is not None else Path(name))
    for file in made.files:
        output().print(f"  {escape(str(file))}", soft_wrap=True)
    place = escape(str(made.folder))
    output().print(
        f"\n[cyan]cd {place} && pip install -e . pytest pytest-asyncio && python -m pytest[/]  tests it", soft_wrap=True
    )
    output().print(
        f"[cyan]cd {place} && PERHOP_BUS__URL=nats://127.0.0.1:4222 perhop worker run {made.reference}[/]  runs it",
        soft_wrap=True,
    )


@app.command("list")
def list_(config: ConfigFile = None) -> None:
    """List the tools that workers on the bus offer at the moment."""
    from asyncio import run as run_here

    from rich.table import Table

    from perhop.cli.bus import asking
    from perhop.config import ConfigError, LogSettings, load_settings
    from perhop.telemetry.logs import configure_logging
    from perhop.tools.bus import ToolOffer, discover

    settings = load_settings(config)
    configure_logging(LogSettings(level="error"))
    if settings.bus.url is None:
        raise ConfigError("bus.url is not set: there is no bus to ask, workers run inside perhop serve")

    async def ask() -> list[ToolOffer]:
        async with asking(settings.bus, name="perhop worker list") as bus:
            return await discover(bus)

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("worker", "version", "replicas", "tenant", "tool", "effect", "description"):
        table.add_column(heading, overflow="fold")
    for offer in run_here(ask()):
        first = offer.description.split("\n", 1)[0]
        replicas = str(offer.replicas)
        table.add_row(offer.worker, offer.version, replicas, offer.tenant, offer.name, offer.effect, first)
    output().print(table)


def _tell_ready(descriptor: int | None, port: int) -> None:
    """Writes the port to whoever supervises this process."""
    if descriptor is not None:
        with os.fdopen(descriptor, "w") as pipe:
            pipe.write(f"{port}\n")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop
