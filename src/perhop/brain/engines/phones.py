"""Pronunciations for the recogniser: the bundled dictionary, and guesses for words it lacks."""

from __future__ import annotations

import mmap
import re
from itertools import product
from pathlib import Path

from perhop.brain.engines.espeak import Espeak

__all__ = ["Dictionary", "cmu_variants"]

_MAX_VARIANTS = 3
_ALTERNATIVE = re.compile(rb"\(\d+\)$")

_TABLE = """
p P, b B, t T, d D, k K, g G, ɡ G, tʃ CH, dʒ JH, f F, v V, θ TH, ð DH, s S, z Z, ʃ SH, ʒ ZH, h HH, m M, n N,
ŋ NG, l L, ɫ L, ɹ R, r R, j Y, w W, ɾ D/T, ʔ T, x K, ç HH, ɲ N-Y, n̩ AH-N, l̩ AH-L, m̩ AH-M, əl AH-L, ən AH-N,
iː IY, i IY, ɪ IH, ᵻ IH/AH, e EH, ɛ EH, eː EY, æ AE, a AA/AE, aː AA, ɑː AA/AO, ɑ AA, ɒ AA, ɔː AO/AA, ɔ AO, ʊ UH,
uː UW, u UW, ʌ AH, ə AH/IH, ɐ AH, ɚ ER, ɜː ER, ɝ ER, eɪ EY, aɪ AY, ɔɪ OY, aʊ AW, oʊ OW, əʊ OW, oː AO/OW, o OW,
ɪɹ IH-R/IY-R, ɛɹ EH-R, ʊɹ UH-R, ɔːɹ AO-R, oːɹ AO-R, ɑːɹ AA-R, ɔɹ AO-R, ɑɹ AA-R, aɪɚ AY-ER, aɪə AY-AH,
aɪʊɹ AY-ER, iə IY-AH, eə EH-R, ɪə IH-R, ʊə UH-R
"""  # noqa: RUF001
"""espeak-ng's American English in IPA and, likeliest first, what the CMU dictionary writes; ``-`` joins phones."""

_CMU = {
    ipa: tuple(phones.replace("-", " ").split("/"))
    for ipa, phones in map(str.split, _TABLE.replace("\n", "").split(","))
}


class Dictionary:
    """The CMU dictionary as shipped, looked up in place: a mapped file, shared by all processes."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def lookup(self, word: str) -> tuple[str, ...]:
        """Every pronunciation, the common one first; empty for an unknown word. About 30 µs."""
        key = word.encode()
        low, high = 0, len(self._text)
        while low < high:  # the first line whose word is not below the one sought; lines are sorted by word
            middle = self._line_start((low + high) // 2)
            if self._word_at(middle) < key:
                low = self._text.find(b"\n", middle) + 1
            else:
                high = middle
        found = []
        while low < len(self._text) and self._word_at(low) == key:
            end = self._text.find(b"\n", low)
            found.append(self._text[self._text.find(b" ", low) + 1 : end].decode().strip())
            low = end + 1
        return tuple(found)

    def _line_start(self, position: int) -> int:
        return self._text.rfind(b"\n", 0, position) + 1

    def _word_at(self, start: int) -> bytes:
        return _ALTERNATIVE.sub(b"", self._text[start : self._text.find(b" ", start)])


def cmu_variants(espeak: Espeak, word: str) -> tuple[str, ...]:
    """Up to three guesses at how an unknown word sounds, as CMU phones; empty when nothing in it can be said.

    espeak-ng's first choice is right for 57 % of the words of the CMU dictionary, which is why there are variants.
    """
    choices = [_CMU[phoneme] for phoneme in espeak.phonemes(word) if phoneme in _CMU]
    if not choices:
        return ()
    # The likeliest of all first; then those that differ in one sound, the last sounds first, which are the vaguest.
    best = tuple(choice[0] for choice in choices)
    ranked = sorted(product(*(choice[:2] for choice in choices[-12:])), key=lambda v: _distance(v, best[-12:]))
    return tuple(" ".join((*best[:-12], *variant)) for variant in ranked[:_MAX_VARIANTS])


def _distance(variant: tuple[str, ...], best: tuple[str, ...]) -> int:
    return sum(a != b for a, b in zip(variant, best, strict=True))
