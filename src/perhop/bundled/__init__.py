"""What comes along when Perhop is installed: the configuration and the examples of its repository.

In the repository both stand at the top, where people look for them, and this folder holds links to them; building the
package follows the links.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["config_file"]


def config_file() -> Path:
    """The ``perhop.toml`` with the example agents, for a start without a configuration of one's own."""
    return Path(__file__).with_name("perhop.toml")
