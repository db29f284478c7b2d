"""The agent that answers a call at the moment, and the one it hands over to."""

from __future__ import annotations

from collections.abc import Callable

from perhop.call.agents import Agent
from perhop.call.ownership import SessionLock
from perhop.errors import PerhopError

__all__ = ["ActingAgent", "FindAgent"]

FindAgent = Callable[[str, str], tuple[Agent, SessionLock]]
"""(tenant, name) → an agent, and what it decides of a session. Raises PerhopError when there is none that can take one
more call."""

_NOBODY = Agent(name="")
"""Brings nothing along: a plain Realtime session, in which everything is the client's."""


class ActingAgent:
    """Who answers one call. Whatever depends on the agent asks here each time, so a hand-over changes one place.

    Args:
        agent: the first one; None for a plain session.
        find: the agents that may take over; None for none.

    Attributes:
        agent: the one that answers now.
    """

    def __init__(self, agent: Agent | None, *, tenant: str, find: FindAgent | None) -> None:
        self.agent = agent
        self._tenant = tenant
        self._find = find
        self._successor: tuple[Agent, SessionLock] | None = None

    @property
    def profile(self) -> Agent:
        """The agent that answers now; one that has and says nothing where there is none."""
        return self.agent or _NOBODY

    def nominate(self, name: str) -> None:
        """This agent takes over at the next :meth:`succeed`.

        Raises:
            PerhopError: there is no such agent, or it can take no more calls.
        """
        if self._find is None:
            raise PerhopError("there are no other agents here")
        self._successor = self._find(self._tenant, name)

    def succeed(self) -> SessionLock | None:
        """The agent that was nominated answers from here on.

        Returns:
            What it decides of the session; None when nobody was nominated.
        """
        if self._successor is None:
            return None
        (self.agent, lock), self._successor = self._successor, None
        return lock
