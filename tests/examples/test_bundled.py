"""An installed Perhop has the example agents although its repository is not there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perhop.bundled import config_file
from perhop.cli.root import app
from perhop.config import load_settings
from perhop.tools.registry import ToolRegistry

ROOT = Path(__file__).parents[2]


def test_the_bundled_configuration_is_the_one_of_the_repository() -> None:
    assert config_file().read_bytes() == (ROOT / "perhop.toml").read_bytes()


def test_it_is_what_a_start_in_an_empty_folder_falls_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERHOP_CONFIG", raising=False)
    listing = CliRunner().invoke(app, ["agents"])
    assert listing.exit_code == 0
    assert "oneroof" in listing.output
    (tmp_path / "perhop.toml").write_text('[[agents]]\nname = "mine"\n')
    listing = CliRunner().invoke(app, ["agents"])
    assert "mine" in listing.output
    assert "oneroof" not in listing.output


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
