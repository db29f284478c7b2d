"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigFile"]

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Settings file; ./perhop.toml when there is one, else the example agents. [dim]\\[env: PERHOP_CONFIG][/]",
        show_default=False,
    ),
]
