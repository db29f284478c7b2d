"""What calls used and what they may use: pure counting, and the verdict on it.

A call draws on several accounts at once: its own, and those of its key, of its agent and of the whole process, which it
shares with others. The first of them that runs low warns, the first that is empty ends the call.

Pure: no I/O; time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import IntEnum
from typing import Literal

from perhop.call.snapshot import CallUsage
from perhop.call.usage import TokenUse
from perhop.config.budget import BudgetSettings
from perhop.errors import LimitExceededError

__all__ = ["Account", "BudgetExceededError", "Budgets", "Finding", "Used", "Verdict", "agent_account"]

DAY_S = 86_400

MAX_ACCOUNTS = 10_000
"""Keys and agents whose day is remembered; beyond it those without live calls that used nothing today are forgotten."""


Kind = Literal["process", "key", "agent"]


class BudgetExceededError(LimitExceededError):
    """A call cannot begin: its key, its agent or this process has used what it may, or has too many calls.

    Attributes:
        retry_after_s: when trying again can help.
    """

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Verdict(IntEnum):
    """What is to become of a call."""

    GO_ON = 0
    WARN = 1
    END = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and what it rests on.

    Attributes:
        limit: the setting that says so, such as ``budget.call_tokens``; empty while all is well.
    """

    verdict: Verdict
    limit: str = ""


@dataclass(slots=True)
class _Day:
    """What one key, agent or process used today."""

    day: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    live: int = 0

    def add(self, tokens: int, cost: Decimal, *, day: int) -> None:
        self.turn_to(day)
        self.tokens += tokens
        self.cost += cost

    def turn_to(self, day: int) -> None:
        if day > self.day:
            self.day, self.tokens, self.cost = day, 0, Decimal(0)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What one call used on the account of one party."""

    seconds: float = 0.0
    tokens: int = 0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Scope:
    """One of the parties a call draws on."""

    kind: Kind
    name: str
    """As it is called in the settings."""
    limits: BudgetSettings
    day: _Day
    began: float
    """s, monotonic: when the call began to draw on it."""
    before: _Drawn = _Drawn()
    """What the call had used by then."""
    earlier: _Drawn = _Drawn()
    """What of that was this party's: the call has left it and come back."""

    def drawn(self, used: Used, now: float) -> _Drawn:
        """What the call used here so far, of all that it used."""
        return _Drawn(
            self.earlier.seconds + now - self.began,
            self.earlier.tokens + used.tokens - self.before.tokens,
            self.earlier.cost + used.cost - self.before.cost,
        )

    def check(self, *, left_of_day: int) -> None:
        """Raises BudgetExceededError when there is no room for one more call."""
        limits, day = self.limits, self.day
        if limits.calls is not None and day.live >= limits.calls:
            raise BudgetExceededError(
                f"{self.name}.calls is {limits.calls}, and so many calls are live; try again when one has ended",
                retry_after_s=5,
            )
        used_up = (limits.day_tokens is not None and day.tokens >= limits.day_tokens) or (
            limits.day_cost is not None and day.cost >= limits.day_cost
        )
        if used_up:
            raise BudgetExceededError(
                f"{self.name} has used what it may use in a day; try again after midnight, UTC",
                retry_after_s=left_of_day,
            )


def agent_account(tenant: str, agent: str) -> str:
    """The name of an agent's account: tenants may each have an agent of the same name."""
    return agent if tenant == "default" else f"{tenant}/{agent}"


