"""Whatever is killed under live calls: every call goes on, and every effect is had once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bus.servers import needs_nats
from tests.chaos.outages import break_things
from tests.store.postgres import find_program

pytestmark = [needs_nats, pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.skipif(find_program("initdb") is None, reason="PostgreSQL is not installed (apt-get install postgresql)")
async def test_calls_and_effects_survive_whatever_is_killed(tmp_path: Path, kills: int) -> None:
    report = await break_things(tmp_path, times=kills)
    assert report.faults() == []
    for row in report.rows:
        assert row.times >= kills
        assert row.survived == row.calls == 5
        assert row.orders.asked
        assert row.keyed.asked > row.orders.asked
        assert row.answered + row.refused + row.in_doubt
    down = {row.what: row.refused for row in report.rows}
    assert report.rows[1].visitors, "calls are taken while the bus is down"
    assert report.rows[2].visitors, "calls are taken while the database is down"
    assert down["PostgreSQL killed and restarted"], "what cannot be recorded is not done"
    assert report.repeated, "the provider was asked again for what it had done"
    assert sum(row.keyless.unknown for row in report.rows), "where no keys are known, somebody was killed in doubt"
