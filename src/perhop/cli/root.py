"""The commands put together, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perhop.cli import agents, db, keys, serve, talk, version, worker, workers
from perhop.cli.console import errors
from perhop.errors import PerhopError

__all__ = ["app", "run"]

app = typer.Typer(
    name="perhop",
    epilog="Start with [bold]perhop serve[/bold] and open the address it prints.",
    no_args_is_help=True,
    invoke_without_command=True,
    rich_markup_mode="rich",
    # Locals hold keys and what was said: never print them.
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command(epilog=serve.EXAMPLES)(serve.serve)
app.command(epilog=talk.EXAMPLES)(talk.talk)
app.add_typer(keys.app, name="keys")
app.add_typer(db.app, name="db")
app.add_typer(agents.app, name="agents")
app.add_typer(worker.app, name="worker")
app.add_typer(workers.app, name="workers")
app.command()(version.version)


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version of Perhop and of Python.", is_eager=True)
    ] = False,
) -> None:
    """Voice agents over the right transport on every hop: WebRTC and WebSocket in, a Realtime model behind."""
    if show_version:
        version.version()
        raise typer.Exit


def run() -> None:
    """Runs ``perhop``; an error of ours is shown as one message, without a stack."""
    try:
        app()
    except PerhopError as error:
        errors().print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True)
        sys.exit(2)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
