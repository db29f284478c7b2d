"""How far a client that plays by itself has got."""

from __future__ import annotations

from perhop.call.legs import Position
from perhop.edges.handed_over import HandedOver
from perhop.realtime.audio import AudioChunk


def chunk(item: str, ms: int) -> AudioChunk:
    return AudioChunk("resp_1", item, 0, 0, bytes(ms * 48))


def test_an_unknown_item_was_neither_sent_nor_played() -> None:
    assert HandedOver().position("item_x", 1.0) == Position(0, 0)


def test_it_plays_in_real_time_from_the_first_piece() -> None:
    given = HandedOver()
    given.add(chunk("a", 1000), 10.0)
    given.add(chunk("a", 500), 10.1)
    assert given.position("a", 10.0) == Position(1500, 0)
    assert given.position("a", 10.75) == Position(1500, 750)
    assert given.position("a", 99.0) == Position(1500, 1500)


def test_the_next_item_waits_for_the_one_before() -> None:
    given = HandedOver()
    given.add(chunk("a", 1000), 10.0)
    given.add(chunk("b", 1000), 10.0)
    assert given.position("b", 10.9) == Position(1000, 0)
    assert given.position("b", 11.25) == Position(1000, 250)


def test_what_was_taken_back_was_not_sent() -> None:
    given = HandedOver()
    given.add(chunk("a", 1000), 10.0)
    given.take_back(chunk("a", 600), 10.0)
    given.add(chunk("b", 100), 10.0)
    assert given.position("a", 99.0) == Position(400, 400)
    assert given.position("b", 10.5) == Position(100, 100)


def test_who_interrupts_hears_no_more_of_it_and_what_comes_next_at_once() -> None:
    given = HandedOver()
    given.add(chunk("a", 60_000), 10.0)
    given.add(chunk("b", 1000), 10.0)
    given.stopped(13.0)
    given.add(chunk("a", 500), 13.1)  # was on its way
    given.add(chunk("c", 2000), 14.0)
    assert given.position("a", 99.0) == Position(60_500, 3000)
    assert given.position("b", 99.0) == Position(1000, 0)
    assert given.position("c", 15.0) == Position(2000, 1000)


def test_the_client_knows_best_where_it_stopped() -> None:
    given = HandedOver()
    given.add(chunk("a", 60_000), 10.0)
    given.stopped(13.0, "a", 2800)
    given.add(chunk("b", 2000), 14.0)
    assert given.position("a", 99.0).played_ms == 2800
    assert given.position("b", 15.0).played_ms == 1000


def test_where_it_stopped_may_be_said_long_after() -> None:
    given = HandedOver()
    given.add(chunk("a", 60_000), 10.0)
    given.stopped(13.0)
    given.add(chunk("b", 2000), 14.0)
    given.stopped(14.5, "a", 2800)
    given.stopped(14.5, "of another connection", 100)
    assert given.position("a", 99.0).played_ms == 2800
    assert given.position("b", 99.0).played_ms == 2000, "it plays on"


def test_only_recent_items_are_remembered() -> None:
    given = HandedOver()
    for number in range(1000):
        given.add(chunk(f"item_{number}", 1), float(number))
    assert given.position("item_0", 2000.0) == Position(0, 0)
    assert given.position("item_999", 2000.0) == Position(1, 1)
