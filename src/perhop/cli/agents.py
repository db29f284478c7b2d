"""``perhop agents``"""

from __future__ import annotations

from perhop.cli.console import errors, output
from perhop.cli.options import ConfigFile

__all__ = ["EXAMPLES", "agents"]

EXAMPLES = """\
[bold]Example[/]\n
[cyan]perhop agents --config examples/oneroof/perhop.toml[/]
"""


def agents(config: ConfigFile = None) -> None:
    """List the agents of a settings file, with their tools and phrases to try."""
    from rich.table import Table

    from perhop.bundled import config_file
    from perhop.config import load_settings

    settings = load_settings(config, fallback=config_file())
    if not settings.agents:
        errors().print(f"No agents in {settings.file or 'the settings'}.", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("agent", "title", "model", "tools", "try saying"):
        table.add_column(heading, overflow="fold")
    for agent in settings.agents:
        tools = "\n".join(reference.partition(":")[2] for reference in agent.tools)
        table.add_row(agent.name, agent.title, agent.model, tools, "\n".join(agent.samples[:3]))
    output().print(table)
