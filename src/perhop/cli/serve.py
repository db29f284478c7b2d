"""``perhop serve``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perhop.cli.console import output
from perhop.cli.options import ConfigFile

if TYPE_CHECKING:
    from perhop.config import Settings

__all__ = ["EXAMPLES", "serve"]

EXAMPLES = """\
[bold]Examples[/]\n
[cyan]perhop serve[/]  this machine only, on http://127.0.0.1:8080, no key needed\n
[cyan]perhop serve --echo[/]  with the agent [i]echo[/i], which returns your voice\n
[cyan]perhop serve --config examples/oneroof/perhop.toml --port 9000[/]\n
[cyan]perhop serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem[/]  for others: needs keys
([cyan]perhop keys new[/]) and, for a page's microphone, TLS
"""


def serve(
    config: ConfigFile = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [dim]\\[env: PERHOP_HOST][/]", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="TCP port; 0 takes any. [dim]\\[env: PERHOP_PORT][/]", min=0, max=65535, show_default="8080"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for what is kept. [dim]\\[env: PERHOP_DATA][/]", show_default=".perhop"),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate chain, PEM. [dim]\\[env: PERHOP_TLS_CERT][/]", show_default=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Private key, PEM. [dim]\\[env: PERHOP_TLS_KEY][/]", show_default=False)
    ] = None,
    echo: Annotated[
        bool | None, typer.Option("--echo", help="Also offer the agent 'echo'. [dim]\\[env: PERHOP_ECHO][/]")
    ] = None,
) -> None:
    """Serve calls until interrupted."""
    from perhop.bundled import config_file
    from perhop.cli.server import open_server
    from perhop.config import load_settings
    from perhop.telemetry.logs import configure_logging

    settings = load_settings(
        config,
        overrides={
            "server": {"host": host, "port": port, "data": data, "tls_cert": tls_cert, "tls_key": tls_key},
            "echo": echo or None,
        },
        fallback=config_file(),
    )
    configure_logging(settings.log)
    server = open_server(settings, on_started=lambda url: _announce(settings, url))
    server.run_until_stopped()


def _announce(settings: Settings, url: str) -> None:
    from rich.panel import Panel
    from rich.table import Table

    rows = Table.grid(padding=(0, 2))
    rows.add_row("demo page", f"[bold cyan]{url}/demo[/]")
    rows.add_row("Realtime API", f"{url}/v1")
    rows.add_row("API docs", f"{url}/docs")
    names = [agent.name for agent in settings.agents] + (["echo"] if settings.echo else [])
    rows.add_row("agents", ", ".join(names) or "[dim]none configured: plain Realtime sessions only[/]")
    if not settings.keys:
        rows.add_row("access", "no API keys configured: this machine only, any bearer is accepted")
    if not url.startswith("https:") and settings.keys:
        rows.add_row("TLS", "[yellow]off: pages on other machines get no microphone[/]")
    output().print(Panel(rows, title="Perhop", expand=False, border_style="dim"))
