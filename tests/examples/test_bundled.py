"""An installed Perhop has the example agents although its repository is not there."""

from __future__ import annotations

import tomllib
from pathlib import Path

from perhop.bundled import config_file
from perhop.config import load_settings
from perhop.tools.registry import ToolRegistry

ROOT = Path(__file__).parents[2]


def test_the_bundled_configuration_is_the_one_of_the_repository() -> None:
    assert config_file().read_bytes() == (ROOT / "perhop.toml").read_bytes()


def test_its_agents_find_their_tools() -> None:
    settings = load_settings(config_file())
    registry = ToolRegistry(folder=settings.base_dir)
    assert [sorted(registry.load_all(agent.tools)) for agent in settings.agents] == [
        ["book_viewing", "search_listings", "send_details"],
        ["book_meeting", "connect_department", "directions", "opening_hours", "take_message"],
    ]


def test_tools_are_found_where_an_installation_puts_them() -> None:
    # An installation has files where the repository has links, so the folder of the configuration is this one.
    registry = ToolRegistry(folder=config_file().parent)
    assert registry.load("examples.oneroof.tools:search_listings").name == "search_listings"


def test_every_kind_of_file_the_examples_need_is_packaged() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["perhop"]
    needed = {
        path.suffix
        for path in (ROOT / "examples").rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
    }
    assert needed - {".py"} <= {pattern.removeprefix("**/*") for pattern in patterns}
