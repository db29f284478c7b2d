"""There is one door through which payloads leave a call, and the source shows that there is no other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import perhop

SOURCE = Path(perhop.__file__).parent

DOORS = {"ModelLeg": "model", "ModelLine": "model", "ToolRunner": "tools"}
"""Types whose methods carry payloads out of a call, and where to."""

MAY_NAME = {
    "call/legs.py": "defines the protocol",
    "call/kinds.py": "says how legs are made",
    "call/line/__init__.py": "exports the line",
    "call/line/epoch.py": "is one session behind the door",
    "call/line/line.py": "is all of them",
    "call/direct/line.py": "is the one of a direct call, behind the door",
    "call/direct/upstream.py": "says how that one attaches its leg",
    "call/boundary.py": "is the door",
    "call/manager.py": "hands both to the boundary without using them",
    "tools/__init__.py": "exports the runner",
    "tools/runner.py": "defines the runner",
    "running_tools.py": "makes the runner",
    "app.py": "makes both",
}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "models")


def names(tree: ast.AST) -> set[str]:
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found | {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_other_module_holds_a_model_or_a_tool_runner(path: Path) -> None:
    used = names(ast.parse(path.read_text())) & DOORS.keys()
    if used:
        assert str(path.relative_to(SOURCE)) in MAY_NAME, f"{path} reaches {used} around the boundary"


def test_the_manager_never_uses_what_it_hands_over() -> None:
    tree = ast.parse((SOURCE / "call/manager.py").read_text())
    used = [
        f"{ast.unparse(node)}, line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self._runner", "line")
    ]
    assert used == []
