"""The built-in engines: what hearing and speaking cost, how fast they answer, how often they are right.

Run from the repository's root: ``python -m bench.brain``. Everything spoken to the recogniser is espeak-ng's speech, so
the error rates compare settings; they do not promise anything for people and their microphones.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, quantiles

from perhop.brain.engines.espeak import load_espeak
from perhop.brain.engines.pool import EngineStatus
from perhop.brain.espeak import VOICES, EspeakSynthesiser
from perhop.brain.pocketsphinx import PocketsphinxRecogniser
from perhop.brain.providers import Expectation, Recognition
from perhop.brain.vad import SileroVad
from perhop.media.resample import Resampler
from perhop.realtime.audio import BYTES_PER_MS, FRAME_BYTES, FRAME_MS

SPEAKERS = ("en-us", "en-us+f2", "en-us+f5", "en-us+adam", "en-us+m6", "en-us+benjamin", "en-us+f1", "en-us+Reed")
PACES = (140, 165, 190)
BEFORE_MS, AFTER_MS = 300, 200

GRAMMAR = """#JSGF V1.0;
grammar homes;
public <turn> = <search> | <book> | <send> | <answer>;
<search> = (i'd like to see | show me | i'm looking for | do you have | find me) [a] <count> bedroom
           [in <city>] [under <count> thousand dollars] [on <day>];
