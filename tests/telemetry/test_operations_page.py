"""``docs/operations.md`` names every setting, every way a call ends and every metric."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from perhop.call.endings import ENDINGS
from perhop.call.legs import EndReason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
ENDED = {row[1]: row[0] for row in re.finditer(r"^\| `(\w+)` \| .+ \| .+ \| .+ \|$", PAGE, re.MULTILINE)}
_METRIC = re.compile(r'(?:Counter|Gauge|Histogram|MetricFamily|watch)\(\s*"(perhop_\w+)"|\("(perhop_\w+)", "')


def metrics() -> set[str]:
    """Names of the metrics of gateways and workers, as the source has them."""
    found = set()
    for path in (ROOT / "src" / "perhop").rglob("*.py"):
        found |= {one or other for one, other in _METRIC.findall(path.read_text("utf-8"))}
    return found


def test_every_reason_has_its_ending() -> None:
    assert set(ENDINGS) == set(EndReason)


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_way_a_call_ends_is_explained_as_it_is(reason: EndReason) -> None:
    row, ending = ENDED[reason.value], ENDINGS[reason]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith(ending.meaning.rstrip("."))
    if ending.close_code != 1000:
        assert str(ending.close_code) in cells[2]
    assert cells[3] == (f"`{ending.error}`" if ending.error else "–")


def test_every_metric_is_named() -> None:
    named = set(re.findall(r"perhop_\w+", PAGE))
    assert len(metrics()) > 30
    assert {"perhop_worker_calls", "perhop_effects_unknown"} < metrics()
    missing = {metric for metric in metrics() if metric not in named and f"{metric}_total" not in named}
    assert missing == set()


def test_every_setting_is_in_its_tables() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "settings_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stderr
