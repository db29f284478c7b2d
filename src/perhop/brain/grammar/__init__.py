"""From tool schemas to grammars and understanding: what can be said to a set of tools, and what it means."""

from __future__ import annotations

from perhop.brain.grammar.jsgf import Grammar, build_grammar
from perhop.brain.grammar.understand import Domain, Focus, Heard, understand

__all__ = ["Domain", "Focus", "Grammar", "Heard", "build_grammar", "understand"]
