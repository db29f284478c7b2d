"""Finding libopus."""

from __future__ import annotations

import pytest

from perhop.media import libopus
from perhop.media.libopus import LibOpus, OpusError


@pytest.fixture
def fresh_search() -> object:
    libopus.load.cache_clear()
    yield
    libopus.load.cache_clear()


def test_a_library_is_found_and_says_its_version() -> None:
    assert libopus.load().version.startswith("libopus")


def test_the_wheel_carries_one_that_works_by_itself() -> None:
    path = libopus.inside_pyav()
    if path is None:
        pytest.skip("this PyAV was not installed from a wheel")
    assert LibOpus(path).version.startswith("libopus 1.")


def test_something_else_is_not_taken_for_it() -> None:
    with pytest.raises(OpusError, match="cannot load libopus"):
        LibOpus("libc.so.6")


@pytest.mark.usefixtures("fresh_search")
def test_without_any_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libopus, "USUAL_NAMES", ("libopus-of-nowhere.so",))
    monkeypatch.setattr(libopus, "inside_pyav", lambda: None)
    monkeypatch.setattr(libopus, "by_linker", lambda: None)
    with pytest.raises(OpusError, match="install libopus0"):
        libopus.load()


@pytest.mark.usefixtures("fresh_search")
def test_the_wheel_serves_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    if libopus.inside_pyav() is None:
        pytest.skip("this PyAV was not installed from a wheel")
    monkeypatch.setattr(libopus, "USUAL_NAMES", ())
    assert libopus.load().path == libopus.inside_pyav()
