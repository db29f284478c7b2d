"""Session objects as they stand on the wire: complete, or only what is to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["value_at"]


def value_at(session: object, *path: str) -> Any:
    """What stands at a path, such as ``"audio", "input", "transcription"``; None where nothing does.

    Nothing is said of its type: these objects come from clients and models.
    """
    node = session
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
