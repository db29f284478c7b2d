"""A small worker to start from, as files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from perhop.errors import PerhopError

__all__ = ["Scaffold", "scaffold"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_TAKEN = ("perhop", "test", "tests")

_FILES = {
    "README.md": "readme.txt",
    "pyproject.toml": "project.txt",
    "{name}/__init__.py": "package.txt",
    "{name}/worker.py": "worker.txt",
    "{name}/tables.py": "tables.txt",
    "{name}/migrations/__init__.py": "migrations.txt",
    "{name}/migrations/r0001_notes.py": "migration.txt",
    "tests/test_worker.py": "test.txt",
}


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What was written.

    Attributes:
        reference: for ``perhop worker run``, in ``folder``.
    """

    folder: Path
    files: tuple[Path, ...]
    reference: str


def scaffold(name: str, folder: Path) -> Scaffold:
    """Writes a worker named ``name`` into ``folder``, which is made.

    Raises:
        PerhopError: the name cannot be one, or there is something already.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise PerhopError(f"{name[:64]!r} cannot name a worker: use 1 to 31 lower-case letters, digits and underscores")
    targets = {folder / place.format(name=name): template for place, template in _FILES.items()}
    for target in targets:
        if target.exists():
            raise PerhopError(f"{target} is there already; nothing was written")
    templates = files("perhop.workers.sdk") / "template"
    title = name.replace("_", " ").capitalize()
    for target, template in targets.items():
        text = Template((templates / template).read_text(encoding="utf-8")).substitute(name=name, title=title)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PerhopError(f"{target} cannot be written: {error.strerror}") from None
    return Scaffold(folder, tuple(targets), f"{name}.worker:worker")
