"""How well speech survives packet loss on its way to the model: Perhop's receiver against aiortc's.

The same Opus packets (24 kHz mono, 32 kb/s, in-band FEC, as a browser sends them) go through the same lossy network in
virtual time into both receivers. Reported is what the model leg hears and how late it hears it. Nothing is played and
nothing sleeps; the same seed gives the same table.

    python bench/loss.py --count 4
"""

from __future__ import annotations

import ctypes
import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import av
import espeakng_loader
import numpy as np
import typer
from aiortc.codecs.opus import OpusDecoder as AiortcOpusDecoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket as AiortcPacket
from numpy.typing import NDArray
from pystoi import stoi
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from perhop.media.opus import OpusEncoder
from perhop.media.receiver import AudioReceiver
from perhop.media.resample import Resampler
from perhop.media.rtp import pack_packet

FRAME_MS = 20
FRAME_SAMPLES = 480
FRAME_TICKS = 960
PAYLOAD_TYPE = 111
SSRC = 0x1234
NETWORK_DELAY = 0.040
"""Seconds every packet takes at least."""

SPEECH = (
    ("en-us", "Good morning. I would like to see a two bedroom apartment in Oakland on Friday, if that is possible."),
    (
        "en-us+m3",
        "The ship was torn apart on the sharp reef. Sickness kept him home the third week, and he missed it all.",
    ),
    ("en-us+f3", "My account number is four seven one, nine two. Please send the details to my phone by text message."),
    (
        "en-us+f2",
        "Could you tell me when the doctor is free? Thursday afternoon at a quarter past three would be best.",
    ),
)


@dataclass(frozen=True)
class Network:
    """What happens to the packets: their loss, how many are lost in a row on average, and how many are overtaken."""

    loss: float = 0.0
    burst: float = 1.0
    reordered: float = 0.0
    jitter_ms: float = 2.0

    @property
    def name(self) -> str:
        if self.reordered:
            return f"{self.reordered:.0%} overtaken"
        if not self.loss:
            return "no loss"
        return f"{self.loss:.0%} " + (f"in bursts of {self.burst:g}" if self.burst > 1 else "random")

    def arrivals(self, count: int, seed: int) -> list[tuple[float, int]]:
        """``(when, which)`` of every packet that comes, in order of arrival."""
        rng = random.Random(seed)
        lost = self._bursty(rng) if self.burst > 1 else self._random(rng)
        arrivals: list[tuple[float, int]] = []
        latest = 0.0
        for index in range(count):
            when = index * FRAME_MS / 1000 + NETWORK_DELAY + rng.expovariate(1000 / self.jitter_ms)
            if rng.random() < self.reordered:
                when += rng.uniform(0.020, 0.050)
            else:
                latest = when = max(when, latest)  # a queue: jitter alone does not reorder
            # The first packets come, so that both receivers start from the same one.
            if not next(lost) or index < 2:
                arrivals.append((when, index))
        return sorted(arrivals)

    def _random(self, rng: random.Random) -> Iterator[bool]:
        while True:
            yield rng.random() < self.loss

    def _bursty(self, rng: random.Random) -> Iterator[bool]:
        """Gilbert-Elliott with nothing lost in the good state and everything in the bad one."""
        leave_bad = 1 / self.burst
        enter_bad = leave_bad * self.loss / (1 - self.loss)
        bad = False
        while True:
            bad = rng.random() < enter_bad if not bad else rng.random() >= leave_bad
            yield bad


NETWORKS = (
    Network(),
    Network(loss=0.01),
    Network(loss=0.05),
    Network(loss=0.10),
    Network(loss=0.01, burst=3),
    Network(loss=0.05, burst=3),
    Network(loss=0.10, burst=3),
    Network(reordered=0.02),
)


@dataclass
class Heard:
    """What came out of a receiver.

    Attributes:
        pcm: 24 kHz mono, as the model leg gets it.
        delays: added delay in seconds of every 20 ms that came out: handed on, minus the earliest possible.
        missing: share of the frames that were not decoded from their own packet or its FEC copy.
        recovered: share of the frames decoded from FEC.
        aligned: whether the audio is on the time line of what was spoken.
    """

    pcm: bytes
    delays: list[tuple[float, float]]
    missing: float
    recovered: float = 0.0
    aligned: bool = True


