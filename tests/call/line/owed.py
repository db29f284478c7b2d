"""Silence while speech is owed: what a caller hears of a takeover between two model sessions."""

from __future__ import annotations

from dataclasses import dataclass

from tests.call.helpers import Caller

from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    InputAudioBufferSpeechStarted,
    OutputAudioBufferStarted,
    ResponseDone,
    ServerEvent,
)

__all__ = ["FRAME_MS", "Gap", "Listening"]

FRAME_MS = 20


@dataclass(slots=True, eq=False)
class Gap:
    """What one takeover cost the caller.

    Speech is owed from the takeover on while audio that was received waits to be played. If the response that was
    being spoken was cut off, it is owed further, until the first frame of another response or until the caller speaks.
    Silence after a response that was given to its end is nobody's.

    Attributes:
        cut_off: the model had not given what it was saying to its end.
        ms: silence while speech was owed.
        open: it is not known yet what follows.
    """

    cut_off: bool = False
    ms: int = 0
    open: bool = True


class Listening(Caller):
    """A caller who counts every silent tick of 20 ms while speech is owed after a takeover.

    Whoever knows of a takeover calls :meth:`taken_over` in the same step. A response that ends with
    ``model_session_lost`` was cut off; the takeover that makes up for it may come later, and is charged from the loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.speaking = False
        self._giving: set[str] = set()
        self._received: set[str] = set()
        self._before: set[str] | None = None
        self._lost: Gap | None = None
        self._gaps: list[Gap] = []

    @property
    def spoken_to(self) -> bool:
        """Whether a response is being heard: audio waits to be played, or what was begun is not given to its end."""
        return self._owed or bool(self._giving)

    def taken_over(self) -> Gap:
        """Another model session is in force from now on; what that costs is counted in the answer as time goes on."""
        gap, self._lost = self._lost, None
        if gap is None:
            gap = Gap(cut_off=self._before is not None)
            self._gaps.append(gap)
        return gap

    # -- the leg ------------------------------------------------------------------------------------------------------

    def play(self, chunk: AudioChunk) -> None:
        super().play(chunk)
        self._giving.add(chunk.response_id)
        self._received.add(chunk.response_id)

    def send(self, event: ServerEvent) -> None:
        super().send(event)
        match event:
            case ResponseDone():
                self._done(event)
            case OutputAudioBufferStarted() if self._before is not None and event.response_id not in self._before:
                self._made_up_for()
            case InputAudioBufferSpeechStarted():
                self.speaking = True
            case _ if event.type.startswith("input_audio_buffer."):
                self.speaking = False

    def clear(self) -> str | None:
        self._giving.clear()
        self._made_up_for()
        return super().clear()

    def tick(self, frames: int = 1) -> None:
        for _ in range(frames):
            before, owed = self.frames, self._owed
            super().tick()
            if not owed:
                self._close()
            elif self.frames == before:
                for gap in self._gaps:
                    gap.ms += FRAME_MS

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _owed(self) -> bool:
        return self.playout.queued_ms > 0 or self._before is not None

    def _done(self, event: ResponseDone) -> None:
        response_id = event.response.id or ""
        if response_id not in self._giving:
            return
        self._giving.discard(response_id)
        failure = event.response.status_details.error if event.response.status_details else None
        if failure is None or failure.code != "model_session_lost":
            return
        self._before = set(self._received)
        if self._lost is None:
            self._lost = Gap(cut_off=True)
            self._gaps.append(self._lost)

    def _made_up_for(self) -> None:
        """Another response is heard, or nobody wants to hear any more of the one that was cut off."""
        if self._before is not None:
            self._before = None
            self._close()

    def _close(self) -> None:
        for gap in self._gaps:
            gap.open = False
        self._gaps.clear()
