"""Starts a child; in a module of its own so that ``worker`` is imported once and not run as ``__main__`` as well."""

from __future__ import annotations

from perhop.brain.engines.worker import main

main()
