"""The call's own record stays small however long the call is, and never forgets what was heard."""

from __future__ import annotations

from perhop.call.history import MAX_ITEMS, MAX_UNPLAYED, History
from perhop.realtime.audio import AudioChunk


def speak(history: History, items: int) -> None:
    for number in range(items):
        history.add_audio(AudioChunk(f"r{number}", f"i{number}", 0, 0, bytes(96)))


def test_a_leg_that_does_not_tell_what_it_played_fills_no_memory() -> None:
    history = History()
    speak(history, MAX_UNPLAYED + 10)
    unplayed = [entry.item_id for entry in history.unplayed()]
    assert len(unplayed) == MAX_UNPLAYED
    assert unplayed[-1] == f"i{MAX_UNPLAYED + 9}", "the oldest count as played"


def test_audio_of_items_outside_the_conversation_fills_no_memory() -> None:
    history = History()
    speak(history, MAX_ITEMS + 10)
    assert history.received_ms("i0") == 0
    assert history.received_ms(f"i{MAX_ITEMS + 9}") == 2
