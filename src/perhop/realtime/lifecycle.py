"""The life of a response: everything that decides what may happen when, and nothing else.

A conversation has room for one response at a time. That room is a small machine: ``IDLE`` while it is empty,
``WAITING`` while its response cannot go on yet (words of the caller are still being recognised, or tools that this
server runs for it are still at work), ``RUNNING`` while the model produces it. Out-of-band responses each have a room
of their own, which exists until they end.

:data:`TRANSITIONS` says, for every state and every stimulus, what state follows and which actions to take, in order.
It is complete: no pair is left to chance. Payloads (text, audio, reasons) travel beside it, untouched. What follows
from the table alone:

* ``BEGIN`` (one ``response.created``) only leaves ``IDLE``, so there is at most one live response per room;
* every way back to ``IDLE`` takes ``CLOSE`` exactly once, and nothing else takes it: one ``response.done`` each;
* ``STOP`` is asked of the host exactly when the host was asked to ``START`` and has not said it is through;
* output is shown only while ``RUNNING``: what a host still says about a closed response goes nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["TRANSITIONS", "Action", "State", "Stimulus", "step"]


class State(Enum):
    """Where a room for responses stands."""

    IDLE = "idle"
    WAITING = "waiting"
    RUNNING = "running"


class Stimulus(Enum):
    """What can happen to it."""

    CREATE = "create"
    """Someone asks for a response."""
    READY = "ready"
    """Everything the response must see is known."""
    OUTPUT = "output"
    """The host produced text, audio or a function call."""
    FINISH = "finish"
    """The host has given everything."""
    HOLD = "hold"
    """The host has given everything, but tools that it called are still at work."""
    SETTLE = "settle"
    """Those tools are through, and the model is not to go on."""
    FAIL = "fail"
    """The host cannot go on."""
    LIMIT = "limit"
    """The response has used up its tokens."""
    CANCEL = "cancel"
    """The client asks to stop."""
    INTERRUPT = "interrupt"
    """The caller talks over it."""


class Action(Enum):
    """What to do about it."""

    BEGIN = "begin"
    """Announce the response."""
    START = "start"
    """Ask the host to produce it."""
    EMIT = "emit"
    """Show the output."""
    STOP = "stop"
    """Ask the host to stop producing."""
    KEEP = "keep"
    """Remember how it is to end."""
    CLOSE = "close"
    """Send the closing events of everything open, then ``response.done``."""
    REFUSE_CREATE = "refuse_create"
    """Answer ``conversation_already_has_active_response``."""
    REFUSE_CANCEL = "refuse_cancel"
    """Answer ``response_cancel_not_active``."""


_Outcome = tuple[State, tuple[Action, ...]]

_IDLE: dict[Stimulus, _Outcome] = {
    Stimulus.CREATE: (State.WAITING, (Action.BEGIN,)),
    Stimulus.READY: (State.IDLE, ()),
    Stimulus.OUTPUT: (State.IDLE, ()),
    Stimulus.FINISH: (State.IDLE, ()),
    Stimulus.HOLD: (State.IDLE, ()),
    Stimulus.SETTLE: (State.IDLE, ()),
    Stimulus.FAIL: (State.IDLE, ()),
    Stimulus.LIMIT: (State.IDLE, ()),
    Stimulus.CANCEL: (State.IDLE, (Action.REFUSE_CANCEL,)),
    Stimulus.INTERRUPT: (State.IDLE, ()),
}

_WAITING: dict[Stimulus, _Outcome] = {
    Stimulus.CREATE: (State.WAITING, (Action.REFUSE_CREATE,)),
    Stimulus.READY: (State.RUNNING, (Action.START,)),
    Stimulus.OUTPUT: (State.WAITING, ()),
    Stimulus.FINISH: (State.WAITING, ()),
    Stimulus.HOLD: (State.WAITING, ()),
    Stimulus.SETTLE: (State.IDLE, (Action.CLOSE,)),
    Stimulus.FAIL: (State.WAITING, ()),
    Stimulus.LIMIT: (State.WAITING, ()),
    Stimulus.CANCEL: (State.IDLE, (Action.CLOSE,)),
    Stimulus.INTERRUPT: (State.IDLE, (Action.CLOSE,)),
}

_RUNNING: dict[Stimulus, _Outcome] = {
    Stimulus.CREATE: (State.RUNNING, (Action.REFUSE_CREATE,)),
    Stimulus.READY: (State.RUNNING, ()),
    Stimulus.OUTPUT: (State.RUNNING, (Action.EMIT,)),
    Stimulus.FINISH: (State.IDLE, (Action.CLOSE,)),
    Stimulus.HOLD: (State.WAITING, (Action.KEEP,)),
    Stimulus.SETTLE: (State.RUNNING, ()),
    Stimulus.FAIL: (State.IDLE, (Action.CLOSE,)),
    Stimulus.LIMIT: (State.IDLE, (Action.STOP, Action.CLOSE)),
    Stimulus.CANCEL: (State.IDLE, (Action.STOP, Action.CLOSE)),
    Stimulus.INTERRUPT: (State.IDLE, (Action.STOP, Action.CLOSE)),
}

TRANSITIONS: Final[Mapping[tuple[State, Stimulus], _Outcome]] = MappingProxyType(
    {
        (state, stimulus): outcome
        for state, row in ((State.IDLE, _IDLE), (State.WAITING, _WAITING), (State.RUNNING, _RUNNING))
        for stimulus, outcome in row.items()
    }
)
"""(state, stimulus) → (next state, actions in order)."""


def step(state: State, stimulus: Stimulus) -> tuple[State, tuple[Action, ...]]:
    """What follows from ``stimulus`` in ``state``."""
    return TRANSITIONS[state, stimulus]
