"""Hypothesis does not judge these tests by the wall clock: a busy machine is not a bug."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("media", deadline=None)
settings.load_profile("media")
