"""Settings of the whole test run."""

from __future__ import annotations

import os

from hypothesis import settings

# The same examples on every run: a change that breaks something fails at once, one that breaks nothing never does.
# New examples are looked for by `make fuzz`, which sets HYPOTHESIS_PROFILE=explore; what it finds becomes an @example.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
