"""Which test runs where when there are several processes (``pytest -n 2``): files side by side, then some on their own.

Most tests do not care what else the machine does. Those that do, because they measure, count or drive a browser in real
time, wait until every other process has ended and then have the machine to themselves. It is one run with one summary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby

import pytest
from xdist.workermanage import WorkerController, parse_tx_spec_config

__all__ = ["ALONE", "FIRST", "Scheduler"]

ALONE: dict[str, str] = {}
"""Files and folders that run last, when nothing else does, and why."""

FIRST: tuple[str, ...] = ()
"""Files that take longest begin first, so that no process is left with one of them at the end."""

_LOW = 2
"""A process with no more tests than this gets more: it begins one only when it knows what comes after it."""


class Scheduler:
    """Hands out one file after the other to whoever has nothing to do; what is to run alone goes to the last process.

    It is what ``pytest-xdist`` calls a ``Scheduling``; tests are numbers here, places in the list that all collected.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._expected = len(parse_tx_spec_config(config))
        self._given: dict[WorkerController, dict[int, None]] = {}
        self._collected: dict[WorkerController, list[str]] = {}
        self._tests: list[str] | None = None
        self._together: deque[list[int]] = deque()
        self._alone: deque[list[int]] = deque()

    @property
    def nodes(self) -> list[WorkerController]:
        """The processes."""
        return list(self._given)

    @property
    def collection_is_completed(self) -> bool:
        """Whether every process has said what tests there are."""
        return len(self._collected) >= self._expected

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left to hand out, and no process waits for what follows its last test."""
        return self.collection_is_completed and not self._waiting and all(len(g) < _LOW for g in self._given.values())

    @property
    def has_pending(self) -> bool:
        """Whether tests are running or waiting."""
        return self._waiting or any(self._given.values())

    @property
    def _waiting(self) -> bool:
        return bool(self._together or self._alone)

    def add_node(self, node: WorkerController) -> None:
        """A process has started."""
        self._given[node] = {}

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """It has found these tests."""
        self._collected[node] = list(collection)

    def schedule(self) -> None:
        """All have found theirs, or another process takes the place of one that died."""
        if self._tests is None:
            first, *others = self._collected.values()
            if any(tests != first for tests in others):
                raise pytest.UsageError("processes found different tests: parametrize by something in a fixed order")
            self._tests = first
            self._queue(range(len(first)))
        for node in self.nodes:
            self._feed(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A test is over."""
        self._given[node].pop(item_index, None)
        self._feed(node)

    def mark_test_pending(self, item: str) -> None:
        """Only for runs of one test on many processes."""
        raise NotImplementedError

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Only for processes that take tests from one another."""
        raise NotImplementedError

    def remove_node(self, node: WorkerController) -> str | None:
        """A process has ended; the test it died in, if it had any left."""
        left = list(self._given.pop(node))
        died = left.pop(0) if left else None
        self._queue(left)
        for other in self.nodes:
            self._feed(other)
        return None if died is None or self._tests is None else self._tests[died]

    def _queue(self, tests: Iterable[int]) -> None:
        """Takes tests to be handed out, those of a file at once."""
        assert self._tests is not None
        names = self._tests
        files = [(name, list(group)) for name, group in groupby(tests, lambda test: names[test].partition("::")[0])]
        for name, file in sorted(files, key=lambda one: not one[0].startswith(FIRST)):
            (self._alone if name.startswith(tuple(ALONE)) else self._together).append(file)

    def _feed(self, node: WorkerController) -> None:
        """Gives a process more when it has nearly nothing left; tells it to end when there is nothing for it."""
        given = self._given[node]
        while len(given) < _LOW and not node.shutting_down:
            if self._together:
                tests = self._together.popleft()
            elif any(not other.shutting_down for other in self._given if other is not node) or not self._alone:
                node.shutdown()
                return
            elif len(self._given) > 1:
                return  # it is the last one, and waits until the others are done
            else:
                tests = self._alone.popleft()
            given.update(dict.fromkeys(tests))
            node.send_runtest_some(tests)
