"""The hearing half of the server: from appended audio to committed user items."""

from __future__ import annotations

from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.effects import CloseUtterance, Completeness, DropUtterance, OpenUtterance, Transcribe
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    APPEND_MAX_BYTES,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
)
from perhop.realtime.input_buffer import InputBuffer
from perhop.realtime.items import ContentPart, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.realtime.session_fields import ServerVad
from perhop.realtime.transcripts import Transcripts
from perhop.realtime.turns import SpeechStarted, SpeechStopped, TurnDetector, TurnTiming

__all__ = ["Listener"]

LAG_MS = 400
"""How far voice detection may be behind the appended audio for the recogniser's stream to be the utterance itself.

A client may append a whole file at once; the stream then runs far ahead and holds later turns as well, so the exact
audio of the turn is recognised instead."""


class Listener:
    """Buffers audio, announces speech, commits turns.

    An *utterance* is open between the start of speech and its commit; while its stream is *live*, the host's
    recogniser hears it as it is spoken.
    """

    def __init__(self, core: Core, transcripts: Transcripts, timing: TurnTiming) -> None:
        sound = core.config.audio.input
        self._core = core
        self._transcripts = transcripts
        self._buffer = InputBuffer(core.input_bytes_per_ms, core.limits.max_buffer_ms)
        self._detector = TurnDetector(sound.turn_detection, timing)
        self._utterance: str | None = None
        self._live = False
        self._committed_ms = 0
        self._idle_at: float | None = None

    @property
    def speaking(self) -> bool:
        """The caller is heard to speak."""
        return self._detector.speaking

    @property
    def idle_at(self) -> float | None:
        """When the silence will have lasted too long; None while that is not watched."""
        return self._idle_at

    # -- audio --------------------------------------------------------------------------------------------------------

    def append(self, audio: bytes) -> None:
        """Takes audio of any length.

        Raises:
            ProtocolError: too much at once, or the first audio for which the buffer has no room.
        """
        if len(audio) > APPEND_MAX_BYTES:
            raise ProtocolError("invalid_value", f"An append may carry {APPEND_MAX_BYTES} bytes of audio.", "audio")
        if not self._buffer.append(audio):
            limit_s = self._core.limits.max_buffer_ms // 1000
            message = f"The input audio buffer is full ({limit_s} s): commit or clear it; audio is lost until then."
            raise ProtocolError("input_audio_buffer_full", message, "audio")

    def heard(self, probability: float, end_ms: int) -> SpeechStarted | SpeechStopped | None:
        """Takes one window of voice activity; the start of speech is announced, its end is for the caller to commit."""
        decision = self._detector.window(probability, end_ms)
        if isinstance(decision, SpeechStarted):
            self._open(decision.start_ms)
        elif self._detector.settings is not None and self._utterance is None:
            self._buffer.discard_before(self._detector.needed_from_ms)
        return decision

    def hinted(self, item_id: str, completeness: Completeness) -> SpeechStopped | None:
        """Takes what the words of the open utterance say; they may end it."""
        return self._detector.hint(completeness) if item_id == self._utterance else None

    def clear(self) -> None:
        """Throws uncommitted audio away."""
        self._drop_utterance()
        self._detector.reset(self._buffer.end_ms)
        self._buffer.clear()
        self._core.emit(InputAudioBufferCleared(event_id=self._core.event_id()))

    def reconfigured(self, old: SessionConfig) -> None:
        """The session has a new configuration: takes over what concerns the caller's audio."""
        before, after = old.audio.input, self._core.config.audio.input
        if after.format.type != before.format.type:
            self._drop_utterance()
            self._buffer.change_format(self._core.input_bytes_per_ms)
            self._detector.reset(self._buffer.end_ms)
        self._detector.settings = after.turn_detection
        if after.turn_detection is None:
            self._drop_utterance()  # the audio stays, for the client to commit
            self._detector.reset(0)
        if self._idle_timeout_ms is None:
            self._idle_at = None

    # -- turns --------------------------------------------------------------------------------------------------------

    def end_turn(self, stopped: SpeechStopped, now: float) -> None:
        """Commits the open utterance up to the end of speech."""
        item_id = self._utterance or self._core.new_id("item_")
        self._core.emit(
            InputAudioBufferSpeechStopped(event_id=self._core.event_id(), audio_end_ms=stopped.end_ms, item_id=item_id)
        )
        self._commit(item_id, stopped.end_ms, now)

    def commit(self, now: float) -> None:
        """Commits all that is buffered, as the client asked.

        Raises:
            ProtocolError: there is next to nothing.
        """
        held_ms, least_ms = self._buffer.held_ms, self._core.limits.min_commit_ms
        if held_ms < least_ms:
            raise ProtocolError(
                "input_audio_buffer_commit_empty",
                f"The input audio buffer holds {held_ms} ms of audio; a commit needs at least {least_ms} ms.",
            )
        self._commit(self._utterance or self._core.new_id("item_"), self._buffer.end_ms, now)

    def _open(self, start_ms: int) -> None:
        """Speech began. Audio from before its padding is of no use any more."""
        self._idle_at = None
        self._buffer.discard_before(start_ms)
        self._utterance = item_id = self._core.new_id("item_")
        self._core.emit(
            InputAudioBufferSpeechStarted(event_id=self._core.event_id(), audio_start_ms=start_ms, item_id=item_id)
        )
        self._live = self._lag_ms(self._detector.heard_ms) <= LAG_MS
        if self._live:
            self._transcripts.hear(item_id)
            self._core.emit(OpenUtterance(item_id, self._buffer.read(start_ms, self._buffer.end_ms)))

    def _commit(self, item_id: str, end_ms: int, now: float) -> None:
        audio = self._buffer.read(self._buffer.start_ms, end_ms)
        entry = self._add_item(item_id, audio, len(audio) // self._core.input_bytes_per_ms, end_ms)
        exact = self._live and self._lag_ms(end_ms) <= LAG_MS
        if exact:
            self._core.emit(CloseUtterance(item_id))
            self._live = False
        self._transcripts.expect(entry, now)
        self._drop_utterance()
        if not exact:
            self._core.emit(Transcribe(item_id, audio))

    def _add_item(self, item_id: str, audio: bytes, audio_ms: int, end_ms: int) -> Entry:
        """Makes the user item and empties the buffer up to ``end_ms``."""
        core = self._core
        self._idle_at = None
        self._committed_ms = end_ms
        self._buffer.discard_before(end_ms)
        self._detector.reset(end_ms)
        core.emit(
            InputAudioBufferCommitted(
                event_id=core.event_id(), item_id=item_id, previous_item_id=core.conversation.tail_id
            )
        )
        content = [ContentPart(type="input_audio", transcript=None)]
        item = MessageItem(id=item_id, status="completed", role="user", content=content)
        entry = Entry(item=item, known=item, audio=audio, audio_ms=audio_ms)
        core.add_item(entry)
        core.item_done(entry)
        return entry

    def _drop_utterance(self) -> None:
        """The open utterance, if any, is no more; a recogniser that hears it stops."""
        if self._utterance is not None and self._live:
            self._core.emit(DropUtterance(self._utterance))
        if self._utterance is not None:
            self._transcripts.drop(self._utterance)
        self._utterance = None
        self._live = False

    def _lag_ms(self, heard_ms: int) -> int:
        return self._buffer.end_ms - heard_ms

    # -- silence ------------------------------------------------------------------------------------------------------

    @property
    def _idle_timeout_ms(self) -> int | None:
        config = self._core.config
        detection = config.audio.input.turn_detection
        if config.type != "realtime" or config.modality != "audio" or not isinstance(detection, ServerVad):
            return None
        return detection.idle_timeout_ms

    def watch_silence(self, played_at: float) -> None:
        """The model has spoken: from ``played_at`` on, when its audio has been played, silence counts."""
        timeout_ms = self._idle_timeout_ms
        if timeout_ms is not None and not self._detector.speaking:
            self._idle_at = played_at + timeout_ms / 1000

    def stop_watching(self) -> None:
        """Something is going on; silence does not count."""
        self._idle_at = None

    def commit_silence(self) -> None:
        """Nobody spoke for too long: the silence becomes an item, which says as much to the model."""
        core = self._core
        end_ms = self._buffer.end_ms
        start_ms = max(self._committed_ms, end_ms - (self._idle_timeout_ms or 0))
        item_id = core.new_id("item_")
        core.emit(
            InputAudioBufferTimeoutTriggered(
                event_id=core.event_id(), audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=item_id
            )
        )
        audio = self._buffer.read(start_ms, end_ms)
        self._add_item(item_id, audio, end_ms - start_ms, end_ms).understood("", shown=False)
