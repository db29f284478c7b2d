"""``perhop workers``: the workers that come with Perhop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from perhop.cli.console import errors, output
from perhop.cli.options import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from perhop.config import Settings
    from perhop.workers.supervisor import Change, Program

__all__ = ["app"]

_EXAMPLES = """\
[bold]Examples[/]\n
[cyan]PERHOP_BUS__URL=nats://127.0.0.1:4222 perhop workers up[/]  all of them\n
[cyan]perhop workers up calendar crm[/]  these two\n
[cyan]perhop workers list[/]  which there are, and which are running
"""

_SPARE_S = 5.0
"""Beyond ``worker.drain_s``, for closing connections."""

app = typer.Typer(help="Run the workers that come with Perhop.", no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def workers() -> None:
    """Run the workers that come with Perhop."""


@app.command(epilog=_EXAMPLES)
def up(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these.")] = None,
    config: ConfigFile = None,
) -> None:
    """Start each worker as a process of its own, and keep it running until interrupted.

    Needs [cyan]bus.url[/]. With [cyan]worker.database[/] or [cyan]store.url[/] they share that database, otherwise each
    has a file. Health and metrics are on [cyan]worker.port[/] and the ports after it; on any free ones when that is 0.
    """
    import asyncio
    import signal

    from perhop.config import ConfigError, load_settings
    from perhop.errors import PerhopError
    from perhop.workers.hosting import REFERENCE
    from perhop.workers.supervisor import Supervisor

    settings = load_settings(config)
    if settings.bus.url is None:
        raise ConfigError(
            "processes need bus.url, for example PERHOP_BUS__URL=nats://127.0.0.1:4222; without it workers run inside "
            "perhop serve"
        )
    unknown = [name for name in names or () if name not in REFERENCE]
    if unknown:
        raise PerhopError(f"there is no worker {unknown[0][:64]!r}; there are: {', '.join(REFERENCE)}")
    programs = _programs(names or list(REFERENCE), config, settings)

    async def work() -> None:
        supervisor = Supervisor(programs, tell=_say, grace_s=settings.worker.drain_s + _SPARE_S)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
        await supervisor.run()

    asyncio.run(work())


@app.command("list")
def list_(config: ConfigFile = None) -> None:
    """List the workers that come with Perhop, and how many of each are running."""
    import asyncio

    from rich.table import Table

    from perhop.config import LogSettings, load_settings
    from perhop.telemetry.logs import configure_logging
    from perhop.tools.guard import Guard
    from perhop.workers.hosting import REFERENCE, hosted_workers, make_worker

    settings = load_settings(config)
    configure_logging(LogSettings(level="error"))
    guard = Guard()
    if settings.bus.url is None:
        inside = {worker.name for worker in hosted_workers(settings, guard)}
        running = {name: "in perhop serve" if name in inside else "no" for name in REFERENCE}
    else:
        found = asyncio.run(_running(settings))
        running = {name: str(found.get(name, 0)) for name in REFERENCE}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("worker", "running", "what", "tools"):
        table.add_column(heading, overflow="fold")
    for name in REFERENCE:
        worker = make_worker(name, settings, guard)
        table.add_row(name, running[name], worker.description, ", ".join(worker.tools))
    output().print(table)


async def _running(settings: Settings) -> dict[str, int]:
    """Processes on the bus, by the worker's name."""
    from collections import Counter

    from perhop.cli.bus import asking

    async with asking(settings.bus, name="perhop workers list") as bus:
        return dict(Counter(service.name for service in await bus.services()))


def _programs(names: Sequence[str], config: Path | None, settings: Settings) -> list[Program]:
    from perhop.workers.supervisor import Program

    first = settings.worker.port
    return [
        Program(
            name,
            (
                *(sys.executable, "-m", "perhop", "worker", "run", name),
                *("--port", str(first + index if first else 0)),
                *(("--config", str(config)) if config is not None else ()),
            ),
        )
        for index, name in enumerate(dict.fromkeys(names))
    ]


def _say(change: Change) -> None:
    """One line a change."""
    match change.state:
        case "starting":
            what = f"[yellow]starting[/]  pid {change.pid}"
        case "ready":
            what = f"[green]ready[/]     pid {change.pid}, health and metrics on port {change.port}"
        case "ended":
            what = f"[red]ended[/]     exit code {change.code}, again in {change.again_s:g} s"
        case "stopped":
            what = f"stopped   exit code {change.code}"
        case "killed":
            what = "[red]killed[/]    it did not end in time"
    errors().print(f"{change.name:<10}  {what}", soft_wrap=True)
