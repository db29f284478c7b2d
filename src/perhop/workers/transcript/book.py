"""The tables as the worker uses them: written from events, searched, forgotten."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Integer, delete, func, literal_column, select, text, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.workers.call_events import CallEvent
from perhop.workers.transcript.tables import CutRow, TalkRow, TurnRow

__all__ = ["PAGE", "Outdated", "Said", "Talk", "forget", "note", "outdated", "read", "search", "words_of"]

PAGE = 20
MAX_TERMS = 12
MAX_BYTES = 30_000
"""Of text in one piece of a transcript; in the worst case it grows sixfold as JSON."""

_MAX_TURNS = 300
_BATCH = 200
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One turn.

    Attributes:
        heard_ms: of the agent's voice, when the caller talked over the rest.
    """

    key: int
    call_id: str
    role: str
    spoken: bool
    text: str = field(repr=False)
    said_at: datetime
    heard_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A call, or the next piece of it.

    Attributes:
        began_at: or the time of its first turn, when that is all that is known.
        turns: in the order they were said.
        after: where the next piece begins; None when this is the end.
    """

    call_id: str
    agent: str | None
    began_at: datetime
    ended_at: datetime | None
    turns: Sequence[Said]
    after: int | None


class Outdated(NamedTuple):
    """A call that is old enough to be forgotten."""

    tenant: str
    call_id: str
    seen_at: datetime


def words_of(said: str) -> list[str]:
    """The words of a text in one spelling: without case, punctuation and other forms of the same letters."""
    return _WORD.findall(unicodedata.normalize("NFKC", said).casefold())


async def note(session: AsyncSession, event: CallEvent, *, max_chars: int) -> None:
    """Writes what an event says; one that comes again changes nothing.

    Raises:
        ValueError: it does not look as it should.
    """
    values: dict[str, Any] = {}
    match event.type:
        case "started":
            agent = event.data.get("agent")
            values = {"agent": agent[:64] if isinstance(agent, str) else None, "began_at": event.at}
        case "ended":
            values = {"ended_at": event.at}
        case "said":
            await _insert(session, TurnRow, _turn(event, max_chars))
        case "cut":
            heard_ms = event.data.get("heard_ms")
            if not isinstance(heard_ms, int) or not 0 <= heard_ms < 2**31:
                raise ValueError("heard_ms")
            await session.merge(
                CutRow(tenant=event.tenant, call_id=event.call_id, item_id=_text(event, "item_id"), heard_ms=heard_ms)
            )
        case _:
            return
    await _insert(session, TalkRow, {"tenant": event.tenant, "call_id": event.call_id, "seen_at": event.at})
    mine = (TalkRow.tenant == event.tenant, TalkRow.call_id == event.call_id)
    if values:
        await session.execute(update(TalkRow).where(*mine).values(**values))
    await session.execute(update(TalkRow).where(*mine, TalkRow.seen_at < event.at).values(seen_at=event.at))


async def read(session: AsyncSession, *, tenant: str, call_id: str, after: int = 0) -> Talk | None:
    """A call from its beginning, or from behind the turn ``after``; None when nothing of it is kept."""
    talk = await session.get(TalkRow, (tenant, call_id))
    if talk is None:
        return None
    mine = (TurnRow.tenant == tenant, TurnRow.call_id == call_id)
    order = (TurnRow.said_at, TurnRow.key)
    first_at = await session.scalar(select(func.min(TurnRow.said_at)).where(*mine))
    wanted = select(TurnRow).where(*mine)
    if after:
        last = await session.scalar(select(TurnRow).where(*mine, TurnRow.key == after))
        if last is not None:
            wanted = wanted.where(tuple_(*order) > (last.said_at, last.key))
    rows = (await session.scalars(wanted.order_by(*order).limit(_MAX_TURNS + 1))).all()
    heard = await _cuts(session, tenant, call_id)
    turns: list[Said] = []
    size = 0
    for row in rows[:_MAX_TURNS]:
        size += len(row.text.encode())
        if turns and size > MAX_BYTES:
            break
        turns.append(_said(row, heard.get(row.item_id) if row.role == "agent" else None))
    return Talk(
        call_id=call_id,
        agent=talk.agent,
        began_at=talk.began_at or first_at or talk.seen_at,
        ended_at=talk.ended_at,
        turns=turns,
        after=turns[-1].key if len(turns) < len(rows) else None,
    )


async def search(
    session: AsyncSession,
    *,
    tenant: str,
    words: Sequence[str],
    role: Literal["caller", "agent"] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    page: int = 1,
) -> tuple[list[Said], bool]:
    """Turns with all of these words, the newest first, and whether there are more."""
    conditions: list[ColumnElement[bool]] = [TurnRow.tenant == tenant, _has(words[:MAX_TERMS], session)]
    if role is not None:
        conditions.append(TurnRow.role == role)
    if since is not None:
        conditions.append(TurnRow.said_at >= since)
    if until is not None:
        conditions.append(TurnRow.said_at < until)
    rows = await session.scalars(
        select(TurnRow)
        .where(*conditions)
        .order_by(TurnRow.said_at.desc(), TurnRow.key.desc())
        .offset((page - 1) * PAGE)
        .limit(PAGE + 1)
    )
    found = [_said(row, None) for row in rows]
    return found[:PAGE], len(found) > PAGE


async def forget(session: AsyncSession, *, tenant: str, call_id: str) -> bool:
    """Deletes everything of one call; whether there was anything."""
    for table in (TurnRow, CutRow):
        await session.execute(delete(table).where(table.tenant == tenant, table.call_id == call_id))
    gone = await session.execute(
        delete(TalkRow).where(TalkRow.tenant == tenant, TalkRow.call_id == call_id).returning(TalkRow.call_id)
    )
    return gone.first() is not None


async def outdated(session: AsyncSession, *, before: datetime) -> Sequence[Outdated]:
    """Calls whose last event is older, two hundred at most, the oldest first."""
    rows = await session.execute(
        select(TalkRow.tenant, TalkRow.call_id, TalkRow.seen_at)
        .where(TalkRow.seen_at < before)
        .order_by(TalkRow.seen_at)
        .limit(_BATCH)
    )
    return [Outdated(tenant, call_id, seen_at) for tenant, call_id, seen_at in rows]


def _turn(event: CallEvent, max_chars: int) -> dict[str, Any]:
    role, said = event.data.get("role"), event.data.get("text")
    if role not in ("caller", "agent") or not isinstance(said, str):
        raise ValueError("role or text")
    kept = said.replace("\0", "")[:max_chars]
    return {
        "tenant": event.tenant,
        "call_id": event.call_id,
        "event_id": event.id,
        "item_id": _text(event, "item_id"),
        "role": role,
        "spoken": event.data.get("spoken") is True,
        "text": kept,
        "words": " ".join(words_of(kept)),
        "said_at": event.at,
    }


def _text(event: CallEvent, name: str) -> str:
    value = event.data.get(name)
    if not isinstance(value, str):
        raise ValueError(name)
    return value.replace("\0", "")[:200]


async def _cuts(session: AsyncSession, tenant: str, call_id: str) -> dict[str, int]:
    rows = await session.scalars(select(CutRow).where(CutRow.tenant == tenant, CutRow.call_id == call_id))
    return {row.item_id: row.heard_ms for row in rows}


async def _insert(session: AsyncSession, table: type[TurnRow | TalkRow], values: dict[str, Any]) -> None:
    """Unless it is there."""
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    await session.execute(insert(table).values(**values).on_conflict_do_nothing())


def _has(words: Sequence[str], session: AsyncSession) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        column: ColumnElement[Any] = literal_column("transcript_turns.found")
        found: ColumnElement[bool] = column.bool_op("@@")(func.plainto_tsquery("simple", " ".join(words)))
        return found
    # Words in quotation marks are words, whatever the query language of FTS5 would make of them.
    quoted = " ".join(f'"{word}"' for word in words)
    matching = select(literal_column("rowid", Integer)).select_from(text("transcript_found"))
    return TurnRow.key.in_(matching.where(text("transcript_found MATCH :said").bindparams(said=quoted)))


def _said(row: TurnRow, heard_ms: int | None) -> Said:
    return Said(
        key=row.key,
        call_id=row.call_id,
        role=row.role,
        spoken=row.spoken,
        text=row.text,
        said_at=row.said_at,
        heard_ms=heard_ms,
    )
