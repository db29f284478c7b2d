"""All live calls of a process: starting, finding and ending them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from perhop.call.absence import Absence
from perhop.call.agents import Agent
from perhop.call.announcer import Announcer
from perhop.call.boundary import Boundary
from perhop.call.budget import Account, Budgets, agent_account
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import CallerLeg, EndReason
from perhop.call.lifetime import Lifetime
from perhop.call.line import Line, LinePolicy, ModelLine
from perhop.call.observer import CallObserver, Observers
from perhop.call.ownership import SessionLock
from perhop.call.prices import PriceTable
from perhop.call.snapshot import CallSnapshot
from perhop.call.spending import Spending
from perhop.config.budget import WarningSettings
from perhop.errors import LimitExceededError, PerhopError
from perhop.realtime.errors import ProtocolError
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.session import DEFAULT_MODEL, SessionConfig, SessionKind
from perhop.tools.runner import ToolRunner

__all__ = ["CallManager", "ModelKind", "UnknownModelError"]


MAX_ENDED = 200
"""Calls that are over and can still be asked about."""


class UnknownModelError(PerhopError):
    """An agent names a kind of model that this process does not have."""


class _Forgetting(CallObserver):
    """Hears of the end of a call before all others do."""

    def __init__(self, forget: Callable[[Call], None]) -> None:
        self._forget = forget

    def call_ended(self, call: Call) -> None:
        self._forget(call)


class CallManager:
    """Starts calls and keeps those that live.

    Args:
        models: kinds of model legs by name; agents name theirs, plain sessions get ``default_model``.
        runner: runs the agents' tools.
        max_calls: live calls; a further one is refused.
        max_call_s: how long a call may last; None for as long as it likes.
        observer: told what happens in every call.
        budgets: what calls may use; without limits unless given.
        prices: what models cost.
        warning: what callers hear before a budget ends their call.
        resume_window_s: how long a call waits for a caller who was lost.
        policy: when model sessions are replaced, and how hard lost ones are tried again.
        announcer: says what callers hear while there is no model session; nothing unless given.
        find_agent: (tenant, name) → an agent that may take over a call; raises PerhopError. None: none may.
        clock: seconds, monotonic.
        wall: Unix time, s.
    """

    def __init__(
        self,
        models: Mapping[str, ModelKind],
        runner: ToolRunner,
        *,
        default_model: str = "local",
        max_calls: int = 500,
        max_call_s: float | None = None,
        observer: CallObserver | None = None,
        policy: LinePolicy | None = None,
        resume_window_s: float = 0.0,
        budgets: Budgets | None = None,
        prices: PriceTable | None = None,
        warning: WarningSettings | None = None,
        announcer: Announcer | None = None,
        find_agent: Callable[[str, str], Agent] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        new_id: IdFactory = new_id,
    ) -> None:
        self._models = models
        self._runner = runner
        self._default_model = default_model
        self._max_calls = max_calls
        self._observer = Observers(_Forgetting(self._forget), observer or CallObserver())
        self._max_call_s = max_call_s
        self._policy = policy or LinePolicy()
        self._resume_window_s = resume_window_s
        self._budgets = budgets or Budgets(clock=clock, wall=wall)
        self._prices = prices or PriceTable()
        self._warning = warning or WarningSettings()
        self._announcer = announcer
        self._find_agent = find_agent
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._calls: dict[str, Call] = {}
        self._ended: dict[str, CallSnapshot] = {}
        self._draining = False

    @property
    def policy(self) -> LinePolicy:
        """How hard a lost model session is tried again."""
        return self._policy

    def effective_session(
        self, agent: Agent | None, session: Mapping[str, Any], *, model: str | None = None
    ) -> SessionConfig:
        """The configuration a call of this agent starts with.

        Args:
            session: the client's partial session object; fields the agent fixed have no effect.
            model: the name the client asked for; shown back to it, no name is refused.

        Raises:
            ProtocolError: a field of ``session`` has a wrong value.
        """
        return self._configure(agent, session, model=model, lock=self._lock(agent))

    def start(
        self,
        leg: CallerLeg,
        *,
        agent: Agent | None,
        session: Mapping[str, Any],
        tenant: str,
        model: str | None = None,
        call_id: str | None = None,
        key: str | None = None,
        line: Line | None = None,
    ) -> Call:
        """Joins a caller to a model.

        Args:
            key: name of the API key that starts it.
            line: the model side of a direct call, whose caller cannot come back and needs no further session.

        Raises:
            BudgetExceededError: the key, the agent or this process has no more to use today, or too many calls.
            LimitExceededError: too many calls live, or the process is shutting down.
            ProtocolError: a field of ``session`` has a wrong value.
            UnknownModelError: the agent's kind of model is not available here.
        """
        if self._draining:
            raise LimitExceededError("Perhop is shutting down and takes no new calls")
        if len(self._calls) >= self._max_calls:
            raise LimitExceededError(f"all {self._max_calls} calls of this server are taken; try again later")
        kinds = self._kinds(agent)
        lock = self._lock(agent)
        config = self._configure(agent, session, model=model, lock=lock)
        gateway = line is None
        line = line or ModelLine(kinds, self._policy, clock=self._clock, wall=self._wall, new_id=self._new_id)
        name, limits = (agent_account(tenant, agent.name), agent.budget) if agent else (None, None)
        account = self._budgets.open(key=key, agent=name, agent_limits=limits)
        call = Call(
            call_id or self._new_id("rtc_"),
            leg,
            Boundary(line, self._runner),
            agent=agent,
            lock=lock,
            tenant=tenant,
            absence=Absence(self._resume_window_s if gateway else 0.0),
            announcer=self._announcer if gateway else None,
            hold_phrase=kinds[0].hold_phrase,
            transcribe=gateway and (kinds[0].remote or agent is not None),
            observer=self._observer,
            lifetime=Lifetime(self._max_call_s, clock=self._clock, wall=self._wall),
            spending=Spending(account, prices=self._prices, warning=self._warning, clock=self._clock),
            key=key,
            find_agent=partial(self._successor, account) if self._find_agent is not None else None,
            clock=self._clock,
            new_id=self._new_id,
        )
        self._calls[call.id] = call
        self._observer.call_started(call)
        call.start(config)
        return call

    def check_budget(self, agent: Agent, *, tenant: str, key: str | None) -> None:
        """For a call that a client will have with a model by itself, where nobody here counts.

        Raises:
            BudgetExceededError: the key, the agent or this process has no more to use today, or too many calls.
        """
        self._budgets.admits(key=key, agent=agent_account(tenant, agent.name), agent_limits=agent.budget)

    def get(self, call_id: str) -> Call | None:
        """The live call of this id."""
        return self._calls.get(call_id)

    def ended(self, call_id: str) -> CallSnapshot | None:
        """What became of one of the last calls that are over."""
        return self._ended.get(call_id)

    def live(self) -> list[Call]:
        """All live calls, oldest first."""
        return list(self._calls.values())

    def drain(self) -> None:
        """Takes no further calls."""
        self._draining = True

    def close(self) -> None:
        """Ends every call."""
        self._draining = True
        for call in self.live():
            call.hang_up(EndReason.SHUTDOWN)

    def _forget(self, call: Call) -> None:
        self._calls.pop(call.id, None)
        self._ended[call.id] = call.snapshot()
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _successor(self, account: Account, tenant: str, name: str) -> tuple[Agent, SessionLock]:
        """The agent that answers the rest of a call, which draws on that one's budget from here on."""
        assert self._find_agent is not None
        agent = self._find_agent(tenant, name)
        self._budgets.hand_over(account, agent=agent_account(tenant, agent.name), agent_limits=agent.budget)
        return agent, self._lock(agent)

    def _kinds(self, agent: Agent | None) -> list[ModelKind]:
        """The models to try, in order of preference."""
        names = agent.models if agent else (self._default_model,)
        for name in names:
            if name not in self._models:
                raise UnknownModelError(f"no model {name!r} here; there are: {', '.join(self._models)}")
        return [self._models[name] for name in names]

    def _lock(self, agent: Agent | None) -> SessionLock:
        return agent.lock(extensions=all(kind.extensions for kind in self._kinds(agent))) if agent else SessionLock({})

    @staticmethod
    def _configure(
        agent: Agent | None, session: Mapping[str, Any], *, model: str | None, lock: SessionLock
    ) -> SessionConfig:
        kind: SessionKind = "transcription" if session.get("type") == "transcription" else "realtime"
        if agent is not None and kind == "transcription":
            message = f"The agent {agent.name} talks to its callers: a transcription session cannot have one."
            raise ProtocolError("invalid_value", message, "session.type")
        config = SessionConfig.default(model=model or DEFAULT_MODEL, kind=kind)
        if agent is not None:
            config = config.merged({"type": "realtime", **agent.defaults}).merged(lock.initial())
        given = lock.apply(session)
        return config.merged({"type": config.type, **given}) if given else config
