"""A model leg that returns the caller's own audio and text: for measuring everything around a model."""

from __future__ import annotations

from perhop.models.driver import ServerDriver
from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import Effect, OutputDone, OutputText, StartResponse
from perhop.realtime.items import MessageItem

__all__ = ["ECHO_ITEM", "ECHO_RESPONSE", "EchoModel"]

ECHO_RESPONSE = "resp_echo"
ECHO_ITEM = "item_echo"


class EchoModel(ServerDriver):
    """Audio goes back frame by frame, as audio of one endless item; a text turn is answered with its own text.

    The session should have no turn detection: nobody is listening.
    """

    def append(self, pcm: bytes) -> None:
        """Returns the audio at once."""
        if self._sink is not None and not self._closed:
            self._sink.on_model_audio(AudioChunk(ECHO_RESPONSE, ECHO_ITEM, 0, 0, pcm))

    def heard(self, pcm: bytes) -> None:
        """Never reached: audio does not pass through the server."""

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
