"""The clients of a call: its caller and whoever follows or steers it, and who of them is told what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from perhop.call.legs import CallerLeg, EndReason
from perhop.call.replies import Replies, Reply
from perhop.call.taps import Tap, Taps
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent, ErrorEvent, ServerEvent, SessionCreated
from perhop.realtime.ids import IdFactory

__all__ = ["Clients"]

_E = TypeVar("_E", bound=ClientEvent)


class Clients:
    """Of one call.

    Args:
        leg: the caller.

    Attributes:
        leg: another one when the caller comes back.
        session: the effective session as clients see it, once there is one.
        replies: whose event an error answers.
    """

    def __init__(self, leg: CallerLeg, *, new_id: IdFactory) -> None:
        self.leg = leg
        self.session: Mapping[str, Any] | None = None
        self.taps = Taps()
        self.replies = Replies(new_id)
        self._new_id = new_id

    def attach(self, tap: Tap, *, audio: bool, own: bool = False) -> None:
        """One more follows: it is told the session that is in force, then everything; ``own`` ones also what clients
        did not ask for.

        Raises:
            LimitExceededError: too many follow already.
        """
        self.taps.add(tap, audio=audio, own=own)
        self.introduce(tap.on_event)

    def introduce(self, reply: Reply) -> None:
        """Tells one client which session this is."""
        if self.session is not None:
            reply(SessionCreated(event_id=self._new_id("event_"), session=dict(self.session)))

    def own(self, event: _E) -> _E:
        """An event of Perhop's own as the model gets it: an error that answers it is for no client."""
        return self.replies.sign(event, None)

    def tell(self, event: ServerEvent) -> ErrorEvent | None:
        """To everybody; but an error that answers somebody's event, to that one alone.

        Returns:
            The error, when it answers an event of Perhop's own and nobody was told.
        """
        answered = self.replies.answer(event) if isinstance(event, ErrorEvent) else None
        if answered is None:
            self.show(event)
            return None
        reply, error = answered
        if reply is None:
            return error
        reply(error)
        return None

    def show(self, event: ServerEvent) -> None:
        """To everybody, whatever it is."""
        self.leg.send(event)
        self.taps.event(event)

    def ended(self, reason: EndReason) -> None:
        """The call is over."""
        self.leg.close(reason)
        self.taps.ended(reason)

    def hear(self, chunk: AudioChunk) -> None:
        """Audio that is not the model's: to everybody."""
        self.leg.play(chunk)
        self.taps.audio(chunk)

    def end_audio(self, response_id: str) -> None:
        """No more audio of this response, which is not the model's, follows."""
        self.leg.end_audio(response_id)
