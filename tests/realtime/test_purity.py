"""The core does no I/O and has no clock: a rule over the source itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import perhop.realtime

SOURCES = sorted(Path(perhop.realtime.__path__[0]).rglob("*.py"))
FORBIDDEN = {
    "asyncio",
    "datetime",
    "httpx",
    "logging",
    "os",
    "queue",
    "random",
    "socket",
    "structlog",
    "threading",
    "time",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_module_imports_nothing_that_touches_the_world(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported & FORBIDDEN == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_module_stays_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
