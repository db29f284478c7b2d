"""The command line: ``perhop serve``, ``talk``, ``keys``, ``agents``, ``version``; one module a command.

Commands import what they need when they run, so that ``--help`` is instant.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command named on the command line."""
    from perhop.cli.root import run

    run()