class Speaker:
    """espeak-ng in this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        synchronous = 2
        self._rate = self._library.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
        self._pieces: list[bytes] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._collect)  # kept, because the library goes on pointing to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if samples and count:
            self._pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    def say(self, voice: str, text: str) -> bytes:
        """24 kHz mono, half a second of silence at either end."""
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice}")
        self._pieces.clear()
        utf8 = 1
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, utf8, None, None)
        self._library.espeak_Synchronize()
        pause = bytes(24_000)
        return pause + Resampler(self._rate, 24_000).push(b"".join(self._pieces)) + pause


def encode(pcm: bytes, expected_loss: float) -> list[bytes]:
    """Opus packets as libwebrtc's encoder makes them once reports told it of the loss."""
    packets: list[bytes] = []
    with OpusEncoder(application="voip", bitrate=32_000, complexity=9) as encoder:
        # The encoder looks ahead: what it delays is cut off here, so that both scores compare like with like.
        pcm = pcm[2 * encoder.lookahead :] + bytes(2 * encoder.lookahead)
        encoder.set_fec(True)
        encoder.set_loss(expected_loss)
        for start in range(0, len(pcm) - 2 * FRAME_SAMPLES + 1, 2 * FRAME_SAMPLES):
            packets.append(encoder.encode(pcm[start : start + 2 * FRAME_SAMPLES]))  # noqa: PERF401 - the codec has state
    return packets


def earliest(index: int) -> float:
    """When frame ``index`` could be handed on at the soonest."""
    return index * FRAME_MS / 1000 + NETWORK_DELAY


def perhop(packets: list[bytes], arrivals: list[tuple[float, int]]) -> Heard:
    """Perhop's receiver in virtual time: timers fire exactly when they are due."""
    receiver = AudioReceiver({PAYLOAD_TYPE: "opus"})
    came = {index: when for when, index in arrivals}
    out: list[bytes] = []
    delays: list[tuple[float, float]] = []
    handed = 0

    def take(pcm: bytes, now: float) -> None:
        nonlocal handed
        if not pcm:
            return
        out.append(pcm)
        handed += len(pcm) // 2
        while (len(delays) + 1) * FRAME_SAMPLES <= handed:
            index = len(delays)
            delays.append((now, max(0.0, now - came.get(index, earliest(index)))))

    for when, index in arrivals:
        while (deadline := receiver.next_deadline()) is not None and deadline <= when:
            take(receiver.on_timer(deadline), deadline)
        packet = pack_packet(
            PAYLOAD_TYPE, index & 0xFFFF, timestamp=index * FRAME_TICKS, ssrc=SSRC, payload=packets[index]
        )
        take(receiver.receive(packet, when), when)
    stats = receiver.stats
    total = len(packets) * FRAME_MS
    receiver.close()
    return Heard(b"".join(out), delays, stats.concealed_ms / total, stats.recovered_ms / total)


