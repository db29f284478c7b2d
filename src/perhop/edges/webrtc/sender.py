"""The audio to one caller: frames out of the playout queue, encoded, as RTP, when their time has come."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal, Protocol

from perhop.edges.webrtc.pacer import PHASES, STEP, Pacer
from perhop.edges.webrtc.slack import Slack
from perhop.media.g711 import alaw_encode, ulaw_encode
from perhop.media.opus import OpusEncoder
from perhop.media.playout import Playout
from perhop.media.resample import Resampler
from perhop.media.rtp import pack_packet
from perhop.media.sdp import Codec
from perhop.realtime.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, SAMPLE_RATE, AudioChunk

__all__ = ["AudioSender"]

FRAMES_PER_S = 1000 // FRAME_MS
FRAME_S = FRAME_MS / 1000
BYTES_PER_S = BYTES_PER_MS * 1000
TAIL_FRAMES = 10
"""200 ms of silence follow the last audio, so that the caller's concealment has nothing to invent; then nothing."""

SHORTEN_EVERY = 5
"""Turns; of 100 ms about 7 are taken out then, which nobody hears and keeps no core busy."""

MOST_SHORTER_MS = 10
LEAST_SHORTER_MS = 5
"""Taken out at once: the period of a voice of 100 and of 200 Hz."""

GAP_S = 0.03
"""Silence within a response that counts as a gap."""

SILENCE = bytes(FRAME_BYTES)
G711_RATE = 8000


class _Encoder(Protocol):
    def encode(self, pcm: bytes) -> bytes: ...

    def protect_against_loss(self, loss: float) -> None: ...

    def close(self) -> None: ...


