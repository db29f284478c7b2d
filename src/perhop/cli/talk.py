"""``perhop talk``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perhop.cli.console import errors, output
from perhop.cli.options import ConfigFile

__all__ = ["EXAMPLES", "talk"]

EXAMPLES = """\
[bold]Examples[/]\n
[cyan]perhop talk question.wav --agent oneroof[/]  asks, writes answer.wav, prints both transcripts\n
[cyan]perhop talk --text "What can you do?" --agent oneroof[/]  the same by typing\n
[cyan]perhop talk question.wav --fast[/]  does not wait for the recording to play in real time\n
[cyan]perhop talk question.wav --url wss://voice.example.org --key sk-…[/]  at another server\n
Without [cyan]--url[/] it talks to the server of these settings, and starts one for itself if none is running.
"""


def talk(
    file: Annotated[
        Path | None, typer.Argument(help="Recording of the question; any audio file.", show_default=False)
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Who to talk to.", show_default=False)] = None,
    text: Annotated[str | None, typer.Option(help="Type the question instead.", show_default=False)] = None,
    url: Annotated[str | None, typer.Option(help="Server, e.g. ws://127.0.0.1:8080.", show_default=False)] = None,
    key: Annotated[
        str | None,
        typer.Option(help="API key or client secret. [dim]\\[env: PERHOP_KEY][/]", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the answer's audio goes: WAV, 24 kHz mono.")] = Path("answer.wav"),
    fast: Annotated[bool, typer.Option("--fast", help="Send the recording as fast as it goes.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the server to say something.", min=1)] = 30.0,
    config: ConfigFile = None,
) -> None:
    """Ask an agent something and hear its answer, over WebSocket."""
    if (file is None) == (text is None):
        raise typer.BadParameter("give a recording or --text, one of them")
    import asyncio
    import os

    from perhop.bundled import config_file
    from perhop.cli.talking.session import talk as run
    from perhop.cli.talking.view import View
    from perhop.cli.talking.wav import check_place, read_audio, write_wav
    from perhop.config import load_settings

    check_place(out)
    question = read_audio(file) if file is not None else text or ""
    settings = load_settings(config, fallback=config_file())
    view = View(output(), errors())
    with view:
        outcome = asyncio.run(
            run(
                question,
                settings=settings,
                url=url,
                key=key or os.environ.get("PERHOP_KEY"),
                agent=agent,
                fast=fast,
                timeout_s=timeout,
                view=view,
            )
        )
    if outcome.audio:
        write_wav(out, outcome.audio)
        view.note(f"{len(outcome.audio) / 48_000:.1f} s of audio in {out}")
    if outcome.problem is not None:
        errors().print("[bold red]error:[/] ", end="")
        errors().print(outcome.problem, markup=False, soft_wrap=True)
        raise typer.Exit(1)
