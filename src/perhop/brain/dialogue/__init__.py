"""A mind without a language model: it fills the forms that a session's tools declare, and says what they return."""

from __future__ import annotations

from perhop.brain.dialogue.mind import DialogueMind, DialogueProvider

__all__ = ["DialogueMind", "DialogueProvider"]