def aiortc(packets: list[bytes], arrivals: list[tuple[float, int]]) -> dict[int, tuple[float, bytes]]:
    """aiortc's jitter buffer and decoder as its receiver uses them: ``{frame: (handed on, 24 kHz mono PCM)}``."""
    buffer = JitterBuffer(capacity=16, prefetch=4)
    decoder = AiortcOpusDecoder()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=24_000)
    frames: dict[int, tuple[float, bytes]] = {}
    for when, index in arrivals:
        packet = AiortcPacket(
            payload_type=PAYLOAD_TYPE, sequence_number=index & 0xFFFF, timestamp=index * FRAME_TICKS, ssrc=SSRC
        )
        packet._data = packets[index]  # noqa: SLF001 - where aiortc's receiver puts the depayloaded data
        _, ready = buffer.add(packet)
        if ready is None:
            continue
        pcm = b"".join(
            bytes(piece.planes[0])[: 2 * piece.samples]
            for frame in decoder.decode(ready)
            for piece in resampler.resample(frame)
        )
        frames[ready.timestamp // FRAME_TICKS] = (when, pcm)
    return frames


def heard_from_aiortc(
    frames: dict[int, tuple[float, bytes]], arrivals: list[tuple[float, int]], *, total: int, fill: bool
) -> Heard:
    """What a consumer of aiortc's track hears: the frames as they come, or each at its time with silence between."""
    came = {index: when for when, index in arrivals}
    delays = [(when, when - came[index]) for index, (when, _) in sorted(frames.items())]
    out: list[bytes] = []
    last = max(frames)
    for index in range(last + 1):
        if index in frames:
            out.append(frames[index][1])
        elif fill:
            out.append(bytes(2 * FRAME_SAMPLES))
    # Frames still in the buffer at the end are not missing, only late.
    return Heard(b"".join(out), delays, (last + 1 - len(frames)) / total, aligned=fill)


def at_16k(pcm: bytes) -> NDArray[np.int16]:
    """PCM at the rate both scores are defined for."""
    return np.frombuffer(Resampler(24_000, 16_000).push(pcm), "<i2")


def pesq_score(reference: bytes, heard: bytes) -> float:
    """PESQ, wide band, 1 to 4.6; it follows changes of delay. NaN without the package, which needs a compiler."""
    try:
        from pesq import pesq
    except ImportError:
        return math.nan
    return float(pesq(16_000, at_16k(reference), at_16k(heard), "wb"))


def estoi_score(reference: bytes, heard: bytes) -> float:
    """ESTOI, 0 to 1: intelligibility; both signals must lie on one time line."""
    clean, degraded = at_16k(reference), at_16k(heard)
    length = min(len(clean), len(degraded))
    return float(stoi(clean[:length], degraded[:length], 16_000, extended=True))


@dataclass
class Row:
    """All runs of one receiver over one network."""

    receiver: str
    network: str
    pesq: list[float] = field(default_factory=list)
    estoi: list[float] = field(default_factory=list)
    missing: list[float] = field(default_factory=list)
    recovered: list[float] = field(default_factory=list)
    delays: list[tuple[float, float]] = field(default_factory=list)
    length_error_ms: list[float] = field(default_factory=list)
    recovery: float = 0.0

    def add(self, heard: Heard, reference: bytes, *, length_ms: float) -> None:
        """Adds one run over ``length_ms`` of speech."""
        self.pesq.append(pesq_score(reference, heard.pcm))
        self.estoi.append(estoi_score(reference, heard.pcm) if heard.aligned else math.nan)
        self.missing.append(heard.missing)
        self.recovered.append(heard.recovered)
        self.delays += heard.delays
        self.length_error_ms.append(len(heard.pcm) / 48 - length_ms)
        self.recovery = max(self.recovery, longest_delay(heard.delays))

    def percentile(self, share: float) -> float:
        """Of the added delay, in ms."""
        ordered = sorted(delay for _, delay in self.delays)
        return 1000 * ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))]

    def delay_between(self, start: float, end: float) -> float:
        """Mean added delay in ms of what was handed on in this stretch of the runs."""
        chosen = [delay for when, delay in self.delays if start <= when < end]
        return 1000 * statistics.fmean(chosen) if chosen else math.nan


def longest_delay(delays: list[tuple[float, float]]) -> float:
    """The longest time in seconds without a single frame that was handed on at once."""
    longest = 0.0
    since: float | None = None
    for when, delay in delays:
        if delay < 0.001:
            since = None
        else:
            since = when if since is None else since
            longest = max(longest, when - since)
    return longest


