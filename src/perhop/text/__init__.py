"""Spoken forms and written forms: reading one from the other, with the way back."""

from __future__ import annotations

from perhop.text.spoken import Kind, Normalised, Segment, normalise

__all__ = ["Kind", "Normalised", "Segment", "normalise"]
