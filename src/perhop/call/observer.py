"""What others want to know of a call as it goes: figures only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perhop.call.call import Call

__all__ = ["CallObserver"]


@dataclass(slots=True)
class CallObserver:
    """Every field is a function that must return at once.

    Attributes:
        ended: the call is over.
        first_audio: end of the caller's speech → first audio on the wire, s.
    """

    ended: Callable[[Call], None]
    first_audio: Callable[[float], None]
