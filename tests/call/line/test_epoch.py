"""What one session is told when it is prepared, and again when the conversation has changed since."""

from __future__ import annotations

from structlog.testing import capture_logs
from tests.call.helpers import counting_ids

from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelSink
from perhop.call.line.activity import Activity
from perhop.call.line.epoch import MAX_OWN, Epoch
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ErrorDetail,
    ErrorEvent,
    ServerEvent,
)
from perhop.realtime.items import ContentPart, Item, MessageItem
from perhop.realtime.session import SessionConfig


class Strict:
    """A session that keeps a conversation, and refuses an item behind one that it does not have."""

    def __init__(self) -> None:
        self.items: list[MessageItem] = []
        self.sent: list[ClientEvent] = []
        self.refused: list[str] = []

    def start(self, sink: ModelSink, session: SessionConfig) -> None: ...

    def append(self, pcm: bytes) -> None: ...

    def close(self) -> None: ...

    def send(self, event: ClientEvent) -> None:
        self.sent.append(event)
        ids = [item.id for item in self.items]
        if isinstance(event, ConversationItemDelete):
            self.items = [item for item in self.items if item.id != event.item_id]
        elif isinstance(event, ConversationItemCreate) and isinstance(event.item, MessageItem):
            before = event.previous_item_id
            if before is not None and before != "root" and before not in ids:
                self.refused.append(event.item.id or "")
                return
            at = len(ids) if before is None else 0 if before == "root" else ids.index(before) + 1
            self.items.insert(at, event.item)

    def knows(self) -> list[str]:
        return [item.text() for item in self.items]


class Nobody:
    """Hears the epoch, and does nothing but remember."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_epoch_event(self, epoch: Epoch, event: ServerEvent) -> None:
        self.heard.append(event.type)

    def on_epoch_audio(self, epoch: Epoch, chunk: AudioChunk) -> None: ...

    def on_epoch_closed(
        self, epoch: Epoch, reason: EndReason, detail: str, *, fatal: bool, retry_after_s: float | None = None
    ) -> None: ...


def session(sink: Nobody | None = None) -> tuple[Epoch, Strict]:
    leg = Strict()
    config = SessionConfig.default(model="m", kind="realtime")
    kind = ModelKind(lambda: leg, remote=True)
    return Epoch(1, kind, config, sink or Nobody(), Activity(3.0), counting_ids(), 0.0), leg


def said(**words: str) -> list[Item]:
    """A conversation of messages, by their ids."""
    return [
        MessageItem(id=name, role="user", content=[ContentPart(type="input_text", text=text)])
        for name, text in words.items()
    ]


def test_words_that_come_late_stand_in_their_place_and_what_follows_them_is_cut() -> None:
    epoch, leg = session()
    epoch.catch_up(said(a="one", c="three and more"))
    epoch.catch_up(said(a="one", b="two", c="three"))
    assert leg.refused == []
    assert leg.knows() == ["one", "two", "three"]


def test_the_first_item_may_come_last() -> None:
    epoch, leg = session()
    epoch.catch_up(said(b="two and more"))
    epoch.catch_up(said(a="one", b="two", c="three"))
    assert leg.refused == []
    assert leg.knows() == ["one", "two", "three"]


def test_what_is_not_known_any_more_is_taken_away() -> None:
    epoch, leg = session()
    epoch.catch_up(said(a="one", b="two"))
    epoch.catch_up(said(b="two"))
    assert leg.knows() == ["two"]


def refused(event: ClientEvent) -> ErrorEvent:
    return ErrorEvent(
        event_id="e", error=ErrorDetail(type="invalid_request_error", message="", event_id=event.event_id)
    )


def added(item: Item) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", previous_item_id=None, item=item)


def done(item: Item) -> ConversationItemDone:
    return ConversationItemDone(event_id="e", previous_item_id=None, item=item)


def test_what_a_session_answers_is_waited_for_no_more() -> None:
    sink = Nobody()
    epoch, _ = session(sink)
    for number in range(100):
        [item] = history = said(**{f"i{number}": "words"})
        epoch.catch_up(history)
        if number:
            epoch.on_model_event(ConversationItemDeleted(event_id="e", item_id=f"i{number - 1}"))
        epoch.on_model_event(added(item))
        epoch.on_model_event(done(item))
    assert sink.heard == [], "those were its answers"
    assert not epoch._own
    assert not epoch._owed
    epoch.on_model_event(added(item))
    assert sink.heard == ["conversation.item.added"], "once each"


def test_a_session_that_answers_nothing_does_not_fill_the_memory() -> None:
    epoch, _ = session()
    for number in range(MAX_OWN + 500):
        epoch.catch_up(said(**{f"i{number}": "words"}))
    assert len(epoch._own) <= MAX_OWN
    assert sum(len(waiting) for waiting in epoch._owed.values()) <= 2 * MAX_OWN


def test_what_a_session_does_not_take_is_logged_and_told_again_next_time() -> None:
    sink = Nobody()
    epoch, leg = session(sink)
    history = said(a="one", b="two")
    epoch.catch_up(history)
    with capture_logs() as logs:
        epoch.on_model_event(refused(leg.sent[1]))
    assert [line["log_level"] for line in logs] == ["warning"]
    assert "two" not in str(logs)
    assert sink.heard == [], "it is nobody else's error"
    leg.items.pop()  # the session does not have it
    epoch.catch_up(history)
    assert leg.knows() == ["one", "two"]
    epoch.on_model_event(added(history[1]))
    epoch.on_model_event(done(history[1]))
    epoch.on_model_event(added(history[1]))
    assert sink.heard == ["conversation.item.added"], "the first one answered the second try"
