"""Identifiers."""

from __future__ import annotations

import re

from perhop.realtime.ids import new_id


def test_an_id_says_what_it_names_and_can_stand_in_a_url() -> None:
    assert re.fullmatch(r"item_[A-Za-z0-9_-]{20}", new_id("item_"))


def test_an_item_id_fits_what_a_client_may_choose() -> None:
    assert len(new_id("item_")) <= 32


def test_ids_do_not_repeat() -> None:
    assert len({new_id("event_") for _ in range(10_000)}) == 10_000
