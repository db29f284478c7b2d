"""``perhop keys``: API keys, of which only the hash is ever stored."""

from __future__ import annotations

from typing import Annotated

import typer

from perhop.cli.console import errors, output

__all__ = ["app"]

EXAMPLES = """\
[bold]Examples[/]\n
[cyan]perhop keys new backend[/]  a key that starts calls and mints client secrets\n
[cyan]perhop keys new grafana --scope stats[/]  one that reads calls and metrics only\n
[cyan]perhop keys new acme-desk --scope stats --tenant acme[/]  one that reads the calls of a tenant; no metrics\n
[cyan]perhop keys new shop --tenant acme --agent oneroof[/]  one whose calls go to an agent by default
"""

app = typer.Typer(help="Make API keys.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make API keys."""


@app.command(epilog=EXAMPLES)
def new(
    name: Annotated[str, typer.Argument(help="What the key is for; shown in logs instead of the key.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="calls, tokens, stats, admin (all, and its agents and tools) or operator (every tenant); repeatable.",
            show_default="calls and tokens",
        ),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose calls it starts and sees.")] = "default",
    agent: Annotated[str | None, typer.Option(help="Agent of its calls that name none.", show_default=False)] = None,
) -> None:
    """Make an API key: prints it, this once, and what to put into perhop.toml."""
    from pydantic import ValidationError

    from perhop.api.auth import hash_key, new_key
    from perhop.config import KeySettings

    key = new_key()
    try:
        settings = KeySettings.model_validate(
            {
                "name": name,
                "tenant": tenant,
                "scopes": scope or ("calls", "tokens"),
                "hash": hash_key(key),
                "agent": agent,
            }
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from None
    errors().print("The key, shown this once:", style="bold")
    output().print(key, soft_wrap=True)
    errors().print("\nPut this into perhop.toml; it holds the key's hash only:", style="bold")
    output().print(_stanza(settings), markup=False, soft_wrap=True)


def _stanza(settings: object) -> str:
    from perhop.config import KeySettings

    assert isinstance(settings, KeySettings)
    scopes = ", ".join(f'"{scope}"' for scope in settings.scopes)
    lines = ["[[keys]]", f'name = "{settings.name}"', f'tenant = "{settings.tenant}"', f"scopes = [{scopes}]"]
    if settings.agent is not None:
        lines.append(f'agent = "{settings.agent}"')
    return "\n".join([*lines, f'hash = "{settings.hash}"'])
