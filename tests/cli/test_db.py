"""``perhop db`` as a person meets it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from tests.store.databases import postgres_server, postgres_url
from typer.testing import CliRunner

from perhop.cli.root import app
from perhop.store.errors import StoreDownError

__all__ = ["postgres_server", "postgres_url"]

runner = CliRunner()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("PERHOP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERMINAL_WIDTH", "200")


def tables(file: Path) -> set[str]:
    with sqlite3.connect(file) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_tables_are_shown_made_and_removed(tmp_path: Path) -> None:
    assert "nothing" in runner.invoke(app, ["db", "current"]).stdout
    made = runner.invoke(app, ["db", "upgrade"])
    assert made.exit_code == 0
    assert "core: nothing → 0001" in made.stderr
    assert "calls" in tables(tmp_path / ".perhop" / "perhop.db")
    assert "up to date" in runner.invoke(app, ["db", "upgrade"]).stderr
    assert "✓" in runner.invoke(app, ["db", "current"]).stdout
    removed = runner.invoke(app, ["db", "downgrade", "core", "--to", "base", "--yes"])
    assert "core: 0001 → nothing" in removed.stderr
    assert "calls" not in tables(tmp_path / ".perhop" / "perhop.db")


def test_a_downgrade_asks_first(tmp_path: Path) -> None:
    runner.invoke(app, ["db", "upgrade"])
    refused = runner.invoke(app, ["db", "downgrade", "core", "--to", "base"], input="n\n")
    assert refused.exit_code != 0
    assert "calls" in tables(tmp_path / ".perhop" / "perhop.db")


def test_the_database_may_be_a_server(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERHOP_STORE__URL", postgres_url)
    assert runner.invoke(app, ["db", "upgrade"]).exit_code == 0
    assert "✓" in runner.invoke(app, ["db", "current"]).stdout


def test_a_schema_that_is_not_there_is_answered_with_those_that_are() -> None:
    result = runner.invoke(app, ["db", "upgrade", "cellar"])
    assert result.exit_code == 2
    assert "there is no schema 'cellar'" in result.output


def test_a_server_that_is_not_there_is_an_error_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERHOP_STORE__URL", "postgresql://me:hunter2@127.0.0.1:1/perhop")
    result = runner.invoke(app, ["db", "current"])
    assert isinstance(result.exception, StoreDownError)
    assert "hunter2" not in str(result.exception)


def test_help_teaches_where_the_database_is_and_when_to_upgrade() -> None:
    shown = runner.invoke(app, ["db", "--help"]).output
    assert "store.url" in shown
    assert "perhop db upgrade" in shown