class AudioSender:
    """Sends what a :class:`~perhop.media.playout.Playout` holds, 20 ms at a time.

    The first frame after a pause goes out at once, the next ones in turn. A frame that is not there in time goes out as
    soon as it is, without a gap in the timestamps if it is less than a frame late; so a source that gives audio in real
    time is delayed by its own jitter and not by more. When it is no longer as late as it was once, some frames are made
    of more audio than they are long, until the delay is made up.

    Timestamps follow the clock: they go on over silence, and jump over the time a stall took.

    Args:
        codec: negotiated; None when the caller does not want to hear anything. Audio is then played to nobody, in
            real time all the same.
        send: takes an RTP packet.
        on_played: called when :attr:`Playout.events` has something, after the frame that caused it was sent.

    Attributes:
        ssrc: of the stream.
        packets, octets: sent; octets are payload bytes.
        gaps: silences of more than :data:`GAP_S` within a response.
    """

    __slots__ = (
        "_anchor",
        "_base",
        "_codec",
        "_cut",
        "_dry_at",
        "_due",
        "_earlier",
        "_encode",
        "_encoder",
        "_excess",
        "_index",
        "_is_ready",
        "_marker",
        "_on_played",
        "_pacer",
        "_playout",
        "_send",
        "_sequence",
        "_slack",
        "_state",
        "_step",
        "_tail",
        "_turns",
        "gaps",
        "octets",
        "packets",
        "ssrc",
    )

    def __init__(
        self,
        codec: Codec | None,
        *,
        ssrc: int,
        playout: Playout,
        pacer: Pacer,
        send: Callable[[bytes], None],
        on_played: Callable[[], None],
    ) -> None:
        self.ssrc = ssrc
        self.packets = 0
        self.octets = 0
        self.gaps = 0
        self._cut: str | None = None
        self._dry_at = 0.0
        self._codec = codec
        self._playout = playout
        self._pacer = pacer
        self._send = send
        self._on_played = on_played
        self._encoder = _open_encoder(codec) if codec is not None else None
        self._encode = self._encoder.encode if self._encoder is not None else None
        self._step = codec.clock_rate // FRAMES_PER_S if codec is not None else 1
        self._sequence = secrets.randbelow(1 << 15)
        self._base = secrets.randbits(32)
        self._anchor = 0.0
        self._index = -1  # of the last frame, counted from the anchor
        self._marker = True
        self._tail = 0
        self._due = 0.0  # when the next turn is
        self._slack = Slack()
        self._excess = 0.0  # s of delay to be made up
        self._turns = 0  # since then
        self._earlier = 0  # steps of the pacer to be made up
        self._state: Literal["idle", "flowing", "dry"] = "idle"
        self._is_ready = False

    def start(self, now: float) -> None:
        """The caller can be sent to from now on; audio that waits starts now."""
        self._is_ready = True
        self._poke(now)

    def play(self, chunk: AudioChunk, now: float) -> None:
        """Queues audio, and sends it at once if its turn is not yet to come.

        Raises:
            LimitExceededError: see :meth:`Playout.push`.
        """
        playout = self._playout
        waiting = playout.queued_ms
        playout.push(chunk)
        if self._state == "flowing":
            if excess := self._slack.note(self._due - now + waiting / 1000, now):
                self._excess, self._turns = excess, 0
        else:
            self._poke(now)

    def on_turn(self, now: float) -> bool:
        """The pacer's call: the next frame is due."""
        playout = self._playout
        frame = self._pull_faster() if self._excess else playout.pull()
        if frame is None:
            goes_on = self._run_dry(now)
        else:
            goes_on = True
            if self._state == "dry":
                self._note_gap(now)
            self._state = "flowing"
            self._emit(frame, now)
            self._due += FRAME_S
            if self._due <= now:  # the pacer missed turns; their phase stays
                self._due += (int((now - self._due) / FRAME_S) + 1) * FRAME_S
            if self._earlier:
                self._come_earlier()
        if playout.events:
            self._on_played()
        return goes_on

    def timestamp(self, now: float) -> int:
        """Where the stream's clock stands, for sender reports."""
        return (self._base + int((now - self._anchor) * self._step * FRAMES_PER_S)) & 0xFFFFFFFF

    @property
    def has_sent(self) -> bool:
        return self.packets > 0

    def protect_against_loss(self, loss: float) -> None:
        """Adapts the encoding to the share of packets (0 to 1) the caller says it loses."""
        if self._encoder is not None:
            self._encoder.protect_against_loss(loss)

    def close(self) -> None:
        """Sends nothing any more; idempotent."""
        self._is_ready = False
        self._pacer.remove(self)
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None
        self._encode = None

    def _poke(self, now: float) -> None:
        """Nothing flows: sends the first frame that waits."""
        if not self._is_ready:
            return
        frame = self._playout.pull()
        if frame is not None:
            self._note_gap(now)
            if self._state == "idle":
                self._begin(now)
            self._state = "flowing"
            self._slack.restart(now)
            self._excess, self._earlier = 0.0, 0
            self._due = self._pacer.add(self, now)
            self._emit(frame, now)
        if self._playout.events:
            self._on_played()

    def _pull_faster(self) -> bytes | None:
        """The next frame, now and then out of more audio than it is long.

        What cannot be made up in this way, since it waits for its turn and not for other audio, is left to the pacer.
        """
        playout = self._playout
        self._turns += 1
        if self._turns % SHORTEN_EVERY:
            return playout.pull()
        behind_ms = max(0, playout.queued_ms - FRAME_MS)
        most_ms = min(MOST_SHORTER_MS, behind_ms, int(self._excess * 1000))
        if most_ms >= LEAST_SHORTER_MS:
            frame, taken = playout.pull_shortened(most_ms)
            self._excess -= taken / BYTES_PER_S
            return frame
        self._earlier = max(0, min(int((self._excess - behind_ms / 1000) / STEP), PHASES - 1))
        self._excess = 0.0
        return playout.pull()

    def _come_earlier(self) -> None:
        """Brings all turns from the next one on forward."""
        gain = self._earlier * STEP
        self._pacer.advance(self, self._earlier)
        self._earlier = 0
        self._due -= gain
        self._anchor -= gain  # what is sent from now on is heard as much earlier

    def _begin(self, now: float) -> None:
        """A new talk spurt: its first timestamp lies as far after the last one as the pause was long."""
        if self.packets:
            passed = max(self._index + 1, int((now - self._anchor) * FRAMES_PER_S))
            self._base = (self._base + passed * self._step) & 0xFFFFFFFF
        self._anchor = now
        self._index = -1
        self._marker = True

    def _emit(self, frame: bytes, now: float) -> None:
        index = int((now - self._anchor) * FRAMES_PER_S)
        if index <= self._index:
            index = self._index + 1
        self._index = index
        encode = self._encode
        codec = self._codec
        if encode is None or codec is None:
            return
        payload = encode(frame)
        sequence = self._sequence = (self._sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        self._send(
            pack_packet(
                codec.payload_type,
                sequence,
                timestamp=(self._base + index * self._step) & 0xFFFFFFFF,
                ssrc=self.ssrc,
                payload=payload,
                marker=self._marker,
            )
        )
        self._marker = False

    def _note_gap(self, now: float) -> None:
        """Counts the silence that ends now, if it was one within a response."""
        if self._cut is not None and self._cut == self._playout.audible and now - self._dry_at > GAP_S:
            self.gaps += 1
        self._cut = None

    def _run_dry(self, now: float) -> bool:
        """Nothing to play in this turn."""
        if self._state == "flowing":
            self._state = "dry"
            self._tail = TAIL_FRAMES
            self._cut, self._dry_at = self._playout.audible, now
            if self._playout.audible is not None:
                return True  # more will come; if it comes within this frame's time, nobody hears the difference
        if self._tail == 0:
            self._state = "idle"
            return False
        self._tail -= 1
        self._emit(SILENCE, now)
        return True


class _G711Encoder:
    """24 kHz to 8 kHz, then the law."""

    def __init__(self, law: Literal["pcmu", "pcma"]) -> None:
        self._resampler = Resampler(SAMPLE_RATE, G711_RATE)
        self._compress = ulaw_encode if law == "pcmu" else alaw_encode

    def encode(self, pcm: bytes) -> bytes:
        return self._compress(self._resampler.push(pcm))

    def protect_against_loss(self, loss: float) -> None:
        """G.711 has nothing to protect itself with."""

    def close(self) -> None:
        """Holds nothing."""


def _open_encoder(codec: Codec) -> _Encoder:
    return OpusEncoder() if codec.name == "opus" else _G711Encoder(codec.name)
