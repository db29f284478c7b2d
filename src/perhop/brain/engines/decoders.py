"""Decoders of pocketsphinx as an engine process uses them: small, pooled, and deaf to who spoke before.

A decoder that loads the whole dictionary takes 165 ms and 26 MB; with an empty dictionary that is given the grammar's
words it takes 10 ms and 3 MB, plus 9 MB a grammar of 130 words, so every utterance can have its own. The front end
works on 24 kHz directly: its filter bank ends at 6.8 kHz either way, and nothing has to be resampled.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketsphinx import Decoder, get_model_path

from perhop.brain.engines.espeak import load_espeak
from perhop.brain.engines.phones import Dictionary, cmu_variants
from perhop.brain.engines.worker import JobError

__all__ = ["FEATURES", "SILENCES", "DecoderPair", "Lexicon", "begin_utterance", "estimate_mean", "log_score"]

FEATURES: dict[str, Any] = {"samprate": 24_000, "bestpath": False, "loglevel": "FATAL"}
"""Settings that every decoder shares."""

_GRAMMAR_SEARCH = {"lw": 6.5, "wip": 0.05, "beam": 1e-80, "pbeam": 1e-56, "wbeam": 1e-48}
"""Found by trial on a compiled grammar of 220 words and a handwritten one, with eight voices: the defaults lose the
right path in strings of digits and lists of slots."""

SILENCES = frozenset(
    {"<sil>", "<s>", "</s>", "(NULL)", "SIL", "[NOISE]", "[SPEECH]", "[COUGH]", "[SMACK]", "[UH]", "[UM]"}
)

_ODDS_FORGIVEN = 0.75
_FRAMES_ADDED = 10
"""So that one vague sound does not condemn a word of 200 ms."""

_SHORTEST_LAST = 12
"""Frames (10 ms) that the last word before a pause lasts at least, for it is drawn out there: 120 ms was the least of
270 measured ("the", "it", at 210 words a minute). What a codec leaves of the end of a voice becomes a word of 80 to
120 ms, seldom more: "… on Friday eight"."""

_VARIANTS = {"first": ("TH ER S T",)}
"""Pronunciations that the dictionary lacks. After "the", half the voices' "first" begins like "third", which then wins
though callers mean the first far more often."""

_KEPT_GRAMMARS = 4
_MAX_WORDS = 4_000
"""A decoder whose dictionary grew beyond this by ever new grammars is replaced."""

_MEAN = (40.1, 2.1, -3.4, 10.6, -5.4, -1.8, -6.4, -8.7, -2.2, -3.4, 3.8, -4.7, -0.6)
"""Cepstral mean of clean speech with 0.3 s of silence before it; what an estimate starts from."""
_MEAN_FRAMES = 20
_WINDOW_FRAMES = 500
"""Frames that pocketsphinx lets a mean set from outside count for."""
_FEWEST_SLICES = 5
_SLICE = 480
"""Bytes of 10 ms."""

_JSGF_NOISE = re.compile(
    r"#JSGF[^;\n]*;?|//[^\n]*|/\*.*?\*/|\{[^}]*\}|<[^>]*>|/\s*[\d.]+\s*/|\bgrammar\s+[\w.]+\s*;|\bpublic\b", re.DOTALL
)
_JSGF_WORD = re.compile(r'[^\s=|()\[\]*+;"]+')


class Lexicon:
    """Pronunciations of the words of grammars."""

    def __init__(self) -> None:
        self._dictionary = Dictionary(Path(get_model_path("en-us/cmudict-en-us.dict")))
        self._guesses: dict[str, tuple[str, ...]] = {}

    def pronounce(self, word: str, given: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """What the author gave and the dictionary has; for a word neither knows, guesses.

        Raises:
            JobError: ``bad_grammar``, for something that cannot be pronounced.
        """
        known = dict.fromkeys((*given.get(word, ()), *self._dictionary.lookup(word), *_VARIANTS.get(word, ())))
        variants = tuple(known) or self._guess(word)
        if not variants:
            raise JobError("bad_grammar", f"the grammar has a word that cannot be pronounced: {word!r}")
        return variants

    def _guess(self, word: str) -> tuple[str, ...]:
        if word not in self._guesses:
            espeak = load_espeak()
            espeak.set_voice("en-us")
            if len(self._guesses) >= _MAX_WORDS:
                self._guesses.clear()
            self._guesses[word] = cmu_variants(espeak, word)
        return self._guesses[word]


class DecoderPair:
    """A decoder for grammars, and beside it one that hears only sounds.

    The second, a loop over all phones, explains any speech equally well. How far the grammar's best sentence falls
    short of it tells speech that the grammar covers from speech that was forced into it.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        with tempfile.NamedTemporaryFile(suffix=".dict") as empty:
            bare = {**FEATURES, "lm": None, "dict": empty.name}
            self._words = Decoder(**bare, **_GRAMMAR_SEARCH)
            self._sounds = Decoder(**bare)
        self._sounds.add_allphone_file("sounds", None)
        self._sounds.activate_search("sounds")
        self._grammars: OrderedDict[str, None] = OrderedDict()
        self._known: dict[str, set[str]] = {}

    @property
    def worn(self) -> bool:
        """Whether it should be replaced."""
        return sum(map(len, self._known.values())) > _MAX_WORDS

    def has(self, key: str) -> bool:
        """Whether a grammar is loaded."""
        return key in self._grammars

    def load(self, key: str, grammar: str, pronunciations: Mapping[str, tuple[str, ...]]) -> None:
        """Makes a grammar the current one; 30 ms when it is new here, 3 ms otherwise.

        Raises:
            JobError: ``bad_grammar``.
        """
        if key not in self._grammars:
            self._learn(_words_of(grammar), pronunciations)
            try:
                self._words.add_jsgf_string(key, grammar)
            except (ValueError, RuntimeError) as error:
                raise JobError("bad_grammar", "the grammar is not valid JSGF") from error
            self._grammars[key] = None
        self._words.activate_search(key)
        self._grammars.move_to_end(key)
        while len(self._grammars) > _KEPT_GRAMMARS:
            oldest, _ = self._grammars.popitem(last=False)
            self._words.remove_search(oldest)

    def start(self, opening: bytes) -> None:
        """Begins an utterance whose first part sounds like ``opening``, which is to be heard afterwards."""
        mean = estimate_mean(self._sounds, opening)
        for decoder in (self._words, self._sounds):
            begin_utterance(decoder, mean)

    def hear(self, pcm: bytes) -> None:
        """Decodes some audio; about a tenth of its length."""
        self._words.process_raw(pcm)
        self._sounds.process_raw(pcm)

    def partial(self) -> str:
        """The best sentence, or beginning of one, so far; a last word too short to end on is held back until more of
        it was heard."""
        best = self._words.hyp()
        if best is None:
            return ""
        words: list[str] = best.hypstr.split()
        spoken = [part.end_frame - part.start_frame + 1 for part in self._words.seg() if part.word not in SILENCES]
        if words and spoken and spoken[-1] < _SHORTEST_LAST:
            words.pop()
        return " ".join(words)

    def finish(self) -> tuple[str, float]:
        """Ends the utterance.

        Returns:
            The sentence (empty when none fits), and its score: nats per frame of speech by which it explains the
            sound worse than a free choice of phones does, so usually negative.
        """
        self._words.end_utt()
        self._sounds.end_utt()
        best = self._words.hyp()
        free = self._sounds.hyp()
        if best is None or free is None or not best.hypstr:
            return "", -math.inf
        segments = list(self._words.seg())
        frames = sum(part.end_frame - part.start_frame + 1 for part in segments if part.word not in SILENCES)
        # What the grammar's own odds cost says little about the sound; free phones cost nothing.
        odds = sum(log_score(part.lscore) for part in segments)
        gap = log_score(best.score) - log_score(free.score) - _ODDS_FORGIVEN * odds
        return best.hypstr, gap / (frames + _FRAMES_ADDED)

    def abandon(self) -> None:
        """Ends the utterance without a result."""
        self._words.end_utt()
        self._sounds.end_utt()

    def _learn(self, words: set[str], pronunciations: Mapping[str, tuple[str, ...]]) -> None:
        for word in sorted(words):
            known = self._known.setdefault(word, set())
            for phones in self._lexicon.pronounce(word, pronunciations):
                if phones in known:
                    continue
                name = f"{word}({len(known) + 1})" if known else word
                try:
                    self._words.add_word(name, phones, False)
                except RuntimeError as error:
                    raise JobError("bad_grammar", f"{phones!r} are not phones of the model") from error
                known.add(phones)


