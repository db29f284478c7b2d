"""The call, as its model line sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from perhop.call.history import History
from perhop.call.legs import ModelSink
from perhop.realtime.events import ClientEvent, ResponseDone
from perhop.realtime.items import Item
from perhop.realtime.session import SessionConfig

__all__ = ["Line", "LineHost", "Rejoin", "Replacement"]

Replacement = Literal["start", "renewal", "reconnect", "failover", "resume", "restart"]
"""Why a model session came in force."""


@dataclass(frozen=True, slots=True)
class Rejoin:
    """What is known of a time in which a session went on and was not heard.

    Attributes:
        seconds: how long.
        attempts: tries it took to hear it again.
        items: of its conversation, as they are now: those that were being made, and the newest.
        live: the response that was being made still is.
    """

    seconds: float
    attempts: int
    items: Sequence[Item] = field(default=(), repr=False)
    live: bool = False


class LineHost(ModelSink, Protocol):
    """A sink that outlives model sessions, and knows what is going on between them."""

    @property
    def history(self) -> History: ...

    def busy(self) -> bool:
        """Whether the caller hears a response, a tool runs, or a response was asked for and has not begun."""

    def on_session_lost(self) -> None:
        """The session in force is gone: what it had begun must be ended. The line has none when this is called."""

    def on_response_settled(self, event: ResponseDone) -> None:
        """A response that was cut off with its session has ended there: what it used is to be paid for."""

    def on_session_replaced(
        self,
        why: Replacement,
        *,
        epoch: int,
        left: str,
        lost: bool,
        gap_s: float,
        session: Mapping[str, Any] | None = None,
    ) -> None:
        """A session is in force and knows the conversation: what was asked and not begun must be asked again.

        Args:
            epoch: its number.
            left: the model of the one before; another one after a failover, whatever the session is for.
            lost: a response was cut off in the one before.
            gap_s: how long there was none.
            session: what is in force now, where that is not what was: another agent's session, or another model's.
        """

    def on_audio_lost(self, ms: int) -> None:
        """So much of what the caller said while there was no session was more than is kept, and nobody hears it."""

    def on_waiting(self) -> None:
        """There has been no session for a while; the caller should be told to wait."""

    def on_rejoined(self, rejoin: Rejoin) -> None:
        """The same session is heard again; what happened meanwhile is not told any more."""


class Line(Protocol):
    """The model side of a call."""

    @property
    def epoch(self) -> int:
        """How many model sessions were opened before the one in force, or before the last that was."""

    @property
    def sessions(self) -> int:
        """How many sessions there are now."""

    @property
    def model(self) -> str:
        """The configured name of the model the conversation is with, or was last."""

    def start(self, host: LineHost, session: SessionConfig) -> None:
        """Opens the first session with this configuration."""

    def admit(self, event: ClientEvent) -> None:
        """Comes before the event of a client is sent.

        Raises:
            ProtocolError: too much waits for a session already. What Perhop itself sends need not ask.
        """

    def send(self, event: ClientEvent) -> None:
        """Sends one client event, in order."""

    def append(self, pcm: bytes) -> None:
        """Caller audio, 24 kHz mono s16le."""

    def suspend(self) -> None:
        """Nobody is there to talk to: the session ends until :meth:`resume`."""

    def resume(self) -> None:
        """Somebody is there again."""

    def restart(self, changes: Mapping[str, Any]) -> None:
        """Goes on with this configuration, in a further session if need be."""

    def close(self) -> None:
        """Ends whatever session there is; idempotent."""
