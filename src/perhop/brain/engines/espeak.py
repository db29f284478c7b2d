"""A thin binding to libespeak-ng; for child processes only, since the library is process-global and GPL-3.

Source: ``speak_lib.h`` of espeak-ng 1.52.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import espeakng_loader

__all__ = ["Espeak", "EspeakError", "load_espeak"]

_SYNCHRONOUS = 2
_CHUNK_MS = 60
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_IPA = 0x02
_SEPARATOR = ord("_") << 8
_NO_STRESS = {0x02C8: None, 0x02CC: None, 0x20: "_"}
"""Primary and secondary stress go, spaces part phonemes too."""

_Samples = ctypes.POINTER(ctypes.c_short)
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, _Samples, ctypes.c_int, ctypes.c_void_p)


class EspeakError(Exception):
    """The library refused; the message holds no text that was to be spoken."""


class Espeak:
    """The library of this process; :func:`load_espeak` gives the only one there can be.

    Attributes:
        rate: Hz of what it speaks, 22,050.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        data = espeakng_loader.get_data_path().encode()
        self.rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, data, _DO_NOT_EXIT)
        if self.rate <= 0:
            raise EspeakError("espeak-ng did not find its data")
        self._on_samples: Callable[[bytes], bool] = _keep_nothing
        self._callback = _Callback(self._heard)  # the library keeps only a pointer
        self._library.espeak_SetSynthCallback(self._callback)
        self._voice = ""

    def set_voice(self, voice: str) -> None:
        """Takes a voice such as ``en-us+f2``: a language and a variant.

        Raises:
            EspeakError: there is none of that name.
        """
        if voice != self._voice:
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise EspeakError(f"espeak-ng has no voice {voice!r}")
            self._voice = voice

    def speak(self, text: str, on_samples: Callable[[bytes], bool], *, wpm: int, pitch: int, intonation: int) -> None:
        """Speaks with the voice that was set; returns when all was said.

        Args:
            text: plain; markup in it is read out, not followed.
            on_samples: gets the PCM (s16, ``rate``) in pieces of up to 60 ms; speaking stops once it returns False.
            wpm: words a minute, 80–450.
            pitch: 0–100, 50 is the voice's own.
            intonation: 0–100, 50 is normal.

        Raises:
            EspeakError: the library refused.
        """
        for parameter, value in ((_RATE, wpm), (_PITCH, pitch), (_RANGE, intonation)):
            self._library.espeak_SetParameter(parameter, value, 0)
        data = text.replace("\0", " ").encode()
        self._on_samples = on_samples
        try:
            if self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None) != 0:
                raise EspeakError("espeak-ng did not take the text")
            self._library.espeak_Synchronize()
        finally:
            self._on_samples = _keep_nothing

    def phonemes(self, word: str) -> list[str]:
        """How the voice that was set says a word: IPA, one string a phoneme, without stress marks."""
        text = ctypes.c_char_p(word.encode())
        pointer = ctypes.pointer(ctypes.cast(text, ctypes.c_void_p))
        said: bytes | None = self._library.espeak_TextToPhonemes(pointer, _UTF8, _IPA | _SEPARATOR)
        plain = (said or b"").decode().translate(_NO_STRESS)
        return [phoneme for phoneme in plain.split("_") if phoneme]

    def _heard(self, samples: ctypes.c_void_p, count: int, _: ctypes.c_void_p) -> int:
        if not samples or count <= 0:
            return 0
        return 0 if self._on_samples(ctypes.string_at(samples, count * 2)) else 1


@cache
def load_espeak() -> Espeak:
    """The library, initialised once: a second time would take the sound away from whoever uses it.

    Raises:
        EspeakError: its data is missing.
    """
    return Espeak()


def _keep_nothing(_: bytes) -> bool:
    return False
