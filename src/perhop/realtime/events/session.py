"""Events about the session as a whole."""

from __future__ import annotations

from typing import Literal

from perhop.realtime.events.base import ClientEvent, ServerEvent
from perhop.realtime.session import parse_session
from perhop.realtime.wire import JsonObject, WireModel

__all__ = [
    "ConversationCreated",
    "ConversationInfo",
    "RateLimit",
    "RateLimitsUpdated",
    "SessionCreated",
    "SessionUpdate",
    "SessionUpdated",
]


class SessionUpdate(ClientEvent):
    """Changes the keys of ``session`` that are present; see :meth:`~perhop.realtime.session.SessionConfig.merged`."""

    type: Literal["session.update"] = "session.update"
    session: JsonObject

    def check(self) -> None:
        parse_session(self.session)


class SessionCreated(ServerEvent):
    """First event of every connection: the full effective session."""

    type: Literal["session.created"] = "session.created"
    session: JsonObject


class SessionUpdated(ServerEvent):
    """After every accepted ``session.update``: the full effective session."""

    type: Literal["session.updated"] = "session.updated"
    session: JsonObject


class ConversationInfo(WireModel):
    """A conversation, by name only."""

    id: str | None = None
    object: str | None = None


class ConversationCreated(ServerEvent):
    """Once after ``session.created``, from servers that send it."""

    type: Literal["conversation.created"] = "conversation.created"
    conversation: ConversationInfo


class RateLimit(WireModel):
    """One limit; ``name`` is ``requests`` or ``tokens``."""

    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


class RateLimitsUpdated(ServerEvent):
    """What is left of the limits, around each response."""

    type: Literal["rate_limits.updated"] = "rate_limits.updated"
    rate_limits: list[RateLimit]
