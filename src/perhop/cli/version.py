"""``perhop version``"""

from __future__ import annotations

import platform

from perhop import __version__
from perhop.cli.console import output

__all__ = ["version"]


def version() -> None:
    """Print the version of Perhop and of Python."""
    output().print(f"perhop {__version__} (Python {platform.python_version()}, {platform.system()})")
