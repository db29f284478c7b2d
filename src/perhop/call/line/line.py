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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason
from perhop.call.line.activity import Activity
from perhop.call.line.candidates import Candidates
from perhop.call.line.epoch import Epoch
from perhop.call.line.host import LineHost, Replacement
from perhop.call.line.journal import Journal
from perhop.call.line.policy import LinePolicy
from perhop.call.line.rebuild import carried
from perhop.call.line.session_state import SessionState
from perhop.call.line.turn_audio import TurnAudio
from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ErrorEvent,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCancel,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.items import Item
from perhop.realtime.session import SessionConfig
from perhop.telemetry.call_metrics import known_code

__all__ = ["ModelLine"]

_log = structlog.get_logger(__name__)

POLL_S = 0.2
"""How often a prepared session looks whether the moment is quiet; most of the time an event says so earlier."""

SPEECH_AGAIN_S = 2.0
"""How long a new session gets to find the speech it was told again; then nobody counts as speaking."""


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
        self._candidates = Candidates(kinds, self._policy)
        remote = any(kind.remote for kind in kinds)
        self._journal = Journal(keep=remote, tail_s=self._policy.tail_s, max_s=self._policy.gap_audio_s)
        self._turn_audio = TurnAudio()
        self._current: Epoch | None = None
        self._next: Epoch | None = None
        self._opened = 0
        self._lost_at: float | None = None
        self._why: Replacement = "start"
        self._told_to_wait = False
        self._trouble_since: float | None = None
        self._refused = False
        self._speech_again_until: float | None = None
        self._retry_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._suspended = False
        self._closed = False

    # -- for the call -------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """How many model sessions were opened before the one in force."""
        return self._current.number if self._current is not None else self._opened

    @property
    def model(self) -> str:
        """The kind of model the conversation is with."""
        return (self._current.kind if self._current is not None else self._candidates.current).name

    @property
    def sessions(self) -> int:
        """Model sessions open now, or being opened: two around a renewal."""
        return (self._current is not None) + (self._next is not None)

    def start(self, host: LineHost, session: SessionConfig) -> None:
        """Opens the first session with this configuration."""
        self._host = host
        self._state = SessionState(session)
        kind = self._candidates.current
        if kind.remote:
            self._begin_gap("start")
            self._open_next()
            return
        # In process it exists at once, and must hear what comes while it starts.
        self._current = epoch = self._new_epoch(kind)
        epoch.open()

    def send(self, event: ClientEvent) -> None:
        """Sends one client event, in order. Without a session it waits for one, if it still makes sense then."""
        if isinstance(event, ConversationItemCreate) and event.item.id is None:
            # Named by us, its acknowledgement can be told from those of others.
            named = event.item.model_copy(update={"id": self._new_id("item_")})
            event = event.model_copy(update={"item": named})
        current = self._current
        if current is not None and self._answered_here(current, event):
            return
        self._journal.told(event)
        if current is not None:
            current.leg.send(event)

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
        self._end_session()
        self._journal.clear_audio()
        if speech_is_open:
            # Its end will not be heard, and nobody must wait for it.
            self._host.on_model_event(InputAudioBufferCleared(event_id=self._new_id("event_")))
        self._arm()

    def resume(self) -> None:
        """Somebody is there again."""
        if not self._suspended or self._closed:
            return
        self._suspended = self._refused = False
        self._lost_at = self._trouble_since = self._clock()
        self._open_next()

    def restart(self, changes: Mapping[str, Any]) -> None:
        """Goes on in a further session that has this configuration from the start: a session that has spoken does not
        change its voice. What the caller is saying meanwhile is said to that one."""
        self._state.change(changes)
        if not self._suspended and not self._closed:
            self._end_session()
            self._open_next()

    def close(self) -> None:
        """Ends whatever session there is; idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._leave(self._current)

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
        answered = self._keep_books(epoch, event)
        if isinstance(event, SessionUpdated):
            event = self._state.updated(event, answered)
            self._detection_changed(epoch)
        if not self._is_speech_again(event):
            self._host.on_model_event(epoch.on_call_time(event))
        if self._next is not None:
            self._take_over_if_quiet()

    def on_epoch_closed(self, epoch: Epoch, reason: EndReason, detail: str, *, fatal: bool) -> None:
        """A session ended by itself."""
        if self._closed or self._suspended:
            return
        if not epoch.kind.remote:
            self._host.on_model_closed(reason, detail)
            return
        _log.warning("model session lost", model=epoch.kind.name, epoch=epoch.number, detail=detail, fatal=fatal)
        if epoch is self._next:
            self._next = None
        else:
            self._count_loss(epoch)
            self._current = None
            self._begin_gap("reconnect")
            self._host.on_session_lost()
            if self._next is not None:
                # One was being prepared: it is the successor, at once or as soon as it is ready.
                if self._next.ready:
                    self._take_over()
                self._arm()
                return
        self._try_again(reason, detail, fatal=fatal)

    # -- the session in force -----------------------------------------------------------------------------------------

    def _keep_books(self, epoch: Epoch, event: ServerEvent) -> ClientEvent | None:
        """What of the call's words and audio is settled; returns the client event that this one answers."""
        answered = self._journal.observe(event)
        match event:
            case InputAudioBufferSpeechStarted():
                self._journal.speech_started(epoch.offset + event.audio_start_ms * BYTES_PER_MS)
            case InputAudioBufferSpeechStopped():
                self._journal.speech_stopped(epoch.offset + event.audio_end_ms * BYTES_PER_MS)
            case ConversationItemAdded():
                spoken = self._journal.take_spoken()
                if spoken:
                    self._turn_audio.keep(event.item.id or "", spoken)
            case _:
                self._turn_audio.observe(event)
        return answered

    def _detection_changed(self, epoch: Epoch) -> None:
        self._journal.manual(self._state.manual)
        epoch.activity.automatic = self._state.automatic
        epoch.activity.transcribing = self._state.transcribing

    def _is_speech_again(self, event: ServerEvent) -> bool:
        """Speech that began in the session before is found again in this one: clients know of it already."""
        if self._speech_again_until is None:
            return False
        if isinstance(event, InputAudioBufferSpeechStarted | InputAudioBufferSpeechStopped):
            self._speech_again_until = None
        return isinstance(event, InputAudioBufferSpeechStarted)

    def _answered_here(self, epoch: Epoch, event: ClientEvent) -> bool:
        """An item made out of history is text in this session: what concerns its audio only the call can answer."""
        match event:
            case ConversationItemTruncate() if event.item_id in epoch.rebuilt:
                truncated = ConversationItemTruncated(
                    event_id=self._new_id("event_"),
                    item_id=event.item_id,
                    content_index=event.content_index,
                    audio_end_ms=event.audio_end_ms,
                )
                self._host.on_model_event(truncated)
                epoch.revise(self._conversation())
                return True
            case ConversationItemRetrieve() if event.item_id in epoch.rebuilt:
                item = self._host.history.get(event.item_id)
                if item is None:
                    return False
                self._host.on_model_event(ConversationItemRetrieved(event_id=self._new_id("event_"), item=item))
                return True
            case ResponseCancel() if event.response_id is not None:
                return event.response_id not in epoch.activity.responses and epoch.number > 0
            case _:
                return False

    # -- replacing it -------------------------------------------------------------------------------------------------

    def _new_epoch(self, kind: ModelKind) -> Epoch:
        activity = Activity(self._policy.transcript_wait_s)
        epoch = Epoch(self._opened, kind, self._state.config, self, activity, self._new_id, self._clock())
        self._opened += 1
        return epoch

    def _open_next(self) -> None:
        self._retry_at = None
        if self._closed or self._suspended:
            return
        self._next = epoch = self._new_epoch(self._candidates.current)
        epoch.open()
        self._arm()

    def _created(self, epoch: Epoch, event: SessionCreated) -> None:
        """A session exists."""
        epoch.ready = True
        epoch.began_at = self._clock()
        expires_at = event.session.get("expires_at")
        epoch.expires_at = float(expires_at) if isinstance(expires_at, int | float) and expires_at > 0 else None
        announced = self._state.announced
        if not announced:
            event = self._state.created(event)
        if epoch is self._current:
            self._detection_changed(epoch)
            self._host.on_model_event(event)
        elif self._current is None:
            if not announced:
                self._host.on_model_event(event)
            self._take_over()
        else:
            epoch.catch_up(self._conversation())
            self._take_over_if_quiet()
        self._arm()

    def _conversation(self) -> list[Item]:
        """The call's conversation as a session is told it."""
        return carried(self._host.history, budget=self._policy.history_tokens, audio=self._turn_audio.turns)

    def _take_over_if_quiet(self) -> None:
        current, following = self._current, self._next
        if current is None or following is None or not following.ready:
            return
        quiet = current.activity.quiet(self._clock()) and not self._journal.busy
        if quiet and not self._host.busy():
            self._take_over()

    def _take_over(self) -> None:
        """The prepared session comes in force: one step, and no frame and no event gets in between."""
        following, left = self._next, self._current
        if following is None or not following.ready:
            return
        why, lost = self._why, True
        if left is not None:
            why = "renewal"
            self._trouble_since = None  # the session before it lasted until it was left
            lost = not left.activity.quiet(self._clock())
            self._leave(left, keep=following)
            self._candidates.succeeded()
            if lost:
                self._host.on_session_lost()
                if self._closed:
                    return
        self._next, self._current = None, following
        following.configure(self._state.config)
        following.catch_up(self._conversation())
        following.offset = self._journal.first_audio
        speech_is_open = self._journal.speech_is_open
        for entry in self._journal.replay():
            if isinstance(entry, tuple):
                following.leg.append(entry[1])
            else:
                following.leg.send(entry)
        self._journal.gap(False)
        self._detection_changed(following)
        if speech_is_open:
            self._speech_again_until = self._clock() + SPEECH_AGAIN_S
        gap_s = self._clock() - self._lost_at if self._lost_at is not None else 0.0
        self._lost_at, self._told_to_wait = None, False
        _log.info("model session in force", why=why, model=self.model, epoch=following.number, gap_ms=int(gap_s * 1e3))
        self._host.on_session_replaced(why, epoch=following.number, lost=lost, gap_s=gap_s)
        self._arm()

    def _begin_gap(self, why: Replacement) -> None:
        """From now on there is no session."""
        self._why = why
        self._lost_at = self._clock()
        if why != "reconnect":
            self._trouble_since = self._lost_at
        self._speech_again_until = None
        self._journal.gap(True)

    def _end_session(self) -> None:
        """Ends the session in force, and whatever was under way to get another one."""
        self._retry_at = None
        self._leave(self._current)
        self._begin_gap("resume")
        self._host.on_session_lost()

    def _leave(self, epoch: Epoch | None, *, keep: Epoch | None = None) -> None:
        """Ends the session in force, and any that is being prepared but the one to keep."""
        self._current = None
        for left in (epoch, self._next):
            if left is not None and left is not keep:
                left.retire()
        self._next = keep

    def _count_loss(self, epoch: Epoch) -> None:
        """A session that lived for a while has shown that its model works; one that did not is part of the trouble."""
        now = self._clock()
        if now - epoch.began_at >= self._policy.proven_s:
            self._candidates.succeeded()
            self._trouble_since = now
        elif self._trouble_since is None:
            self._trouble_since = now

    def _try_again(self, reason: EndReason, detail: str, *, fatal: bool) -> None:
        before = self._candidates.current
        since = self._trouble_since
        patient = self._current is not None or since is None or self._clock() - since < self._policy.give_up_s
        delay = None if self._refused else self._candidates.failed(fatal=fatal, patient=patient)
        if delay is None:
            self._refused = True
            if self._current is None:
                self._host.on_model_closed(reason, detail)
            return
        if self._candidates.current is not before and self._why == "reconnect":
            self._why = "failover"
        self._retry_at = self._clock() + delay
        self._arm()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _life(self, epoch: Epoch) -> tuple[float, float] | None:
        """When to prepare the successor of a session, and when to force the takeover."""
        ends = [epoch.kind.session_cap_s] if epoch.kind.session_cap_s is not None else []
        if epoch.expires_at is not None:
            ends.append(epoch.expires_at - self._wall() + self._clock() - epoch.began_at)
        if not ends or not epoch.kind.remote:
            return None
        prepare, force = self._policy.takeover(min(ends))
        return epoch.began_at + prepare, epoch.began_at + force

    def _deadlines(self) -> list[float]:
        """Everything that is due some time."""
        due = [at for at in (self._retry_at, self._speech_again_until) if at is not None]
        if self._lost_at is not None and not self._told_to_wait and not self._suspended:
            due.append(self._lost_at + self._policy.hold_after_s)
        if self._next is not None and not self._next.ready:
            due.append(self._next.opened_at + self._policy.ready_s)
        if self._current is not None and self._current.ready:
            life = self._life(self._current)
            if life is not None:
                prepare, force = life
                if self._next is None:
                    if self._retry_at is None and not self._refused:
                        due.append(prepare)
                elif self._next.ready:
                    due += [force, self._clock() + POLL_S]
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
        if self._speech_again_until is not None and now >= self._speech_again_until:
            self._speech_again_until = None
            self._host.on_model_event(InputAudioBufferCleared(event_id=self._new_id("event_")))
        if self._lost_at is not None and not self._told_to_wait and now >= self._lost_at + self._policy.hold_after_s:
            self._told_to_wait = True
            if not self._suspended:
                self._host.on_waiting()
        if self._retry_at is not None and now >= self._retry_at:
            self._open_next()
        following = self._next
        if following is not None and not following.ready and now >= following.opened_at + self._policy.ready_s:
            following.retire()
            self.on_epoch_closed(following, EndReason.MODEL_FAILED, "the session was not ready in time", fatal=False)
        self._renew(now)
        self._arm()

    def _renew(self, now: float) -> None:
        current = self._current
        life = self._life(current) if current is not None and current.ready else None
        if life is None:
            return
        prepare, force = life
        if self._next is None and self._retry_at is None and not self._refused and now >= prepare:
            self._open_next()
        elif now >= force:
            self._take_over()
        else:
            self._take_over_if_quiet()
