"""What a worker's tool is given besides its arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from perhop.errors import LimitExceededError, PerhopError
from perhop.tools.base import ToolContext
from perhop.workers.sdk.tables import EffectRow

__all__ = ["MAX_EFFECTS", "MAX_PAYLOAD_BYTES", "Outbox", "WorkerContext"]

MAX_EFFECTS = 32
"""Effects outside that one function call may ask for."""

MAX_PAYLOAD_BYTES = 65_536


class Outbox:
    """Effects outside the database that become due when the tool's transaction is committed, and not otherwise.

    Args:
        worker: its name.
        channels: names of its deliveries.
    """

    def __init__(self, worker: str, channels: frozenset[str], context: ToolContext, session: AsyncSession) -> None:
        self._worker = worker
        self._channels = channels
        self._context = context
        self._session = session
        self.added = 0

    def add(self, channel: str, payload: Mapping[str, Any], *, due_at: datetime | None = None) -> str:
        """Asks for an effect.

        Args:
            channel: name of a delivery of this worker (:meth:`~perhop.workers.sdk.worker.Worker.deliver`).
            payload: what it needs, as JSON expresses it; deleted once the effect is settled.
            due_at: not before; at once when None.

        Returns:
            The key of the effect, by which the provider recognises a repetition.

        Raises:
            PerhopError: there is no such delivery.
            LimitExceededError: there are too many, or the payload is too large.
        """
        if channel not in self._channels:
            raise PerhopError(f"worker {self._worker}: nothing delivers {channel!r}; use @worker.deliver({channel!r})")
        text = json.dumps(payload, ensure_ascii=False)
        if self.added >= MAX_EFFECTS or len(text.encode()) > MAX_PAYLOAD_BYTES:
            raise LimitExceededError(f"at most {MAX_EFFECTS} effects of {MAX_PAYLOAD_BYTES} bytes for a function call")
        key = hashlib.sha256(f"{self._worker} {self._context.idempotency_key} {self.added}".encode()).hexdigest()
        self.added += 1
        now = datetime.now(UTC)
        self._session.add(
            EffectRow(
                key=key,
                worker=self._worker,
                channel=channel,
                tenant=self._context.tenant,
                call_id=self._context.call_id,
                function_call_id=self._context.function_call_id,
                payload=text,
                state="pending",
                attempts=0,
                due_at=due_at or now,
                created_at=now,
                updated_at=now,
            )
        )
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext(ToolContext):
    """A tool's parameter of this type is given it; the model never sees it.

    A tool with an effect does all it does through ``session`` and ``outbox``: what it writes is committed together with
    the record that it was done. It may be begun again when the database went away in the middle, so it must not touch
    the world in any other way.

    Attributes:
        session: one transaction, committed when the tool returns and rolled back when it raises. For a tool without
            effect it only reads.
        outbox: for effects outside the database; tools without effect have none.
    """

    session: AsyncSession = field(repr=False, compare=False)
    outbox: Outbox | None = field(default=None, repr=False, compare=False)

    @property
    def effects(self) -> Outbox:
        """The outbox of a tool with an effect.

        Raises:
            PerhopError: the tool was declared without effect.
        """
        if self.outbox is None:
            raise PerhopError('a tool with effect="none" has no effects')
        return self.outbox
