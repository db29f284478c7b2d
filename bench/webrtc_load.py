"""The load of ``webrtc_edge.py``: N callers that talk without a pause, and what they notice of the echo."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from bench.webrtc_client import OPUS, LightPeer
from numpy.typing import NDArray

from perhop.media.opus import OpusDecoder, OpusEncoder
from perhop.media.rtp import pack_packet, read_header

RATE = 48_000
FRAME = RATE // 50
INTERVAL = 0.020
GAP = 0.030
PAUSE = 0.5
"""s; when nobody talks without a pause, what is longer is one."""

BURST_EVERY = 47
"""Frames; not a divisor of anything, so that bursts meet every phase of every clock."""

BURST_FRAMES = 4
LOUD = 3000
QUIET_BEFORE = 0.3
RESOLUTION = 0.001
MAX_NAP = 0.0002
"""s; by as much a packet may be noticed late."""


def speech(seconds: float = 10.0) -> list[bytes]:
    """A voice-like signal as Opus packets, encoded as browsers do: 48 kHz mono, 32 kb/s, 20 ms."""
    random = np.random.default_rng(7)
    count = int(seconds * RATE)
    time_axis = np.arange(count) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * time_axis) + 10 * np.sin(2 * np.pi * 3.1 * time_axis)
    phase = np.cumsum(2 * np.pi * pitch / RATE)
    harmonics = [np.sin(n * phase) / n for n in range(1, 24)]
    formant = [1 + 2 * np.exp(-(((n * 120 - f) / 220) ** 2)) for n in range(1, 24) for f in (550,)]
    voiced = np.sum([h * w for h, w in zip(harmonics, formant, strict=True)], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 3.7 * time_axis) + 0.35, 0, 1)
    hiss = random.normal(0, 0.25, count) * np.clip(np.sin(2 * np.pi * 3.7 * time_axis + 2.4) - 0.5, 0, 1)
    return encode(4500 * (voiced * syllables + hiss))


def bursts() -> list[bytes]:
    """Short tones in silence, one every ``BURST_EVERY`` frames."""
    time_axis = np.arange(BURST_FRAMES * FRAME) / RATE
    tone = 14_000 * np.sin(2 * np.pi * 900 * time_axis)
    period = np.concatenate((tone, np.zeros((BURST_EVERY - BURST_FRAMES) * FRAME)))
    return encode(np.tile(period, 20))


def encode(samples: NDArray[np.float64]) -> list[bytes]:
    with OpusEncoder(RATE, application="voip", bitrate=32_000, complexity=5) as encoder:
        pcm = np.clip(samples, -32767, 32767).astype("<i2").tobytes()
        return [encoder.encode(pcm[at : at + 2 * FRAME]) for at in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME)]


@dataclass(slots=True)
class LoadResult:
    """What the callers noticed, times in s.

    Attributes:
        lateness: of every packet sent, against its schedule.
        delays: of every burst, from sending its first packet to hearing its first loud sample.
        packets: received by all callers.
        gaps: of them, how many came more than 30 ms after the one before.
    """

    lateness: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    packets: int = 0
    gaps: int = 0


class Caller:
    """One peer with its socket and its place in the schedule."""

    longest_gap = float("inf")

    def __init__(self, index: int, packets: Sequence[bytes], *, is_probe: bool) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.peer = LightPeer(port=self.socket.getsockname()[1])
        self.is_probe = is_probe
        self._packets = packets
        self._at = 0 if is_probe else (index * 37) % len(packets)
        self._sequence = index
        self._timestamp = index * 1000
        self._last_arrival = 0.0
        self._decoder = OpusDecoder(24_000) if is_probe else None
        self._burst_sent = 0.0
        self._quiet_since = 0.0

    def accept(self, answer: str) -> None:
        self.peer.accept(answer)
        self.socket.connect(self.peer.target)

    def flush(self) -> None:
        for datagram in self.peer.outgoing():
            self.socket.send(datagram)

    def talk(self, now: float) -> None:
        """Sends the next packet."""
        payload = self._packets[self._at]
        if self.is_probe and self._at % BURST_EVERY == 0:
            self._burst_sent = now
        self._at = (self._at + 1) % len(self._packets)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME) & 0xFFFFFFFF
        packet = pack_packet(OPUS, self._sequence, timestamp=self._timestamp, ssrc=1, payload=payload)
        self.socket.send(self.peer.protect(packet))

    def hear(self, result: LoadResult | None, now: float) -> None:
        """Reads everything that came."""
        while True:
            try:
                datagram, source = self.socket.recvfrom(2048)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                continue
            if 127 < datagram[0] < 192 and not 192 <= datagram[1] <= 223:
                if result is not None:
                    result.packets += 1
                    if self._last_arrival and GAP < now - self._last_arrival < self.longest_gap:
                        result.gaps += 1
                self._last_arrival = now
                if not self.is_probe:
                    continue
            self.peer.receive(datagram, source, now)
        if self.peer.received:
            self._listen(result, now)

    def _listen(self, result: LoadResult | None, now: float) -> None:
        """Decodes what came."""
        assert self._decoder is not None
        packets, self.peer.received = self.peer.received, []
        for packet in packets:
            _, _, _, _, _, start, end = read_header(packet)
            samples = np.frombuffer(self._decoder.decode(packet[start:end]), "<i2")
            self.heard(np.flatnonzero(np.abs(samples) > LOUD), result, now)

    def heard(self, loud: NDArray[np.intp], result: LoadResult | None, now: float) -> None:
        """Looks for the start of a burst.

        Args:
            loud: which of a packet's samples are.
        """
        if not len(loud):
            self._quiet_since = self._quiet_since or now
            return
        was_quiet = self._quiet_since and now - self._quiet_since > QUIET_BEFORE
        self._quiet_since = 0.0
        if was_quiet and self._burst_sent and result is not None:
            result.delays.append(now + loud[0] / 24_000 - self._burst_sent)


class Load:
    """All callers, on one thread that does nothing else."""

    def __init__(self, calls: int, probes: int, *, make: Callable[[int], Caller] | None = None) -> None:
        if make is None:
            talking, probing = speech(), bursts()

            def make(index: int) -> Caller:
                return Caller(index, probing if index < probes else talking, is_probe=index < probes)

        self.callers = [make(index) for index in range(calls)]
        self._poll = select.epoll()
        self._by_fd = {caller.socket.fileno(): caller for caller in self.callers}
        self._active: list[Caller] = []
        self._start = time.monotonic()
        self._slot = 0  # of the schedule: slot k is at start + k * INTERVAL / calls, and caller k % calls talks in it

    def connect(self, callers: Sequence[Caller], answer: Callable[[str], str], *, timeout: float = 20.0) -> float:
        """Brings these callers up, all at once, while the others go on; returns the seconds it took."""
        began = time.monotonic()
        for caller in callers:
            caller.accept(answer(caller.peer.offer))
            self._poll.register(caller.socket.fileno(), select.EPOLLIN)
            self._active.append(caller)
            self.run(until=time.monotonic(), result=None)
        while not all(caller.peer.connected for caller in callers):
            if time.monotonic() - began > timeout:
                missing = sum(not caller.peer.connected for caller in callers)
                raise TimeoutError(f"{missing} of {len(callers)} callers did not connect within {timeout:g} s")
            self.run(until=time.monotonic() + 0.005, result=None)
        return time.monotonic() - began

    def run(self, *, until: float, result: LoadResult | None) -> None:
        """Talks and listens."""
        while True:
            due, now = self._talk(result)
            if now >= until:
                return
            wait = min(due, until) - now
            if wait < 2 * RESOLUTION:
                # epoll rounds waits up to whole milliseconds, sleep does not; spinning would use up the share of its
                # core that the kernel grants a real-time process.
                time.sleep(min(wait, MAX_NAP))
                wait = 0.0
            for fd, _ in self._poll.poll(max(0.0, wait - RESOLUTION)):
                caller = self._by_fd[fd]
                caller.hear(result, time.monotonic())
                caller.flush()
                self._talk(result)  # many may have been answered at once; the schedule does not wait for them

    def _talk(self, result: LoadResult | None) -> tuple[float, float]:
        """Has everyone speak whose turn it is; returns when the next one's is, and the time."""
        count = len(self.callers)
        step = INTERVAL / count
        while True:
            now = time.monotonic()
            due = self._start + self._slot * step
            if due > now:
                return due, now
            self._turn(self.callers[self._slot % count], due, now, result)
            self._slot += 1

    def _turn(self, caller: Caller, due: float, now: float, result: LoadResult | None) -> None:
        if caller.peer.dtls is None:
            return
        caller.peer.tick(now)
        caller.flush()
        if caller.peer.connected:
            caller.talk(now)
            if result is not None:
                result.lateness.append(now - due)
