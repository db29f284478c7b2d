"""Every effect at most once: each is recorded before it is sent, and its outcome after.

:mod:`~perhop.tools.effects.ledger` says what a record is, and keeps records for as long as the process lives;
:mod:`~perhop.tools.effects.store` keeps them in the database; :mod:`~perhop.tools.effects.recovery` finds out what
became of those that a crash left open.
"""

from __future__ import annotations

from perhop.tools.effects.ledger import EffectLedger, EffectRecord, EffectsDownError, EffectState, MemoryLedger

__all__ = ["EffectLedger", "EffectRecord", "EffectState", "EffectsDownError", "MemoryLedger"]
