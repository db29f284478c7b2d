"""Names that no other test uses, for tests that share a server."""

from __future__ import annotations

import itertools
import os

_numbers = itertools.count()


def unique(name: str) -> str:
    return f"{name}-{os.getpid()}-{next(_numbers)}"
