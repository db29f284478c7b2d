"""How tests are shared among processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tests import scheduling
from tests.scheduling import Scheduler

TESTS = [
    "tests/api/test_auth.py::test_a",
    "tests/api/test_auth.py::test_b",
    "tests/browser/test_demo.py::test_a",
    "tests/browser/test_page.py::test_a",
    "tests/clients/js/test_node.py::test_a",
    "tests/text/test_slow.py::test_a",
    "tests/text/test_slow.py::test_b",
    "tests/text/test_spoken.py::test_a",
    "tests/text/test_spoken.py::test_b",
]


class Process:
    """Stands for a process of pytest-xdist: begins a test only when it knows what follows, as that does."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.shutting_down = False
        self.ran: list[str] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down
        self.waiting += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def over(self) -> bool:
        return self.shutting_down and not self.waiting

    def begins(self) -> int | None:
        """The test it runs next, None while it waits."""
        return self.waiting.pop(0) if len(self.waiting) >= (1 if self.shutting_down else 2) else None


@pytest.fixture(autouse=True)
def _slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "ALONE", ("tests/browser/", "tests/text/test_slow.py"))


@pytest.fixture(params=[1, 2, 3, 8])
def processes(request: pytest.FixtureRequest) -> list[Process]:
    return [Process() for _ in range(request.param)]


def begin(processes: list[Process], tests: list[str] = TESTS) -> Scheduler:
    scheduler = Scheduler(len(processes))
    for process in processes:
        scheduler.add_node(process)
    for process in processes:
        scheduler.add_node_collection(process, tests)
    assert scheduler.collection_is_completed
    scheduler.schedule()
    return scheduler


def run(scheduler: Scheduler, tests: list[str] = TESTS) -> Iterator[tuple[Process, str]]:
    """Runs everything, the processes in turn; yields each test with who ran it."""
    while scheduler.nodes:
        idle = True
        for process in scheduler.nodes:
            if process.over:
                assert scheduler.remove_node(process) is None
                idle = False
            elif (test := process.begins()) is not None:
                idle = False
                yield process, tests[test]
                scheduler.mark_test_complete(process, test)
            if scheduler.tests_finished:
                for one in scheduler.nodes:
                    one.shutdown()
        assert not idle, "everybody waits for somebody else"


def test_every_test_runs_once(processes: list[Process]) -> None:
    assert sorted(name for _, name in run(begin(processes))) == TESTS


def test_the_tests_of_a_file_run_in_one_process_in_their_order(processes: list[Process]) -> None:
    where: dict[str, list[Process]] = {}
    order = []
    for process, name in run(begin(processes)):
        where.setdefault(name.partition("::")[0], []).append(process)
        order.append(name)
    assert all(len(set(ran)) == 1 for ran in where.values())
    assert all(
        order.index(f"{file}::test_a") < order.index(f"{file}::test_b") for file, ran in where.items() if len(ran) > 1
    )


def test_what_runs_alone_runs_last_when_every_other_process_has_ended(processes: list[Process]) -> None:
    scheduler = begin(processes)
    ran = []
    for process, name in run(scheduler):
        alone = name.startswith(scheduling.ALONE)
        ran.append(alone)
        assert not alone or scheduler.nodes == [process]
    assert ran == [False] * 5 + [True] * 4


def test_what_a_process_that_died_had_left_runs_in_another_one() -> None:
    dying, other, new = Process(), Process(), Process()
    scheduler = begin([dying, other])
    assert scheduler.remove_node(dying) == "tests/api/test_auth.py::test_a"
    scheduler.add_node(new)
    scheduler.add_node_collection(new, TESTS)
    scheduler.schedule()
    assert sorted(name for _, name in run(scheduler)) == sorted(set(TESTS) - {"tests/api/test_auth.py::test_a"})


def test_a_process_that_found_other_tests_is_refused() -> None:
    scheduler = Scheduler(2)
    for tests in (TESTS, TESTS[::-1]):
        process = Process()
        scheduler.add_node(process)
        scheduler.add_node_collection(process, tests)
    with pytest.raises(pytest.UsageError, match="different tests"):
        scheduler.schedule()


def test_there_may_be_nothing_to_run() -> None:
    processes = [Process(), Process()]
    scheduler = begin(processes, [])
    assert list(run(scheduler, [])) == []
