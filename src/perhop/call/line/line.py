"""The model side of a call: one continuous conversation over as many model sessions as it takes.

The call owns the truth (configuration, items, what was heard), so a session can be rebuilt from it at any moment. That
is renewal before a session's cap (a second session opens, is told the conversation, and takes over when nobody speaks),
reconnection after a loss, and failover to another model: one mechanism. Caller, ``call_id`` and conversation go on.

Everything happens by direct calls inside one event loop. A takeover is one synchronous step, so no caller frame falls
between two sessions; events of a session that was left are never heard again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog

from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason
from perhop.call.line.activity import Activity
from perhop.call.line.books import Books
from perhop.call.line.epoch import Epoch
from perhop.call.line.host import LineHost, Replacement
from perhop.call.line.policy import LinePolicy, Takeover
from perhop.call.line.recovery import Recovery
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemTruncated,
    ErrorEvent,
    InputAudioBufferCleared,
    ResponseDone,
    ServerEvent,
    SessionCreated,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.session import SessionConfig
from perhop.telemetry.call_metrics import known_code

__all__ = ["ModelLine"]

_log = structlog.get_logger(__name__)

POLL_S = 0.2
"""How often a prepared session looks whether the moment is quiet; most of the time an event says so earlier."""


class ModelLine:
    """All model sessions of one call.

    Args:
        kinds: the models in order of preference; the next is taken when one fails.
        policy: limits.
        clock: seconds, monotonic.
        wall: Unix time, s; what ``expires_at`` is held against.
    """

    def __init__(
        self,
        kinds: Sequence[ModelKind],
        policy: LinePolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        new_id: IdFactory = new_id,
    ) -> None:
        self._policy = policy or LinePolicy()
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._recovery = Recovery(kinds, self._policy)
        remote = any(kind.remote for kind in kinds)
        self._books = Books(self._policy, new_id, keep=remote)
        self._journal = self._books.journal
        self._current: Epoch | None = None
        self._next: Epoch | None = None
        self._opened = 0
        self._epoch = 0
        self._kind: ModelKind | None = None  # of the session in force, or of the last that was
        self._timer: asyncio.TimerHandle | None = None
        self._suspended = False
        self._closed = False

    # -- for the call -------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """How many model sessions were opened before the one in force, or before the last that was."""
        return self._epoch

    @property
    def model(self) -> str:
        """The kind of model the conversation is with, or was last."""
        return (self._kind or self._recovery.kind).name

    @property
    def sessions(self) -> int:
        """Model sessions open now, or being opened: two around a renewal."""
        return (self._current is not None) + (self._next is not None)

    def start(self, host: LineHost, session: SessionConfig) -> None:
        """Opens the first session with this configuration."""
        self._host = host
        self._books.open(session)
        kind = self._recovery.kind
        if kind.remote:
            self._begin_gap("start")
            self._open_next()
            return
        # In process it exists at once, and must hear what comes while it starts.
        self._current = epoch = self._new_epoch(kind)
        self._kind = kind
        epoch.open()

    def admit(self, event: ClientEvent) -> None:
        """Comes before the event of a client is sent: it may have to wait for a session.

        Raises:
            ProtocolError: too much waits for one.
        """
        if self._current is None:
            self._books.admit(event)

    def send(self, event: ClientEvent) -> None:
        """Sends one client event, in order. Without a session it waits for one, if it still makes sense then."""
        if isinstance(event, ConversationItemCreate) and event.item.id is None:
            # Named by us, its acknowledgement can be told from those of others.
            named = event.item.model_copy(update={"id": self._new_id("item_")})
            event = event.model_copy(update={"item": named})
        current = self._current
        if self._opened and not self._closed:  # before, there is nothing it could be about
            answers = self._books.answer(event, current, self._host.history)
            if answers is not None:
                self._answer(current, answers)
                return
        self._journal.told(event)
        if current is not None:
            current.send(event)

    def append(self, pcm: bytes) -> None:
        """Caller audio, 24 kHz mono s16le; the hot path."""
        self._journal.heard(pcm)
        if self._current is not None:
            self._current.leg.append(pcm)

    def suspend(self) -> None:
        """Nobody is there to talk to: the session ends until :meth:`resume`."""
        if self._suspended or self._closed:
            return
        self._suspended = True
        speech_is_open = self._journal.speech_is_open
        self._end_session("resume")
        self._journal.clear_audio()
        if speech_is_open:
            # Its end will not be heard, and nobody must wait for it.
            self._host.on_model_event(InputAudioBufferCleared(event_id=self._new_id("event_")))
        self._arm()

    def resume(self) -> None:
        """Somebody is there again."""
        if not self._suspended or self._closed:
            return
        self._suspended = False
        self._recovery.back(self._clock())
        self._open_next()

    def restart(self, changes: Mapping[str, Any]) -> None:
        """Goes on in a further session that has this configuration from the start: a session that has spoken does not
        change its voice. What the caller is saying meanwhile is said to that one."""
        self._books.state.change(changes)
        if not self._suspended and not self._closed:
            self._end_session("restart")
            self._open_next()

    def close(self) -> None:
        """Ends whatever session there is; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._current is None:
            self._tell_lost()
        self._leave(self._current, settle=False)

    # -- from the sessions --------------------------------------------------------------------------------------------

    def on_epoch_audio(self, epoch: Epoch, chunk: AudioChunk) -> None:
        """Model audio of the session in force."""
        if epoch is self._current:
            self._host.on_model_audio(chunk)

    def on_epoch_event(self, epoch: Epoch, event: ServerEvent) -> None:
        """An event of the session in force, or of the one that is being prepared."""
        if isinstance(event, SessionCreated):
            self._created(epoch, event)
            return
        if epoch is not self._current:
            if isinstance(event, ErrorEvent):
                code = known_code(event.error.code or "")
                _log.warning("a session that is being prepared reports an error", code=code)
            return
        if epoch.kind.remote and isinstance(event, ErrorEvent) and event.error.code == "session_expired":
            return  # the session is closed next, and the call goes on
        epoch.activity.observe(event, self._clock())
        said = self._books.observe(event, epoch)
        if said is not None:
            self._host.on_model_event(said)
        if self._next is not None:
            self._take_over_if_time()

    def on_epoch_settled(self, event: ResponseDone) -> None:
        """A response that was cut off has ended in the session that was left."""
        if not self._closed:
            self._host.on_response_settled(event)

    def on_epoch_closed(
        self, epoch: Epoch, reason: EndReason, detail: str, *, fatal: bool, retry_after_s: float | None = None
    ) -> None:
        """A session ended by itself, or did not come about."""
        if self._closed or self._suspended:
            return
        if not epoch.kind.remote:
            self._host.on_model_closed(reason, detail)
            return
        _log.warning("model session lost", model=epoch.kind.name, epoch=epoch.number, detail=detail, fatal=fatal)
        if epoch is self._next:
            self._next = None
        else:
            self._recovery.broke(epoch.began_at, self._clock())
            self._current = None
            self._begin_gap("reconnect")
            self._host.on_session_lost()
            if self._next is not None:
                # One was being prepared: it is the successor, at once or as soon as it is ready.
                if self._next.ready:
                    self._take_over()
                self._arm()
                return
        in_force = self._current is not None
        if self._recovery.failed(self._clock(), fatal=fatal, in_force=in_force, asked_s=retry_after_s):
            self._arm()
        elif not in_force:
            self._host.on_model_closed(reason, detail)

    def _answer(self, epoch: Epoch | None, answers: Iterable[ServerEvent]) -> None:
        """What the call answers by itself; the session, if there is one, learns what has changed by it."""
        for answer in answers:
            self._host.on_model_event(answer)
            if epoch is not None and isinstance(answer, ConversationItemTruncated):
                epoch.revise(self._books.conversation(self._host.history))

    # -- replacing the session ----------------------------------------------------------------------------------------

    def _new_epoch(self, kind: ModelKind) -> Epoch:
        activity, number = Activity(self._policy.transcript_wait_s), self._opened
        self._opened += 1
        return Epoch(number, kind, self._books.state.config, self, activity, self._new_id, self._clock())

    def _open_next(self) -> None:
        self._recovery.retry_at = None
        if self._closed or self._suspended:
            return
        self._next = epoch = self._new_epoch(self._recovery.kind)
        epoch.open()
        self._arm()

    def _created(self, epoch: Epoch, event: SessionCreated) -> None:
        """A session exists."""
        epoch.created(event.session, now=self._clock(), wall=self._wall())
        announced = self._books.state.announced
        if not announced:
            event = self._books.state.created(event)
        if epoch is self._current:
            self._books.detection_changed(epoch)
            self._host.on_model_event(event)
        elif self._current is None:
            if not announced:
                self._host.on_model_event(event)
            self._take_over()
        else:
            epoch.catch_up(self._books.conversation(self._host.history))
            self._take_over_if_time()
        self._arm()

    def _take_over_if_time(self) -> None:
        """The prepared session takes over at the best moment that its time allows."""
        current, following = self._current, self._next
        if current is None or following is None or not following.ready:
            return
        now, life = self._clock(), self._life(current)
        quiet = current.activity.quiet(now) and not self._journal.busy and not self._host.busy()
        # What a session has given plays on without it; what it has not would have to be said again.
        given = not current.activity.responses
        if quiet or (life is not None and (now >= life.last or (given and now >= life.force))):
            self._take_over()

    def _take_over(self) -> None:
        """The prepared session comes in force: one step, and no frame and no event gets in between."""
        following, left = self._next, self._current
        if following is None or not following.ready:
            return
        why, lost = self._recovery.why, True
        if left is not None:
            why = "renewal"
            lost = not left.activity.quiet(self._clock())
            self._leave(left, keep=following)
            self._recovery.lasted()
            if lost:
                self._host.on_session_lost()
                if self._closed:
                    return
        self._answer(None, self._books.unanswered(self._host.history))
        before, self._kind, self._epoch = self.model, following.kind, following.number
        self._next, self._current = None, following
        moved = before != self.model and why != "start"
        session = self._books.hand_over(following, self._host.history, self._clock(), moved=moved)
        gap_s = self._recovery.in_force(self._clock())
        _log.info("model session in force", why=why, model=self.model, epoch=following.number, gap_ms=int(gap_s * 1e3))
        self._tell_lost()
        self._host.on_session_replaced(why, epoch=self._epoch, left=before, lost=lost, gap_s=gap_s, session=session)
        self._arm()

    def _tell_lost(self) -> None:
        """What could not be kept of the caller's words is not lost in silence."""
        if lost_ms := self._journal.take_lost_ms():
            self._host.on_audio_lost(lost_ms)

    def _begin_gap(self, why: Replacement) -> None:
        """From now on there is no session."""
        self._recovery.gap(why, self._clock())
        self._books.gap()

    def _end_session(self, why: Replacement) -> None:
        """Ends the session in force, and whatever was under way to get another one; the next one is for this."""
        self._recovery.retry_at = None
        self._leave(self._current)
        self._begin_gap(why)
        self._host.on_session_lost()

    def _leave(self, epoch: Epoch | None, *, keep: Epoch | None = None, settle: bool = True) -> None:
        """Ends the session in force, and any that is being prepared but the one to keep."""
        self._current = None
        for left in (epoch, self._next):
            if left is not None and left is not keep:
                left.retire(settle=settle)
        self._next = keep

    # -- time ---------------------------------------------------------------------------------------------------------

    def _life(self, epoch: Epoch) -> Takeover | None:
        """When to leave a session for its successor; None while nobody says when it ends."""
        life_s = epoch.life_s(self._clock(), self._wall())
        if life_s is None or not epoch.ready or not epoch.kind.remote:
            return None
        return self._policy.takeover(life_s).since(epoch.began_at)

    def _deadlines(self) -> list[float]:
        """Everything that is due some time."""
        recovery = self._recovery
        due = [at for at in (recovery.retry_at, self._books.speech_again_until) if at is not None]
        if recovery.wait_told_at is not None and not self._suspended:
            due.append(recovery.wait_told_at)
        if self._next is not None and not self._next.ready:
            due.append(self._next.opened_at + self._policy.ready_s)
        life = self._life(self._current) if self._current is not None else None
        if life is not None:
            if self._next is None:
                if recovery.may_prepare:
                    due.append(life.prepare)
            elif self._next.ready:
                due.append(self._clock() + POLL_S)
                due += [at for at in (life.force, life.last) if at > self._clock()]
        return due

    def _arm(self) -> None:
        """Keeps one timer for whatever is due first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [] if self._closed else self._deadlines()
        if due:
            delay = max(0.0, min(due) - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock()
        missing = self._books.speech_missing(now)
        if missing is not None:
            self._host.on_model_event(missing)
        if self._recovery.wait_told_at is not None and now >= self._recovery.wait_told_at:
            self._recovery.told_to_wait()
            if not self._suspended:
                self._host.on_waiting()
        if self._recovery.retry_at is not None and now >= self._recovery.retry_at:
            self._open_next()
        following = self._next
        if following is not None and not following.ready and now >= following.opened_at + self._policy.ready_s:
            following.retire()
            self.on_epoch_closed(following, EndReason.MODEL_FAILED, "the session was not ready in time", fatal=False)
        self._renew(now)
        self._arm()

    def _renew(self, now: float) -> None:
        life = self._life(self._current) if self._current is not None else None
        if life is None:
            return
        if self._next is None and self._recovery.may_prepare and now >= life.prepare:
            self._open_next()
        else:
            self._take_over_if_time()
