"""From ``"module:worker"`` to a worker."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from perhop.errors import PerhopError
from perhop.workers.sdk.worker import Worker

__all__ = ["load_worker"]


def load_worker(reference: str, *, folder: Path | None = None) -> Worker:
    """The worker that ``reference`` names.

    Args:
        folder: also looked into for modules, before those that are installed; the current one when None.

    Raises:
        PerhopError: the reference is malformed, or leads to no worker.
    """
    module_name, colon, name = reference.partition(":")
    if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise PerhopError(f'worker reference {reference!r}: write it as "module:worker", with dots for folders')
    place = str((folder or Path.cwd()).resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        where = f"neither in {place} nor installed"
        if f"{module_name}.".startswith(f"{missing}."):
            raise PerhopError(f"worker reference {reference!r}: module {missing} is {where}") from None
        raise PerhopError(f"worker reference {reference!r}: {module_name} imports {missing}, {where}") from None
    found = getattr(module, name, None)
    if isinstance(found, Worker):
        return found
    workers = ", ".join(key for key, value in vars(module).items() if isinstance(value, Worker)) or "none"
    raise PerhopError(f"worker reference {reference!r}: {name} is no worker; workers there: {workers}")
