"""Keeps a call within its budget: counts what it uses, warns its caller in time, and ends it with a goodbye."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import structlog

from perhop.call.budget import Account, Finding, Used, Verdict
from perhop.call.legs import EndReason
from perhop.call.observer import Usage
from perhop.call.own_words import purpose_of, spoken
from perhop.call.prices import PriceTable
from perhop.call.usage import TokenUse, of_response, of_transcription
from perhop.call.voice import PLAYER_LAG_S
from perhop.config.budget import WarningSettings
from perhop.config.models import BUILT_IN_MODELS
from perhop.realtime.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from perhop.realtime.session_object import value_at

if TYPE_CHECKING:
    from perhop.call.call import Call
    from perhop.call.watch import CallWatch

__all__ = ["Spending"]

_log = structlog.get_logger(__name__)

_GOODBYE = "goodbye"


class _State(Enum):
    GOING = auto()
    WARNED = auto()
    LEAVING = auto()
    OVER = auto()


class Spending:
    """The purse of one call.

    A caller is told once that time is nearly up, and then once that it is. The call ends when that goodbye was played,
    was talked over, or has taken ``grace_s``; at once, if there is nobody to say it to.

    Args:
        account: counts, and judges.
        warning: what to say and when.
        clock: s, monotonic.
    """

    def __init__(
        self,
        account: Account | None = None,
        *,
        prices: PriceTable | None = None,
        warning: WarningSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account = account or Account(today=int)
        self._prices = prices or PriceTable()
        self._warning = warning or WarningSettings()
        self._clock = clock
        self._call: Call | None = None
        self._watch: CallWatch | None = None
        self._state = _State.GOING
        self._limit = ""
        self._goodbye: str | None = None
        self._ends_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._model: str | None = None
        self._transcriber: str | None = None
        self._talks = True

    @property
    def used(self) -> Used:
        """What the call used so far."""
        return self._account.used

    def begin(self, call: Call, watch: CallWatch) -> None:
        """The call begins; ``watch`` is told what is used."""
        self._call, self._watch = call, watch
        self._judge()

    def observe(self, event: ServerEvent) -> None:
        """Takes in what the model says, after the call has."""
        match event:
            case SessionCreated() | SessionUpdated():
                self._look_at(event.session)
            case ResponseCreated():
                if purpose_of(event.response) == _GOODBYE:
                    self._goodbye = event.response.id
            case ResponseDone():
                self.settled(event)
                if self._state is _State.LEAVING and event.response.id == self._goodbye:
                    self._said_goodbye(event)
            case ConversationItemInputAudioTranscriptionCompleted():
                if event.usage is not None:
                    self._add(of_transcription(event.usage), self._transcriber)
            case _:
                pass

    def settled(self, event: ResponseDone) -> None:
        """A response tells what it used."""
        if event.response.usage is not None:
            self._add(of_response(event.response.usage), self._model)

    def played(self, response_id: str) -> None:
        """This response was played to its end."""
        if self._state is _State.LEAVING and response_id == self._goodbye:
            self._end_in(0.0)

    def handed_over(self) -> None:
        """Another agent answers, whose limits count from here on."""
        if self._state is _State.WARNED:
            self._state = _State.GOING
        self._judge()

    def close(self) -> None:
        """The call is over."""
        self._state = _State.OVER
        self._account.close()
        self._disarm()

    # -- counting -----------------------------------------------------------------------------------------------------

    def _look_at(self, session: Mapping[str, Any]) -> None:
        self._talks = session.get("type") != "transcription"
        self._model = _text(session.get("model"))
        self._transcriber = _text(value_at(session, "audio", "input", "transcription", "model"))

    def _add(self, use: TokenUse, own_name: str | None) -> None:
        """Counts under the configured name of the model; a price may also be given by the model's own name."""
        call = self._call
        if call is None or self._watch is None:
            return
        cost = self._cost(call.model, use, own_name)
        self._account.add(use, cost)
        tokens = {"transcription": use.total} if use.transcription else use.tokens
        self._watch.used(Usage(call.model, tokens, float(cost) if cost is not None else None))
        self._judge()

    def _cost(self, model: str, use: TokenUse, own_name: str | None) -> Decimal | None:
        if model in BUILT_IN_MODELS:
            # Runs here and costs nothing, unless the table says otherwise. The name its sessions show is the client's.
            return self._prices.cost(model, use) or Decimal(0)
        names = (own_name,) if use.transcription else (model, own_name)
        costs = (self._prices.cost(name, use) for name in names if name is not None)
        return next((cost for cost in costs if cost is not None), None)

    # -- judging ------------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        if self._state in (_State.LEAVING, _State.OVER):
            return
        now = self._clock()
        finding = self._account.find(now)
        if finding.verdict is Verdict.END:
            self._leave(finding)
            return
        if finding.verdict is Verdict.WARN and self._state is _State.GOING:
            self._state = _State.WARNED
            self._note("a call nears its limit", finding)
            if self._warning.at < 1:
                self._say(self._warning.text, purpose="warning")
        deadline = self._account.next_deadline(now)
        if deadline is not None:
            self._at(deadline, self._judge)

    def _leave(self, finding: Finding) -> None:
        self._state = _State.LEAVING
        self._limit = finding.limit
        self._note("a call reached its limit", finding)
        self._ends_at = self._clock() + self._warning.grace_s
        self._at(self._ends_at, self._end)
        if not self._say(self._warning.goodbye, purpose=_GOODBYE):
            self._end_in(0.0)

    def _said_goodbye(self, event: ResponseDone) -> None:
        """The model has said it; its caller may still be hearing it."""
        call = self._call
        assert call is not None
        audio_s = call.conversation.received_ms(event) / 1000
        if event.response.status != "completed" or not audio_s:
            self._end_in(0.0)
        elif not call.conversation.clocked:
            # Whoever plays it by himself tells nobody when he is done.
            self._end_in(audio_s + PLAYER_LAG_S)

    def _say(self, text: str, *, purpose: str) -> bool:
        """Has the model say something; False when there is nobody to say it to."""
        call = self._call
        if call is None or not text or not call.connected or not self._talks:
            return False
        call.conversation.ask(spoken(text, purpose=purpose))
        return True

    def _end_in(self, seconds: float) -> None:
        """Not from within the event that ends it: the call is not done with that one yet."""
        now = self._clock()
        self._at(min(now + seconds, max(now, self._ends_at)), self._end)

    def _end(self) -> None:
        if self._call is not None:
            self._call.hang_up(EndReason.LIMIT_REACHED, f"The call reached its limit {self._limit}.")

    def _at(self, moment: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, moment - self._clock()), then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _note(self, what: str, finding: Finding) -> None:
        assert self._call is not None
        _log.info(what, call_id=self._call.id, tenant=self._call.tenant, limit=finding.limit)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
