"""What one session is told when it is prepared, and again when the conversation has changed since."""

from __future__ import annotations

from tests.call.helpers import counting_ids

from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelSink
from perhop.call.line.activity import Activity
from perhop.call.line.epoch import Epoch
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent, ConversationItemCreate, ConversationItemDelete, ServerEvent
from perhop.realtime.items import ContentPart, Item, MessageItem
from perhop.realtime.session import SessionConfig


class Strict:
    """A session that keeps a conversation, and refuses an item behind one that it does not have."""

    def __init__(self) -> None:
        self.items: list[MessageItem] = []
        self.refused: list[str] = []

    def start(self, sink: ModelSink, session: SessionConfig) -> None: ...

    def append(self, pcm: bytes) -> None: ...

    def close(self) -> None: ...

    def send(self, event: ClientEvent) -> None:
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
    """Hears the epoch, and does nothing."""

    def on_epoch_event(self, epoch: Epoch, event: ServerEvent) -> None: ...

    def on_epoch_audio(self, epoch: Epoch, chunk: AudioChunk) -> None: ...

    def on_epoch_closed(self, epoch: Epoch, reason: EndReason, detail: str, *, fatal: bool) -> None: ...


def session() -> tuple[Epoch, Strict]:
    leg = Strict()
    config = SessionConfig.default(model="m", kind="realtime")
    epoch = Epoch(1, ModelKind(lambda: leg, remote=True), config, Nobody(), Activity(3.0), counting_ids(), 0.0)
    return epoch, leg


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
