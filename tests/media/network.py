"""A network in virtual time, and a codec whose audio says which frame it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
from tests.media.helpers import FRAME, OPUS, opus_rtp

from perhop.media.payloads import Codec, PayloadDecoder
from perhop.media.receiver import AudioReceiver

CONCEALED = -1_000
RECOVERED = -2_000


def numbered(index: int) -> bytes:
    """The payload of a numbered frame."""
    return b"frame%d" % index


class NumberedPayload:
    """Decodes "frame7" to 20 ms of the sample 307, a guess to -1000, a copy to -2000."""

    clock_rate = 48_000

    def decode(self, payload: bytes) -> bytes:
        return _constant(int(payload[5:]) + 300, FRAME)

    def duration(self, payload: bytes) -> int:
        return FRAME

    def conceal(self, samples: int) -> bytes:
        return _constant(CONCEALED, samples)

    def recover(self, payload: bytes, samples: int) -> bytes:
        copy = min(samples, FRAME)
        return _constant(CONCEALED, samples - copy) + _constant(RECOVERED, copy)

    def recoverable(self, payload: bytes) -> bool:
        return True

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def _constant(value: int, samples: int) -> bytes:
    return np.full(samples, value, "<i2").tobytes()


def _open(_: Codec) -> PayloadDecoder:
    return NumberedPayload()


@contextmanager
def numbered_frames() -> Iterator[None]:
    """Receivers opened in here decode numbered frames instead of Opus."""
    with patch("perhop.media.timeline.open_payload", _open):
        yield


@dataclass
class Listener:
    """A receiver fed in virtual time, and what came out of it when."""

    receiver: AudioReceiver = field(default_factory=lambda: AudioReceiver({OPUS: "opus"}))
    heard: bytearray = field(default_factory=bytearray)
    handed: list[tuple[float, int]] = field(default_factory=list)  # (when, samples so far)
    now: float = 0.0

    def sign_of_life(self) -> int:
        """The peer is heard now, by something else than audio; returns the samples that gives."""
        pcm = self.receiver.on_sign_of_life(self.now)
        self._take(pcm, self.now)
        return len(pcm) // 2

    def wait(self, until: float) -> None:
        """Lets time go by; timers fire when they are due."""
        while (deadline := self.receiver.next_deadline()) is not None and deadline <= until:
            self._take(self.receiver.on_timer(deadline), deadline)
        self.now = until

    def packet(self, data: bytes, at: float) -> bytes:
        """An RTP packet arrives."""
        self.wait(at)
        pcm = self.receiver.receive(data, at)
        self._take(pcm, at)
        return pcm

    def frame(self, index: int, at: float, *, seq: int = 0, timestamp: int = 0) -> bytes:
        """The packet of a numbered frame arrives."""
        return self.packet(opus_rtp(index, numbered(index), seq=seq, timestamp=timestamp), at)

    def _take(self, pcm: bytes, when: float) -> None:
        if pcm:
            self.heard += pcm
            self.handed.append((when, len(self.heard) // 2))

    @property
    def samples(self) -> int:
        """How much came out."""
        return len(self.heard) // 2

    def story(self) -> list[tuple[int | str, int]]:
        """What was heard, as runs: ``(frame number or word, samples)``."""
        runs: list[tuple[int | str, int]] = []
        words = {0: "silence", CONCEALED: "guess", RECOVERED: "copy"}
        for value in np.frombuffer(bytes(self.heard), "<i2").tolist():
            name: int | str = words[value] if value in words else value - 300
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1] + 1)
            else:
                runs.append((name, 1))
        return runs