class Budgets:
    """All accounts of a process.

    Args:
        everyone: of every call, and of the process as a whole.
        keys: of keys by name; agents likewise.
        warn_at: share of a limit from which on a call is warned.
        clock: s, monotonic; for how long a call lasts.
        wall: Unix time, s; for which day it is.
    """

    def __init__(
        self,
        everyone: BudgetSettings | None = None,
        *,
        keys: Mapping[str, BudgetSettings] | None = None,
        agents: Mapping[str, BudgetSettings] | None = None,
        warn_at: float = 0.9,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._limits: dict[Kind, Mapping[str, BudgetSettings]] = {
            "process": {"": everyone or BudgetSettings()},
            "key": keys or {},
            "agent": agents or {},
        }
        self._warn_at = warn_at
        self._clock = clock
        self._wall = wall
        self._days: dict[tuple[Kind, str], _Day] = {}

    def open(self, *, key: str | None, agent: str | None, agent_limits: BudgetSettings | None = None) -> Account:
        """The account of a call that begins.

        Args:
            agent_limits: where the agent itself carries them; otherwise they are looked up by its name.

        Raises:
            BudgetExceededError: somebody it would draw on has no more, or too many live calls.
        """
        scopes = self._scopes(key=key, agent=agent, agent_limits=agent_limits)
        self._check(scopes)
        for scope in scopes:
            scope.day.live += 1
        return Account(scopes, warn_at=self._warn_at, today=self._today)

    def admits(self, *, key: str | None, agent: str | None, agent_limits: BudgetSettings | None = None) -> None:
        """Whether a call of these might begin now; one that this process will not see draws on nothing.

        Raises:
            BudgetExceededError: it might not.
        """
        self._check(self._scopes(key=key, agent=agent, agent_limits=agent_limits))

    def hand_over(self, account: Account, *, agent: str, agent_limits: BudgetSettings | None = None) -> None:
        """Another agent answers the rest of a call, which draws on that one's account from here on.

        Raises:
            BudgetExceededError: that one has no more, or too many live calls; nothing has changed.
        """
        found = self._scopes(key=None, agent=agent, agent_limits=agent_limits)
        successors = [scope for scope in found if scope.kind == "agent"]
        account.hand_over(successors, now=self._clock(), check=self._check)

    def _check(self, scopes: Sequence[_Scope]) -> None:
        today, left_of_day = self._today(), self._left_of_day()
        for scope in scopes:
            scope.day.turn_to(today)
            scope.check(left_of_day=left_of_day)

    def already_used(self, *, key: str | None, agent: str | None, tokens: int, cost: Decimal) -> None:
        """Counts what calls of today used before this process began."""
        # Agents carry their limits: those that count later are not known yet.
        for scope in self._scopes(key=key, agent=agent, agent_limits=BudgetSettings()):
            scope.day.add(tokens, cost, day=self._today())

    def _scopes(self, *, key: str | None, agent: str | None, agent_limits: BudgetSettings | None) -> tuple[_Scope, ...]:
        parties: list[tuple[Kind, str, str]] = [("process", "", "budget")]
        if key is not None:
            parties.append(("key", key, f"keys.{key}.budget"))
        if agent is not None:
            parties.append(("agent", agent, f"agents.{agent.rpartition('/')[2]}.budget"))
        scopes = []
        for kind, name, shown in parties:
            limits = self._limits[kind].get(name)
            if kind == "agent" and agent_limits is not None:
                limits = agent_limits
            if limits is not None:
                scopes.append(_Scope(kind, shown, limits, self._day(kind, name), self._clock()))
        return tuple(scopes)

    def _day(self, kind: Kind, name: str) -> _Day:
        day = self._days.get((kind, name))
        if day is None:
            if len(self._days) >= MAX_ACCOUNTS:
                self._forget()
            day = self._days[kind, name] = _Day(self._today())
        return day

    def _forget(self) -> None:
        today = self._today()
        self._days = {
            party: kept
            for party, kept in self._days.items()
            if kept.live or party[0] == "process" or (kept.day == today and (kept.tokens or kept.cost))
        }

    def _today(self) -> int:
        return int(self._wall() // DAY_S)

    def _left_of_day(self) -> int:
        return int(DAY_S - self._wall() % DAY_S) + 1


class Account:
    """What one call used, and whether it may go on."""

    def __init__(self, scopes: Iterable[_Scope] = (), *, warn_at: float = 1.0, today: Callable[[], int]) -> None:
        self.used = Used()
        self._scopes = tuple(scopes)
        self._warn_at = Decimal(str(warn_at))
        self._today = today
        self._open = True
        self._left: dict[str, _Drawn] = {}  # agents that answered before, by the name of their scope

    def add(self, use: TokenUse, cost: Decimal | None) -> None:
        """Something was used.

        Args:
            cost: None when there is no price for it.
        """
        self.used.add(use, cost)
        for scope in self._scopes:
            scope.day.add(use.total, cost or Decimal(0), day=self._today())

    def find(self, now: float) -> Finding:
        """Whether the call may go on."""
        worst = Finding(Verdict.GO_ON)
        for scope in self._scopes:
            scope.day.turn_to(self._today())
            for name, used, limit in self._shares(scope, now):
                verdict = self._judge(used, limit)
                if verdict > worst.verdict:
                    worst = Finding(verdict, f"{scope.name}.{name}")
        return worst

    def next_deadline(self, now: float) -> float | None:
        """When the passing of time alone can change what :meth:`find` says; None if never."""
        moments = []
        for scope in self._scopes:
            limit = scope.limits.call_s
            if limit is not None:
                began = scope.began - scope.earlier.seconds
                moments += [began + limit * float(self._warn_at), began + limit]
        return min((moment for moment in moments if moment > now), default=None)

    def hand_over(self, successors: Sequence[_Scope], *, now: float, check: Callable[[Sequence[_Scope]], None]) -> None:
        """From here on the call draws on these in place of its agent's so far, or draws on again.

        Args:
            now: s, monotonic.
            check: raises BudgetExceededError when there is no room for it there.
        """
        if not self._open:
            return
        left = [scope for scope in self._scopes if scope.kind == "agent"]
        for scope in left:
            scope.day.live -= 1
        try:
            check(successors)
        except BudgetExceededError:
            for scope in left:
                scope.day.live += 1
            raise
        for scope in successors:
            scope.day.live += 1
        self._left |= {scope.name: scope.drawn(self.used, now) for scope in left}
        before, nothing = _Drawn(tokens=self.used.tokens, cost=self.used.cost), _Drawn()
        entered = [replace(each, before=before, earlier=self._left.get(each.name, nothing)) for each in successors]
        self._scopes = (*(scope for scope in self._scopes if scope.kind != "agent"), *entered)

    def close(self) -> None:
        """The call is over; idempotent."""
        if self._open:
            self._open = False
            for scope in self._scopes:
                scope.day.live -= 1

    def _shares(self, scope: _Scope, now: float) -> list[tuple[str, Decimal, Decimal]]:
        limits, day, drawn = scope.limits, scope.day, scope.drawn(self.used, now)
        given = (
            ("call_s", drawn.seconds, limits.call_s),
            ("call_tokens", drawn.tokens, limits.call_tokens),
            ("call_cost", drawn.cost, limits.call_cost),
            ("day_tokens", day.tokens, limits.day_tokens),
            ("day_cost", day.cost, limits.day_cost),
        )
        return [(name, Decimal(used), Decimal(limit)) for name, used, limit in given if limit is not None]

    def _judge(self, used: Decimal, limit: Decimal) -> Verdict:
        if used >= limit:
            return Verdict.END
        return Verdict.WARN if used >= limit * self._warn_at else Verdict.GO_ON


@dataclass(slots=True)
class Used:
    """What one call used so far.

    Attributes:
        by_kind: tokens of responses.
        transcription_tokens: of the model that transcribes the caller.
        transcription_s: where it charges by time.
        cost: as far as there are prices.
        priced: whether everything had one.
    """

    by_kind: dict[str, int] = field(default_factory=dict)
    transcription_tokens: int = 0
    transcription_s: float = 0.0
    cost: Decimal = Decimal(0)
    priced: bool = True

    @property
    def tokens(self) -> int:
        """All of them."""
        return sum(self.by_kind.values()) + self.transcription_tokens

    def usage(self) -> CallUsage:
        """For whoever looks from outside."""
        transcription = {"transcription": self.transcription_tokens} if self.transcription_tokens else {}
        return CallUsage({**self.by_kind, **transcription}, self.transcription_s, self.cost, self.priced)

    def add(self, use: TokenUse, cost: Decimal | None) -> None:
        """Something more."""
        if use.transcription:
            self.transcription_tokens += use.total
            self.transcription_s += use.seconds
        else:
            for kind, count in use.tokens.items():
                self.by_kind[kind] = self.by_kind.get(kind, 0) + count
        if cost is None:
            self.priced = self.priced and not (use.total or use.seconds)
        else:
            self.cost += cost
