"""Audio files in, WAV out; in between 24 kHz mono signed 16-bit little endian."""

from __future__ import annotations

import wave
from pathlib import Path

from perhop.errors import PerhopError
from perhop.realtime.audio import SAMPLE_RATE

__all__ = ["AudioFileError", "check_place", "read_audio", "write_wav"]


class AudioFileError(PerhopError):
    """A file that is no audio, or cannot be read."""


def read_audio(path: Path) -> bytes:
    """The audio of a file of any format and rate.

    Raises:
        AudioFileError: there is no such file, or no audio in it.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioFileError(f"{path} holds no audio")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            frames = [frame for packet in container.decode(audio=0) for frame in resampler.resample(packet)]
            frames.extend(resampler.resample(None))
    except OSError as error:
        raise AudioFileError(f"{path} cannot be read: {error.strerror or 'not an audio file'}") from None
    except av.error.FFmpegError:
        raise AudioFileError(f"{path} is not an audio file that can be read") from None
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)


def check_place(path: Path) -> None:
    """Makes sure, before anybody talks, that there can be a file afterwards.

    Raises:
        AudioFileError: its folder is missing, or it is a folder itself.
    """
    if not path.parent.is_dir():
        raise AudioFileError(f"--out {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise AudioFileError(f"--out {path} is a folder; name a file in it")


def write_wav(path: Path, pcm: bytes) -> None:
    """Writes PCM to a WAV file, replacing one that is there.

    Raises:
        AudioFileError: it cannot be written.
    """
    try:
        with path.open("wb") as stream, wave.open(stream, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(pcm)
    except OSError as error:
        raise AudioFileError(f"{path} cannot be written: {error.strerror or type(error).__name__}") from None
