"""Finds libopus and declares the dozen functions used of it.

A system libopus is taken first; else the one that ships inside PyAV's wheel, loaded by its path (it depends on nothing
else there, so PyAV itself is not imported). The usual names are tried before ``find_library`` is asked, because that
starts the linker or a compiler to find out: nothing an event loop should wait for.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from functools import cache
from pathlib import Path

from perhop.errors import PerhopError

__all__ = ["LibOpus", "OpusError", "inside_pyav", "load"]


USUAL_NAMES = ("libopus.so.0", "libopus.0.dylib")


class OpusError(PerhopError):
    """libopus is missing, refused a packet, or was asked for something it cannot do."""


class LibOpus:
    """The functions of libopus with their types.

    The library is bound with ``PyDLL``: calls last tens of microseconds, so giving the interpreter lock away and taking
    it back costs more than it gains, and no other thread can see the shared output buffers half written.
    """

    def __init__(self, path: str) -> None:
        """Loads the library at ``path``. Raises OpusError when it cannot be used."""
        try:
            library = ctypes.PyDLL(path)
            version = library.opus_get_version_string
        except (OSError, AttributeError) as error:
            raise OpusError(f"cannot load libopus from {path}: {error}") from error
        state, size, number = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int
        self.path = path
        version.restype = ctypes.c_char_p
        self.version = (version() or b"").decode("ascii", "replace")

        self.decoder_create = library.opus_decoder_create
        self.decoder_create.argtypes = (size, number, ctypes.POINTER(number))
        self.decoder_create.restype = state
        self.decoder_destroy = library.opus_decoder_destroy
        self.decoder_destroy.argtypes = (state,)
        self.decoder_destroy.restype = None
        self.decode = library.opus_decode
        self.decode.argtypes = (state, ctypes.c_char_p, size, state, number, number)
        self.decode.restype = number
        # The control functions take variable arguments: only the fixed ones are declared, so that ctypes passes the
        # rest by the platform's convention for them.
        self.decoder_ctl = library.opus_decoder_ctl
        self.decoder_ctl.argtypes = (state, number)
        self.decoder_ctl.restype = number

        self.encoder_create = library.opus_encoder_create
        self.encoder_create.argtypes = (size, number, number, ctypes.POINTER(number))
        self.encoder_create.restype = state
        self.encoder_destroy = library.opus_encoder_destroy
        self.encoder_destroy.argtypes = (state,)
        self.encoder_destroy.restype = None
        self.encoder_init = library.opus_encoder_init
        self.encoder_init.argtypes = (state, size, number, number)
        self.encoder_init.restype = number
        self.encode = library.opus_encode
        self.encode.argtypes = (state, ctypes.c_char_p, number, state, size)
        self.encode.restype = size
        self.encoder_ctl = library.opus_encoder_ctl
        self.encoder_ctl.argtypes = (state, number)
        self.encoder_ctl.restype = number

        self._strerror = library.opus_strerror
        self._strerror.argtypes = (number,)
        self._strerror.restype = ctypes.c_char_p

    def error(self, code: int, doing: str) -> OpusError:
        """The exception for a negative return value."""
        reason = (self._strerror(code) or b"").decode("ascii", "replace")
        return OpusError(f"Opus could not {doing}: {reason}")


@cache
def load() -> LibOpus:
    """The process's libopus.

    Raises:
        OpusError: neither a system library nor PyAV's is there; the message says what to install.
    """
    tried: list[str] = []
    for place in (*USUAL_NAMES, inside_pyav, by_linker):
        path = place if isinstance(place, str) else place()
        if path is not None:
            try:
                return LibOpus(path)
            except OpusError as error:
                tried.append(str(error))
    raise OpusError(
        "no libopus here and no PyAV wheel that carries one: install libopus0 (Debian), opus (Homebrew), or the 'av' "
        f"package from PyPI. Tried: {'; '.join(tried)}"
    )


def by_linker() -> str | None:
    """What the linker knows under another name; slow."""
    return ctypes.util.find_library("opus")


def inside_pyav() -> str | None:
    """Path of the libopus in PyAV's wheel, by the places where wheel repair tools put libraries."""
    spec = importlib.util.find_spec("av")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    for folder, pattern in (
        (package.parent / "av.libs", "libopus[-.]*"),
        (package / ".dylibs", "libopus*.dylib"),
        (package.parent / "av.libs", "*opus*.dll"),
    ):
        found = sorted(folder.glob(pattern))
        if found:
            return str(found[0])
    return None
