"""Speech for the microphone: sentences on a timeline, as the 48 kHz mono file that Chromium takes for its microphone.

Run as a program it speaks one sentence to a file: espeak-ng keeps its state in the process, so each gets its own.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import wave
from collections.abc import Sequence
from pathlib import Path

import av
import espeakng_loader
import numpy as np

__all__ = ["RATE", "microphone_file", "speak"]

RATE = 48_000
"""What Chromium wants of a file that stands for a microphone, samples per second."""

_WORDS_PER_MINUTE = 150
"""An unhurried caller."""

_RETRIEVAL = 1
_RATE_PARAMETER = 1
_UTF8 = 1


def speak(text: str) -> np.ndarray:
    """One sentence as int16 samples at 48 kHz."""
    command = [sys.executable, "-m", "tests.browser.speech", text]
    spoken = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    rate = int.from_bytes(spoken.stdout[:4], "little")
    return _resample(np.frombuffer(spoken.stdout[4:], dtype=np.int16), rate)


def microphone_file(
    path: Path, script: Sequence[tuple[float, str]], *, seconds: float
) -> dict[str, tuple[float, float]]:
    """Writes a file in which each sentence begins at its second and silence is everywhere else.

    Returns:
        For each sentence when it begins and ends, in seconds of the file.
    """
    samples = np.zeros(int(seconds * RATE), dtype=np.int16)
    times = {}
    for start, text in script:
        spoken = speak(text)
        at = int(start * RATE)
        samples[at : at + len(spoken)] = spoken
        times[text] = (start, start + len(spoken) / RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return times


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    parts = [part.to_ndarray()[0] for part in [*resampler.resample(frame), *resampler.resample(None)]]
    return np.concatenate(parts)


def _main(text: str) -> None:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    chunks: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def collect(samples: object, count: int, _events: object) -> int:
        if samples and count:
            chunks.append(ctypes.string_at(samples, count * 2))
        return 0

    rate = library.espeak_Initialize(_RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(collect)
    library.espeak_SetVoiceByName(b"en-us")
    library.espeak_SetParameter(_RATE_PARAMETER, _WORDS_PER_MINUTE, 0)
    words = text.encode()
    library.espeak_Synth(words, len(words) + 1, 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    sys.stdout.buffer.write(rate.to_bytes(4, "little") + b"".join(chunks))


if __name__ == "__main__":
    _main(sys.argv[1])
