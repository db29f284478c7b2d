"""One model session of a call, and what its conversation holds of the call's."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import structlog

from perhop.call.history import MAX_ITEMS
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelLeg
from perhop.call.line.activity import Activity
from perhop.call.line.names import Names
from perhop.call.line.settling import Settling
from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ErrorEvent,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    ResponseDone,
    ServerEvent,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import ClientItem, Item
from perhop.realtime.session import SessionConfig
from perhop.telemetry.call_metrics import known_code

__all__ = ["Epoch", "EpochSink"]

_log = structlog.get_logger(__name__)

MAX_OWN = 2 * MAX_ITEMS
"""Events of ours that a model may leave unanswered; a whole history and its revision are fewer."""

MIN_LIFE_S = 1.0
"""A session that says it ends sooner is taken to last for so long: they would follow one another without a pause."""

_Answer = tuple[str, str]
"""Type of a server event, and the item it is about."""


class EpochSink(Protocol):
    """What an epoch tells its line."""

    def on_epoch_event(self, epoch: Epoch, event: ServerEvent) -> None:
        """Any event that is not the answer to what the epoch itself sent."""

    def on_epoch_audio(self, epoch: Epoch, chunk: AudioChunk) -> None:
        """Model audio."""

    def on_epoch_settled(self, event: ResponseDone) -> None:
        """A response ended after its session was left; it is news only of what it used."""

    def on_epoch_closed(
        self, epoch: Epoch, reason: EndReason, detail: str, *, fatal: bool, retry_after_s: float | None = None
    ) -> None:
        """The session ended by itself; ``retry_after_s`` when its model says how long to leave it alone."""


@dataclass(slots=True, eq=False)
class Epoch:
    """One model session; the sink of its leg.

    Attributes:
        number: how many sessions the call had before.
        config: what it was opened or last configured with.
        opened_at: when it was asked for, monotonic s.
        began_at: when it was ready, monotonic s.
        expires_at: when it says it ends, Unix time, s.
        session: what it says is in force in it, once it is ready.
        offset: position in the caller's audio at which this session's audio begins, bytes.
        ready: the session exists and can be told things.
        rebuilt: items made here out of the call's history; they are text, whatever they once were.
        names: what it calls things by.
    """

    number: int
    kind: ModelKind
    config: SessionConfig
    sink: EpochSink
    activity: Activity
    new_id: IdFactory
    opened_at: float
    began_at: float = 0.0
    expires_at: float | None = None
    offset: int = 0
    ready: bool = False
    session: Mapping[str, Any] = field(default_factory=dict)
    rebuilt: dict[str, Item] = field(default_factory=dict)
    leg: ModelLeg = field(init=False)
    names: Names = field(init=False)
    _retired: bool = False
    _settling: Settling | None = None
    _own: dict[str, set[_Answer]] = field(default_factory=dict)
    _owed: dict[_Answer, deque[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.leg = self.kind.open()
        self.names = Names(self.rebuilt)

    # -- from the leg -------------------------------------------------------------------------------------------------

    def on_model_event(self, event: ServerEvent) -> None:
        """Any event but audio; none is heard once the session was left."""
        if self._retired:
            if self._settling is not None:
                self._settling.observe(event)
        elif not self._answers_us(event):
            self.sink.on_epoch_event(self, self.names.to_call(event))

    def on_model_audio(self, chunk: AudioChunk) -> None:
        """Model audio; none is heard once the session was left."""
        if not self._retired:
            self.sink.on_epoch_audio(self, chunk)

    def on_model_closed(
        self, reason: EndReason, detail: str, *, fatal: bool = True, retry_after_s: float | None = None
    ) -> None:
        """The session ended by itself."""
        if self._settling is not None:
            self._settling.closed()
        if not self._retired:
            self._retired = True
            self.sink.on_epoch_closed(self, reason, detail, fatal=fatal, retry_after_s=retry_after_s)

    # -- from the line ------------------------------------------------------------------------------------------------

    def created(self, session: Mapping[str, Any], *, now: float, wall: float) -> None:
        """The session exists, with this in force.

        Args:
            now: monotonic s.
            wall: Unix time, s.
        """
        self.ready, self.began_at, self.session = True, now, session
        expires_at = session.get("expires_at")
        if not isinstance(expires_at, int | float) or expires_at <= 0:
            return
        if expires_at > wall:
            self.expires_at = float(expires_at)
        else:
            # To believe it would be to replace every session as soon as it is there.
            _log.warning("a model session says that it has expired already: clocks differ", by_s=int(wall - expires_at))

    def life_s(self, now: float, wall: float) -> float | None:
        """How long it lives from when it began, s; None when nobody says. At least a second, whatever the clocks say.

        Args:
            now: monotonic s.
            wall: Unix time, s.
        """
        ends = [self.kind.session_cap_s] if self.kind.session_cap_s is not None else []
        if self.expires_at is not None:
            ends.append(self.expires_at - wall + now - self.began_at)
        return max(min(ends), MIN_LIFE_S) if ends else None

    def open(self) -> None:
        """Asks for the session."""
        self.leg.start(self, self.config)

    def send(self, event: ClientEvent) -> None:
        """Sends what the call says."""
        self.leg.send(self.names.to_session(event))

    def retire(self, *, settle: bool = False) -> None:
        """The session is not needed any more, and not heard any more.

        Args:
            settle: it may first tell what the answer that it is giving has used.
        """
        self._retired = True
        if settle and self.activity.responses:
            self._settling = Settling(
                send=self.leg.send, close=self.leg.close, told=self.sink.on_epoch_settled, new_id=self.new_id
            )
            self._settling.cancel(self.activity.responses)
        else:
            self.leg.close()

    def configure(self, config: SessionConfig) -> None:
        """Puts a configuration in force, unless it is."""
        if config is self.config:
            return
        self.config = config
        self._send(SessionUpdate(session=_changeable(config)), ("session.updated", ""))

    def catch_up(self, history: list[Item]) -> None:
        """Makes the conversation of a session that is being prepared what the call's is."""
        self.revise(history)
        last = max((index for index, item in enumerate(history) if item.id in self.rebuilt), default=-1)
        previous: str | None = None
        for index, item in enumerate(history):
            if item.id not in self.rebuilt:
                self._remember(item, None if index > last else previous or "root")
            previous = item.id

    def revise(self, history: list[Item]) -> None:
        """Brings the items that were made here up to date."""
        wanted = {item.id for item in history}
        for item_id in [item_id for item_id in self.rebuilt if item_id not in wanted]:
            self._forget(item_id)
        previous = "root"  # of those that are in the session: one that is new to it comes later
        for item in history:
            item_id = item.id or ""
            if item_id not in self.rebuilt:
                continue
            if self.rebuilt[item_id] != item:
                self._forget(item_id)
                self._remember(item, previous)
            previous = item_id

    def on_call_time(self, event: ServerEvent) -> ServerEvent:
        """The same event with its audio positions counted from the start of the call."""
        shift = self.offset // BYTES_PER_MS
        if not shift:
            return event
        match event:
            case InputAudioBufferSpeechStarted():
                return event.model_copy(update={"audio_start_ms": event.audio_start_ms + shift})
            case InputAudioBufferSpeechStopped():
                return event.model_copy(update={"audio_end_ms": event.audio_end_ms + shift})
            case InputAudioBufferTimeoutTriggered():
                shifted = {"audio_start_ms": event.audio_start_ms + shift, "audio_end_ms": event.audio_end_ms + shift}
                return event.model_copy(update=shifted)
            case _:
                return event

    # -- inside -------------------------------------------------------------------------------------------------------

    def _answers_us(self, event: ServerEvent) -> bool:
        """Whether this event answers what was sent here, and is no news to the call."""
        match event:
            case ConversationItemAdded() | ConversationItemDone():
                return self._take(event.type, event.item.id or "")
            case ConversationItemCreated():
                return event.item.id in self.rebuilt
            case ConversationItemDeleted():
                if self._take(event.type, event.item_id):
                    return True
                self.rebuilt.pop(event.item_id, None)
                return False
            case SessionUpdated():
                return self._take(event.type, "")
            case ErrorEvent() if event.error.event_id in self._own:
                for name, item_id in self._settle(event.error.event_id):
                    if name == "conversation.item.added":
                        self.rebuilt.pop(item_id, None)
                code = known_code(event.error.code or "")
                _log.warning("a model session does not take what it is told of the conversation", code=code)
                return True
            case _:
                return False

    def _take(self, name: str, item_id: str) -> bool:
        answer = (name, item_id)
        waiting = self._owed.get(answer)
        if waiting is None:
            return False
        event_id = waiting.popleft()
        if not waiting:
            del self._owed[answer]
        rest = self._own[event_id]
        rest.discard(answer)
        if not rest:
            del self._own[event_id]
        return True

    def _settle(self, event_id: str) -> set[_Answer]:
        """Waits no more for answers to this event of ours; returns those that had not come."""
        answers = self._own.pop(event_id, set())
        for answer in answers:
            waiting = self._owed[answer]
            waiting.remove(event_id)
            if not waiting:
                del self._owed[answer]
        return answers

    def _remember(self, item: Item, previous_item_id: str | None) -> None:
        item_id = item.id or ""
        self.rebuilt[item_id] = item
        create = ConversationItemCreate(item=cast("ClientItem", item), previous_item_id=previous_item_id)
        self._send(create, ("conversation.item.added", item_id), ("conversation.item.done", item_id))

    def _forget(self, item_id: str) -> None:
        del self.rebuilt[item_id]
        self._send(ConversationItemDelete(item_id=item_id), ("conversation.item.deleted", item_id))

    def _send(self, event: ClientEvent, *answers: _Answer) -> None:
        event_id = self.new_id("event_")
        self._own[event_id] = set(answers)
        for answer in answers:
            self._owed.setdefault(answer, deque()).append(event_id)
        if len(self._own) > MAX_OWN:
            self._settle(next(iter(self._own)))
        self.leg.send(event.model_copy(update={"event_id": event_id}))


def _changeable(config: SessionConfig) -> dict[str, object]:
    """A whole configuration as an update; the model is fixed when a session starts."""
    session = config.to_dict()
    session.pop("model", None)
    return session