<count> = one | two | three | four;
<city> = oakland | berkeley | fremont | hayward | alameda | richmond | san francisco | palo alto;
<book> = (book | schedule) a viewing [of the (first | second | third) one] [on <day>] [at <time>];
<day> = [next] (monday | tuesday | wednesday | thursday | friday | saturday | sunday) | today | tomorrow;
<time> = <hour> [fifteen | thirty] [a m | p m] | noon;
<hour> = one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve;
<send> = text me the details | send the details to <digit> <digit> <digit> <digit> <digit> <digit> <digit>;
<digit> = zero | one | two | three | four | five | six | seven | eight | nine;
<answer> = yes | yes please | that's right | no | no thanks | cancel | start over | what can you do | goodbye;
"""

INSIDE = """i'd like to see a two bedroom in oakland on friday
show me a three bedroom in san francisco
do you have a one bedroom in berkeley under three thousand dollars
i'm looking for a four bedroom in palo alto
find me a two bedroom in fremont on monday
show me a one bedroom in alameda on saturday
do you have a three bedroom in richmond
i'd like to see a two bedroom in hayward on tuesday
book a viewing
book a viewing on friday at ten
book a viewing of the second one on monday at eleven thirty a m
schedule a viewing of the first one tomorrow at two fifteen p m
schedule a viewing on next wednesday at noon
book a viewing of the third one on thursday
text me the details
send the details to five one zero two three four nine
send the details to four one five six seven eight zero
yes
yes please
that's right
no
no thanks
cancel
start over
what can you do
goodbye""".splitlines()

OUTSIDE = """what is the weather like in paris this week
tell me a joke about a chicken crossing the road
my dog ate all of my homework yesterday
could you order me a large pepperoni pizza
the quick brown fox jumps over the lazy dog
who won the football game last night
play some jazz music in the kitchen
please remind me to call my mother after dinner
turn off the lights and lock the front door
there is something wrong with my washing machine
can you help me with my tax return
where did you learn to speak english
the doctor told me to drink more water
i have a question about my electricity bill
sorry i was talking to someone else
hold on a second the baby is crying
i love you
hello my friend
nice weather
where are my keys
the bus is late
who are you
merry christmas
my cat is sick
stop shouting
that is ridiculous""".splitlines()


@dataclass(frozen=True)
class Spoken:
    """A sentence as one speaker says it, with the silence an utterance is cut with."""

    words: str
    pcm: bytes


@dataclass
class Heard:
    """What came of it. Latencies in ms after the last sample of speech (partial) and of audio (finish)."""

    words: str
    recognition: Recognition
    finish_ms: float
    partial_ms: float | None


async def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2, help="utterances spoken at the same time (default 2)")
    parser.add_argument("--grammar", type=Path, help="a JSGF file instead of the one built in")
    options = parser.parse_args()
    grammar = options.grammar.read_text() if options.grammar else GRAMMAR
    row("VAD, µs a window of 32 ms, p50 / p99", *vad_costs())
    recogniser, synthesiser = PocketsphinxRecogniser(), EspeakSynthesiser()
    began = time.perf_counter()
    await asyncio.gather(recogniser.start(), synthesiser.start())
    row("engines ready after, ms", 1000 * (time.perf_counter() - began))
    row("speech: first piece, ms, p50 / p95", *await first_pieces(synthesiser))
    inside = list(speak_all(INSIDE, speakers_each=3))
    outside = list(speak_all(OUTSIDE, speakers_each=2))
    row("STT: CPU seconds a second of speech", await real_time_factor(recogniser, inside[:20], grammar))
    heard = await listen_all(recogniser, inside, grammar, options.calls)
    finish = [one.finish_ms for one in heard]
    row(f"STT: finish, ms, p50 / p95 ({options.calls} calls)", median(finish), quantiles(finish, n=20)[-1])
    partial = [one.partial_ms for one in heard if one.partial_ms is not None]
    row("STT: last word → whole partial, ms, p50 / p95", median(partial), quantiles(partial, n=20)[-1])
    row("STT: wrong words, %", 100 * word_errors(heard))
    row("STT: sentences all right, %", 100 * mean(one.recognition.text == one.words for one in heard))
    row("inside the grammar, turned away, %", 100 * mean(not one.recognition.in_domain for one in heard))
    strangers = await listen_all(recogniser, outside, grammar, options.calls)
    row("outside the grammar, turned away, %", 100 * mean(not one.recognition.in_domain for one in strangers))
    for status in [*recogniser.status(), *synthesiser.status()]:
        row(f"{status.name}: memory, MiB (PSS)", memory(status))
    await asyncio.gather(recogniser.close(), synthesiser.close())


def row(name: str, *figures: float) -> None:
    """Prints a line of the table."""
    print(f"| {name:50} | {' / '.join(f'{figure:.3g}' for figure in figures):>14} |", flush=True)


def vad_costs() -> tuple[float, float]:
    """Thread CPU time of a window, in µs: median and 99th percentile."""
    vad = SileroVad()
    vad.load()
    detector = vad.open()
    pcm = next(speak_all(INSIDE[:1], speakers_each=1)).pcm * 8
    costs = []
    for start in range(0, len(pcm), FRAME_BYTES):
        began = time.thread_time()
        windows = detector.feed(pcm[start : start + FRAME_BYTES])
        if len(windows) == 1:
            costs.append(1e6 * (time.thread_time() - began))
    return median(costs), quantiles(costs, n=100)[-1]


def speak_all(sentences: list[str], *, speakers_each: int) -> Iterator[Spoken]:
    """Every sentence by some speakers at some pace; which, follows from its place in the list."""
    espeak = load_espeak()
    for number, words in enumerate(sentences):
        for turn in range(speakers_each):
            espeak.set_voice(SPEAKERS[(number + 3 * turn) % len(SPEAKERS)])
            chunks: list[bytes] = []
            wpm = PACES[(number + turn) % len(PACES)]
            espeak.speak(words, lambda pcm, to=chunks: to.append(pcm) is None, wpm=wpm, pitch=50, intonation=50)
            spoken = b"".join(chunks)
            speech = Resampler(espeak.rate, 24_000).push(spoken[: len(spoken.rstrip(b"\0")) + 1 & ~1])
            yield Spoken(words, bytes(BEFORE_MS * BYTES_PER_MS) + speech + bytes(AFTER_MS * BYTES_PER_MS))


async def first_pieces(synthesiser: EspeakSynthesiser) -> tuple[float, float]:
    """Time from the request to the first audio, in ms: median and 95th percentile."""
    times = []
    for _ in range(15):
        for voice in VOICES:
            began = time.perf_counter()
            pieces = synthesiser.speak("I found two homes in Oakland, shall I book one?", voice=voice, speed=1.0)
            await anext(pieces)
            times.append(1000 * (time.perf_counter() - began))
            await pieces.aclose()
    return median(times), quantiles(times, n=20)[-1]


async def real_time_factor(recogniser: PocketsphinxRecogniser, spoken: list[Spoken], grammar: str) -> float:
    """CPU time of the engine for a second of speech."""
    before = cpu_seconds(recogniser.status())
    for one in spoken:
        utterance = recogniser.open(Expectation(grammar=grammar), lambda _: None)
        utterance.feed(one.pcm)
        await utterance.finish()
    seconds = sum(len(one.pcm) for one in spoken) / BYTES_PER_MS / 1000
    return (cpu_seconds(recogniser.status()) - before) / seconds


async def listen_all(recogniser: PocketsphinxRecogniser, spoken: list[Spoken], grammar: str, calls: int) -> list[Heard]:
    """Recognises everything in real time, so many utterances at once."""
    waiting = iter(spoken)
    heard: list[Heard] = []

    async def call() -> None:
        for one in waiting:
            result = await listen(recogniser, one, grammar)
            heard.append(result)

    await asyncio.gather(*(call() for _ in range(calls)))
    return heard


async def listen(recogniser: PocketsphinxRecogniser, spoken: Spoken, grammar: str) -> Heard:
    """Recognises one utterance, a frame every 20 ms."""
    whole: list[float] = []

    def on_partial(text: str) -> None:
        whole.append(time.perf_counter()) if text == spoken.words else whole.clear()

    utterance = recogniser.open(Expectation(grammar=grammar), on_partial)
    began = time.perf_counter() - BEFORE_MS / 1000  # what came before speech is there at once
    for number, start in enumerate(range(0, len(spoken.pcm), FRAME_BYTES)):
        await asyncio.sleep(began + number * FRAME_MS / 1000 - time.perf_counter())
        utterance.feed(spoken.pcm[start : start + FRAME_BYTES])
    fed = time.perf_counter()
    recognition = await utterance.finish()
    done = time.perf_counter()
    partial = 1000 * (whole[0] - fed) + AFTER_MS if whole else None
    return Heard(spoken.words, recognition, 1000 * (done - fed), partial)


def word_errors(heard: list[Heard]) -> float:
    """Insertions, deletions and substitutions for each word said; a sentence turned away loses all its words."""
    errors = sum(distance(one.words.split(), one.recognition.text.split()) for one in heard)
    return errors / sum(len(one.words.split()) for one in heard)


def distance(said: list[str], heard: list[str]) -> int:
    """The Levenshtein distance between two lists of words."""
    row_above = list(range(len(heard) + 1))
    for index, word in enumerate(said, start=1):
        current = [index]
        for other, candidate in enumerate(heard, start=1):
            substituted = row_above[other - 1] + (word != candidate)
            current.append(min(row_above[other] + 1, current[-1] + 1, substituted))
        row_above = current
    return row_above[-1]


def cpu_seconds(statuses: list[EngineStatus]) -> float:
    """CPU time that engine processes have used."""
    files = (file for status in statuses for file in Path(f"/proc/{status.pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def memory(status: EngineStatus) -> float:
    """Proportional memory of a process, in MiB."""
    lines = Path(f"/proc/{status.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    asyncio.run(main())
