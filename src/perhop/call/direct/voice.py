"""The agent's voice in a direct call: the model plays it to the caller, and tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    InputAudioBufferSpeechStarted,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseDone,
    ServerEvent,
)
from perhop.realtime.items import Item, MessageItem

__all__ = ["DirectVoice"]


class DirectVoice:
    """A :class:`~perhop.call.voice.Voice` that is played elsewhere.

    Args:
        reached: told whenever somebody at the other end spoke, or is spoken to.
    """

    clocked = True

    def __init__(self, reached: Callable[[], None]) -> None:
        self.playing = False
        self.interruptions = 0
        self._reached = reached

    def play(self, chunk: AudioChunk) -> bool:  # noqa: ARG002 - of the protocol
        """Not from here: the caller has it from the model."""
        return False

    def observe(self, event: ServerEvent) -> str | None:
        """Takes in what the model says of its playing."""
        match event:
            case InputAudioBufferSpeechStarted():
                self._reached()  # whoever speaks first needs no greeting
            case OutputAudioBufferStarted():
                self._reached()
                self.playing = True
            case OutputAudioBufferStopped():
                self.playing = False
                return event.response_id
            case OutputAudioBufferCleared():
                self.playing = False
                self.interruptions += 1
            case _:
                pass
        return None

    def interrupt(self, live_response_id: str | None) -> bool:  # noqa: ARG002 - of the protocol
        """The model does that itself."""
        return False

    def received_ms(self, response: ResponseDone) -> int:
        """Nobody measures it: some, or none."""
        return int(any(_speaks(item) for item in response.response.output or ()))


def _speaks(item: Item) -> bool:
    """Whether an item of the model has audio."""
    return isinstance(item, MessageItem) and any(part.type in ("output_audio", "audio") for part in item.content)