def run(count: int, seed: int, progress: Progress) -> list[Row]:
    """Every network, every receiver, ``count`` seeds."""
    speaker = Speaker()
    speech = [speaker.say(voice, text) * 2 for voice, text in SPEECH]
    task = progress.add_task("losing packets", total=len(NETWORKS) * count)
    rows: list[Row] = []
    for network in NETWORKS:
        ours = Row("Perhop", network.name)
        filled = Row("aiortc, gaps silent", network.name)
        plain = Row("aiortc, as delivered", network.name)
        for number in range(count):
            reference = speech[number % len(speech)]
            packets = encode(reference, network.loss)
            arrivals = network.arrivals(len(packets), seed * 1000 + number)
            length_ms = len(packets) * FRAME_MS
            heard = perhop(packets, arrivals)
            ours.add(heard, reference, length_ms=length_ms)
            frames = aiortc(packets, arrivals)
            for row, fill in ((filled, True), (plain, False)):
                heard = heard_from_aiortc(frames, arrivals, total=len(packets), fill=fill)
                row.add(heard, reference, length_ms=length_ms)
            progress.advance(task)
        rows += [ours, filled, plain]
    return rows


def number(values: list[float]) -> str:
    """Their mean, or a dash where there is none."""
    mean = statistics.fmean(values)
    return "-" if math.isnan(mean) else f"{mean:.2f}"


def tables(rows: list[Row]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, head and body of what is printed and written."""
    quality = [
        [
            row.network,
            row.receiver,
            number(row.pesq),
            number(row.estoi),
            f"{statistics.fmean(row.missing):.1%}",
            f"{statistics.fmean(row.recovered):.1%}",
            f"{row.percentile(0.5):.0f} ms",
            f"{row.percentile(0.99):.0f} ms",
            f"{row.recovery:.2f} s",
            f"{statistics.fmean(row.length_error_ms):+.0f} ms",
        ]
        for row in rows
    ]
    head = [
        "network", "receiver", "PESQ", "ESTOI", "guessed or missing", "from FEC",
        "delay p50", "delay p99", "longest delayed", "length",
    ]  # fmt: skip
    steps = [(start, start + 3.0) for start in (0.0, 3.0, 6.0, 9.0)]
    growth = [
        [row.network, row.receiver, *(f"{row.delay_between(*step):.0f}" for step in steps)]
        for row in rows
        if row.receiver != "aiortc, as delivered"
    ]
    growth_head = ["network", "receiver", *(f"{start:g}-{end:g} s" for start, end in steps)]
    return [
        ("What the model leg hears", head, quality),
        ("Mean added delay over time, ms", growth_head, growth),
    ]


def write_markdown(path: Path, sections: list[tuple[str, list[str], list[list[str]]]], note: str) -> None:
    """The tables as a page."""
    lines = ["# Speech through a lossy network", "", note, ""]
    for title, head, body in sections:
        lines += [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(row) + " |" for row in body]
        lines.append("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def main(
    count: Annotated[
        int, typer.Option(min=1, help="Runs per network; each has its own speech and its own losses.")
    ] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same table.")] = 1,
    output: Annotated[Path, typer.Option(help="Where the tables go as Markdown.")] = Path(__file__).parent
    / "results"
    / "loss.md",
) -> None:
    """Losing packets on purpose: quality and delay of what the model hears, Perhop against aiortc."""
    console = Console()
    with Progress(console=console) as progress:
        rows = run(count, seed, progress)
    sections = tables(rows)
    for title, head, body in sections:
        table = Table(*head, title=title)
        for line in body:
            table.add_row(*line)
        console.print(table)
    if math.isnan(rows[0].pesq[0]):
        console.print("The pesq package is not installed (it needs a C compiler): quality is ESTOI only.")
    note = (
        f"`python bench/loss.py --count {count} --seed {seed}`: {count} runs of about 13 s a row, Opus 32 kb/s with "
        "in-band FEC in 20 ms packets, 2 ms of jitter. *Delay* is added delay: from a frame's packet (if it was lost, "
        "from when it should have come) to the moment the frame is handed on. *Longest delayed* is the longest time in "
        "which not one frame was handed on at once. *Length* is how much more audio came out than was spoken. aiortc's "
        "frames are scored as its track delivers them, and with silence where frames are missing. PESQ (1 to 4.6) "
        "forgives time that is cut out; ESTOI (0 to 1) needs both signals on one time line, so there it has no value."
    )
    write_markdown(output, sections, note)
    console.print(f"written to {output}")


if __name__ == "__main__":
    typer.run(main)
