"""Inputs that must be refused, one file each, named for what is wrong with them."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "broken"


def names(kind: str) -> list[str]:
    """The broken inputs of a kind: ``rtp``, ``rtcp``, ``opus``."""
    found = sorted(path.stem for path in _FOLDER.glob(f"{kind}_*.bin"))
    assert found, f"no broken inputs of kind {kind}"
    return found


def read(name: str) -> bytes:
    """Their bytes."""
    return (_FOLDER / f"{name}.bin").read_bytes()
