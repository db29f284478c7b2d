"""A model leg that returns the caller's own audio and text: for measuring everything around a model."""

from __future__ import annotations

import time
from collections.abc import Callable

from perhop.models.driver import ServerDriver
from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import Effect, OutputDone, OutputText, StartResponse
from perhop.realtime.events import ClientEvent, ConversationItemDelete, ConversationItemTruncate
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.items import MessageItem

__all__ = ["EchoModel"]


class EchoModel(ServerDriver):
    """Audio goes back frame by frame, as audio of one endless item; a text turn is answered with its own text.

    The session should have no turn detection: nobody is listening.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
        session_cap_s: float | None = None,
    ) -> None:
        super().__init__(clock=clock, new_id=new_id, session_cap_s=session_cap_s)
        self._renew()

    def append(self, pcm: bytes) -> None:
        """Returns the audio at once."""
        if self._sink is not None and not self._closed:
            self._sink.on_model_audio(AudioChunk(self._response_id, self._item_id, 0, 0, pcm))

    def send(self, event: ClientEvent) -> None:
        """Takes one client event; the echo that a caller cut off goes on under new names."""
        if isinstance(event, ConversationItemTruncate | ConversationItemDelete) and event.item_id == self._item_id:
            self._renew()
        else:
            super().send(event)

    def heard(self, _pcm: bytes) -> tuple[()]:
        """Never reached: audio does not pass through the server."""
        return ()

    def carry_out(self, effect: Effect) -> None:
        """Answers a response with the last thing said."""
        if not isinstance(effect, StartResponse):
            return
        said = [item for item in effect.context if isinstance(item, MessageItem) and item.role == "user"]
        if said:
            self.feed(OutputText(effect.response_id, said[-1].text()))
        self.feed(OutputDone(effect.response_id))

    def released(self) -> None:
        """Nothing to give back."""

    def _renew(self) -> None:
        self._response_id = self._new_id("resp_")
        self._item_id = self._new_id("item_")
