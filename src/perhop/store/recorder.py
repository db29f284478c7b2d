"""Writes down what becomes of calls, in the background: a call never waits for the database.

What is handed over is always the whole state of a call, so a newer one replaces one that still waits: a database that
is away costs memory for each call, not for each change, and what it gets when it is back is complete. Several changes
share one commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Self

import structlog
from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from perhop.store.database import Database
from perhop.store.errors import StoreError, is_refused
from perhop.store.housekeeping import DEAD_AFTER, Instance, close_crashed, forget_old, say_alive
from perhop.store.models import CallRow

__all__ = ["CallRecord", "Recorder", "RecorderFigures"]

_log = structlog.get_logger(__name__)

GROUP_S = 0.2
"""How long a change waits for others to share its commit."""

BATCH = 500
"""Calls written in one transaction."""

HEARTBEAT_S = 15.0
TIDY_EVERY = 20
"""Heartbeats between two looks for what crashed elsewhere and what is too old: five minutes."""

RETRY_S = (0.5, 15.0)
"""First and longest pause before a database that is away is tried again."""

CLOSE_S = 5.0
"""For the last changes when the process ends."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """All that is kept of a call, at one moment; see :class:`~perhop.store.models.CallRow`."""

    id: str
    tenant: str
    key: str | None
    agent: str | None
    model: str
    transport: str
    started_at: datetime
    ended_at: datetime | None = None
    end_reason: str | None = None
    duration_ms: int = 0
    turns: int = 0
    responses: int = 0
    interruptions: int = 0
    tool_calls: int = 0
    epoch: int = 0
    renewals: int = 0
    reconnects: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    cached_text_tokens: int = 0
    cached_audio_tokens: int = 0
    cached_image_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    transcription_tokens: int = 0
    transcription_s: float = 0.0
    cost: Decimal = Decimal(0)
    priced: bool = True
    rtt_ms: float | None = None
    jitter_ms: float | None = None
    packets_received: int | None = None
    packets_lost: int | None = None


@dataclass(slots=True)
class RecorderFigures:
    """What became of changes, for metrics.

    Attributes:
        waiting: calls with a change that is not written yet.
        written: changes that reached the database.
        dropped: calls whose change was given up: too many waited, or the process ended while the database was away.
        down: whether the last attempt failed.
    """

    waiting: int = 0
    written: int = 0
    dropped: int = 0
    down: bool = False


class Recorder:
    """The one writer of the table of calls in a process; make one with :meth:`open`.

    Args:
        queue: calls that may wait; beyond it the change that waits longest is dropped.
        keep_days: calls that began longer ago are deleted; 0 keeps them.
        wall: the time now.
        group_s: how long a change waits for others.
        retry_s: first and longest pause while the database is away.
        heartbeat_s: between two signs of life.
    """

    def __init__(
        self,
        db: Database,
        instance: Instance,
        *,
        queue: int = 10_000,
        keep_days: int = 0,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        group_s: float = GROUP_S,
        retry_s: tuple[float, float] = RETRY_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.figures = RecorderFigures()
        self._db = db
        self._instance = instance
        self._queue = queue
        self._keep = timedelta(days=keep_days) if keep_days else None
        self._wall = wall
        self._group_s = group_s
        self._retry_s = retry_s
        self._heartbeat_s = heartbeat_s
        self._waiting: dict[str, CallRecord] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        db: Database,
        *,
        name: str,
        queue: int = 10_000,
        keep_days: int = 0,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        group_s: float = GROUP_S,
        retry_s: tuple[float, float] = RETRY_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> Self:
        """Starts writing. Calls that an earlier run of this process left open are closed as ``crashed``.

        Args:
            name: of this process; the same when it is started again, another for every other one on this database.

        Raises:
            StoreDownError: the database does not answer.
        """
        instance = Instance.new(name)
        await say_alive(db, instance, now=wall())
        closed = await close_crashed(db, instance, now=wall())
        if closed:
            _log.warning("calls of an earlier run had not ended", calls=closed)
        recorder = cls(
            db,
            instance,
            queue=queue,
            keep_days=keep_days,
            wall=wall,
            group_s=group_s,
            retry_s=retry_s,
            heartbeat_s=heartbeat_s,
        )
        recorder._task = asyncio.create_task(recorder._work(), name="call recorder")
        return recorder

    def record(self, record: CallRecord) -> None:
        """Takes note of the state of a call; returns at once."""
        # Goes to the end: what is dropped first is what has not changed for longest.
        self._waiting.pop(record.id, None)
        self._waiting[record.id] = record
        if len(self._waiting) > self._queue:
            del self._waiting[next(iter(self._waiting))]
            self._dropped(1)
        self.figures.waiting = len(self._waiting)
        self._idle.clear()
        self._changed.set()

    async def written(self) -> None:
        """Returns once everything noted so far is in the database."""
        await self._idle.wait()

    async def close(self, *, timeout_s: float = CLOSE_S) -> None:
        """Writes what still waits, for so long, and stops."""
        self._closing = True
        self._changed.set()
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=timeout_s)
        for task in late:
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
        self._task = None
        if self._waiting:
            self._dropped(len(self._waiting))
            self._waiting.clear()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        beat_at, beats, pause_s = loop.time() + self._heartbeat_s, 0, self._retry_s[0]
        while not self._closing or self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(beat_at):
                    await self._changed.wait()
            if self._waiting and not self._closing:
                await asyncio.sleep(self._group_s)
            try:
                await self._write()
                if loop.time() >= beat_at:
                    beat_at, beats = loop.time() + self._heartbeat_s, beats + 1
                    await self._beat(tidy=beats % TIDY_EVERY == 1)
                self._is_down(None)
                pause_s = self._retry_s[0]
            except Exception as error:  # noqa: BLE001 - without this task nothing would be recorded, nor anybody told
                # What is no StoreDownError is a mistake of ours, or somebody's who changed the tables. Calls go on.
                self._is_down(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._retry_s[1])

    async def _write(self) -> None:
        """Writes what waits now. What fails waits on, unless something newer of the same call has come."""
        self._changed.clear()
        while self._waiting:
            batch = dict(list(self._waiting.items())[:BATCH])
            for call_id in batch:
                del self._waiting[call_id]
            try:
                await self._upsert(list(batch.values()))
            except BaseException:
                self._waiting = {**batch, **self._waiting}
                while len(self._waiting) > self._queue:
                    del self._waiting[next(iter(self._waiting))]
                    self._dropped(1)
                self._changed.set()
                raise
            self.figures.written += len(batch)
            self.figures.waiting = len(self._waiting)
        self._idle.set()

    async def _upsert(self, records: list[CallRecord]) -> None:
        values = [{**asdict(record), "instance": self._instance.id} for record in records]
        try:
            async with self._db.session() as session:
                await session.execute(_upsert_statement(self._db), values)
        except DBAPIError as refused:
            if not is_refused(refused):
                raise
            # Somebody deleted the row of this run, or one call has a value that does not fit: it must not take the
            # others with it.
            await say_alive(self._db, self._instance, now=self._wall())
            for one in values:
                try:
                    async with self._db.session() as session:
                        await session.execute(_upsert_statement(self._db), [one])
                except DBAPIError as error:
                    if not is_refused(error):
                        raise
                    _log.error("a call cannot be recorded", call_id=one["id"], error=type(error.orig).__name__)
                    self.figures.dropped += 1

    async def _beat(self, *, tidy: bool) -> None:
        now = self._wall()
        await say_alive(self._db, self._instance, now=now)
        if tidy:
            await close_crashed(self._db, self._instance, now=now)
            if self._keep is not None:
                await forget_old(self._db, before=now - self._keep, dead_before=now - 2 * DEAD_AFTER)

    def _is_down(self, error: Exception | None) -> None:
        if (error is not None) == self.figures.down:
            return
        self.figures.down = error is not None
        if error is None:
            _log.info("calls are recorded again", waiting=len(self._waiting))
        else:
            _log.error(
                "calls cannot be recorded; they go on, and are written down when the database is back",
                error=_told(error),
                waiting=len(self._waiting),
            )

    def _dropped(self, calls: int) -> None:
        if self.figures.dropped == 0 or calls > 1:
            _log.error("what became of calls is lost: the database was away for too long", calls=calls)
        self.figures.dropped += calls
        if not self._waiting:
            self._idle.set()


def _told(error: Exception) -> str:
    """One line for the log; of errors that may repeat what is stored, only their kind."""
    if isinstance(error, StoreError | SQLAlchemyError):
        return str(error).split("\n", 1)[0]
    return type(error).__qualname__


def _upsert_statement(db: Database) -> Insert:
    if db.dialect == "sqlite":
        lite = sqlite.insert(CallRow)
        return lite.on_conflict_do_update(index_elements=["id"], set_=_all_but_id(lite.excluded))
    postgres = postgresql.insert(CallRow)
    return postgres.on_conflict_do_update(index_elements=["id"], set_=_all_but_id(postgres.excluded))


def _all_but_id(excluded: object) -> dict[str, object]:
    names = [column.name for column in CallRow.__table__.columns if column.name != "id"]
    return {name: getattr(excluded, name) for name in names}
