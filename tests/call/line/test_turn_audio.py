"""What the caller said and nobody wrote down is kept, for a while, so that a further session can hear it."""

from __future__ import annotations

import asyncio

import pybase64
import pytest
from tests.call.helpers import Caller
from tests.call.line.test_trouble import LOUD, Desk
from tests.virtual_time import run_virtual

from perhop.call.legs import EndReason
from perhop.call.line.turn_audio import MAX_BYTES, TurnAudio
from perhop.models.scripted import ScriptedModel
from perhop.realtime.effects import Effect, Transcribe
from perhop.realtime.events import (
    ConversationItemCreate,
    ConversationItemDeleted,
    ConversationItemInputAudioTranscriptionCompleted,
    ResponseCreate,
)
from perhop.realtime.items import ContentPart, MessageItem


def clips(*audio: bytes) -> MessageItem:
    parts = [ContentPart(type="input_audio", audio=pybase64.b64encode_as_string(clip)) for clip in audio]
    return MessageItem(id="i", role="user", content=[ContentPart(type="input_text", text="listen"), *parts])


def written(item_id: str, part: int) -> ConversationItemInputAudioTranscriptionCompleted:
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item_id, content_index=part, transcript="words", usage=None
    )


def test_each_clip_of_an_item_is_kept_until_it_is_written_down() -> None:
    kept = TurnAudio()
    kept.keep_clips(clips(b"aa", b"bb"))
    assert kept.turns == {("i", 1): b"aa", ("i", 2): b"bb"}
    kept.observe(written("i", 1))
    assert kept.turns == {("i", 2): b"bb"}
    kept.observe(ConversationItemDeleted(event_id="e", item_id="i"))
    assert kept.turns == {}


def test_the_oldest_gives_way_and_what_is_too_long_is_not_kept_at_all() -> None:
    kept = TurnAudio()
    kept.keep("old", b"x" * 100)
    kept.keep_clips(clips(bytes(MAX_BYTES)))
    assert list(kept.turns) == [("i", 1)]
    kept.keep_clips(clips(bytes(MAX_BYTES + 1)))
    assert list(kept.turns) == [("i", 1)]
    kept.keep("new", b"x")
    assert list(kept.turns) == [("new", 0)]


def test_a_clip_that_is_none_is_the_models_business() -> None:
    kept = TurnAudio()
    part = ContentPart(type="input_audio", audio="this is no base64")
    kept.keep_clips(MessageItem(id="i", role="user", content=[part]))
    assert kept.turns == {}


@pytest.mark.parametrize("remote", [True, False], ids=["remote", "built in"])
def test_a_clip_of_a_client_is_heard_by_every_further_session(remote: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out = ScriptedModel.carry_out

    def writes_nothing_down(self: ScriptedModel, effect: Effect) -> None:
        if not isinstance(effect, Transcribe):
            carry_out(self, effect)

    monkeypatch.setattr(ScriptedModel, "carry_out", writes_nothing_down)

    async def scenario() -> None:
        desk = Desk(remote=remote)
        part = ContentPart(type="input_audio", audio=pybase64.b64encode_as_string(LOUD * 50))
        desk.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        desk.call.on_caller_event(ResponseCreate())
        await asyncio.sleep(2)
        for session in (1, 2):
            if remote:
                desk.models[-1].kill()
            else:
                desk.call.on_caller_closed(EndReason.CALLER_LOST)
                desk.call.resume(Caller())
            await asyncio.sleep(2)
            told = [event for event in desk.models[session].record.events if isinstance(event, ConversationItemCreate)]
            assert isinstance(told[0].item, MessageItem)
            assert told[0].item.content == [part]

    run_virtual(scenario())
