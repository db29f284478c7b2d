"""``perhop worker new`` writes a worker that runs and whose tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perhop.cli.root import app
from perhop.errors import PerhopError
from perhop.workers.sdk.loading import load_worker
from perhop.workers.sdk.scaffold import scaffold


def test_the_tests_of_a_new_worker_pass(tmp_path: Path) -> None:
    made = scaffold("notes", tmp_path / "notes")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=made.folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_a_new_worker_is_clean_python(tmp_path: Path) -> None:
    made = scaffold("notes", tmp_path / "notes")
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [str(ruff), "check", "--isolated", "--select", "E,F,I,UP,B", "--line-length", "120", "."],
        cwd=made.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["", "Notes", "1notes", "no-tes", "tests", "../up", "x" * 40])
def test_names_that_cannot_be_a_worker_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PerhopError, match="name"):
        scaffold(name, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(PerhopError, match="already"):
        scaffold("notes", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md"]


def test_the_command_says_what_it_wrote_and_what_to_do_next(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["worker", "new", "notes", "--folder", str(tmp_path / "notes")])
    assert result.exit_code == 0
    assert "worker run notes.worker:worker" in result.stdout


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nocolon", "module:worker"),
        ("no_such_module:worker", "neither"),
        ("tests.workers.sdk.crashing:note", "no worker; workers there: worker"),
        ("../x:worker", "module:worker"),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_is_there(reference: str, says: str) -> None:
    with pytest.raises(PerhopError, match=says):
        load_worker(reference)


def test_a_bare_reference_means_run() -> None:
    result = CliRunner().invoke(app, ["worker", "no_such_module:worker"])
    assert isinstance(result.exception, PerhopError)
    assert "no_such_module" in str(result.exception)