def begin_utterance(decoder: Any, mean: str) -> None:
    """Begins an utterance as if the decoder were new: with this cepstral mean and no idea of the noise yet; 0.1 ms."""
    decoder.reinit_feat()
    decoder.set_cmn(mean)
    decoder.start_utt()


def estimate_mean(decoder: Any, opening: bytes) -> str:
    """The cepstral mean to decode an utterance with, from its first part.

    Without it an unfamiliar voice or microphone costs more words than anything else: pocketsphinx's own running mean
    counts the last speaker for five seconds, and here that was another caller.
    """
    # Frames of digital silence are left out by pocketsphinx, so they must not count here either.
    slices = [opening[start : start + _SLICE] for start in range(0, len(opening), _SLICE)]
    audible = b"".join(piece for piece in slices if piece.strip(b"\0"))
    if len(audible) < _FEWEST_SLICES * _SLICE:
        return ",".join(map(str, _MEAN))
    begin_utterance(decoder, ",".join("0" for _ in _MEAN))
    decoder.process_raw(audible, True)
    heard = [float(value) for value in decoder.get_cmn(True).split(",")]
    decoder.end_utt()
    frames = max(0, len(audible) // _SLICE - 2)
    # ``heard`` is the sum over the frames, spread over them and the 500 that the zeros set above stand for.
    scale = _WINDOW_FRAMES + frames
    weight = frames + _MEAN_FRAMES
    mean = [(h * scale + m * _MEAN_FRAMES) / weight for h, m in zip(heard, _MEAN, strict=True)]
    return ",".join(f"{value:.3f}" for value in mean)


def log_score(score: float) -> float:
    """A path's log likelihood in nats; the binding gives the exponential of a 1024th of it."""
    return 1024.0 * math.log(score) if score > 0 else -math.inf


def _words_of(grammar: str) -> set[str]:
    return set(_JSGF_WORD.findall(_JSGF_NOISE.sub(" ", grammar)))
