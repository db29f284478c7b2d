"""What must not be is found: lost and doubled effects, late refusals, silences, events that are missing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos.events import Events
from tests.chaos.model import Journal
from tests.chaos.report import Count, Report, Row


def event(at: int, kind: str = "lifecycle", **data: object) -> dict[str, object]:
    return {"id": f"rtc_1-0-{at:x}", "kind": kind, "call_id": "rtc_1", "data": data}


def lifecycle(*turns: int, tools: int = 0) -> Events:
    events = [event(0, type="started")]
    events += [event(at, type="turn", number=number) for at, number in enumerate(turns, 1)]
    events.append(event(100, type="ended", tool_calls=tools))
    found = Events()
    found.lists["lifecycle", "rtc_1"] = events
    return found


def test_a_number_without_effect_is_lost_unless_it_is_reported_as_unknown() -> None:
    count = Count()
    count.take("1", 1)
    count.take("2", 0)
    count.take("3", 2)
    count.take("4", 0, unknown=True)
    count.take("5", 1, unknown=True)
    assert (count.asked, count.lost, count.doubled, count.unknown) == (5, ["2"], ["3"], 2)


def test_a_row_in_which_all_is_well_has_no_faults() -> None:
    assert Row("x", calls=5, survived=5, slow=0.9, excess=0.09).faults() == []


def test_a_row_says_what_did_not_hold() -> None:
    row = Row("x", calls=5, survived=4, slow=1.1, slowest=2.0, excess=0.2, gap=0.3)
    row.orders.take("1", 0)
    row.keyed.take("1", 2)
    assert row.faults() == [
        "x: an effect in the database was lost: 1",
        "x: an effect at a provider with keys was doubled: 1",
        "x: 1 calls did not survive",
        "x: a tool failed only after 2.00 s",
        "x: a silence of 300 ms was heard",
    ]


def test_events_are_missed_by_the_figures_at_the_end_of_the_call() -> None:
    assert lifecycle(1, 2, 3).missing() == []
    assert lifecycle(1, 3, tools=2).missing() == ["rtc_1: 0 tools of 2", "rtc_1: turn 2 × 0"]
    assert lifecycle(1, 1, 2).missing() == ["rtc_1: turn 1 × 2"]


def test_events_that_come_late_are_found() -> None:
    events = lifecycle(1)
    events.lists["transcript", "rtc_1"] = [event(at, "transcript") for at in (20, 22, 21)]
    assert events.out_of_order() == ["rtc_1-0-15"]


def test_a_gateway_that_gathers_tasks_is_found() -> None:
    assert Report(tasks=(30, 40)).faults() == []
    assert Report(tasks=(30, 90)).faults() == ["tasks gather: 30, then 90"]


def test_the_journal_tells_results_errors_and_what_was_never_answered_apart(tmp_path: Path) -> None:
    outputs = {"a": {"number": "1"}, "b": {"number": "1"}, "c": {"error": {"code": "unavailable"}}}
    lines = [{"at": at, "id": name, "tool": "order", "number": str(at)} for at, name in enumerate("abcd", 1)]
    lines += [{"at": 9, "id": name, "output": json.dumps(output)} for name, output in outputs.items()]
    lines.append({"at": 10, "silence": 0.5})
    (tmp_path / "journal").write_text("\n".join(map(json.dumps, lines)))
    calls, silences = Journal(tmp_path).read()
    assert [(call.right, call.code, call.answered) for call in calls] == [
        (True, None, 9),
        (False, None, 9),
        (False, "unavailable", 9),
        (False, None, None),
    ]
    assert silences == [(10, 0.5)]
