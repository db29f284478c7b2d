"""Which test runs where when several processes share the work (``pytest -n 2``).

Files run side by side, except those that count on the machine: they drive browsers and clients that speak in real time,
or measure. These wait until all other processes have ended. It is one run with one summary all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

import pytest

__all__ = ["ALONE", "Scheduler"]

ALONE = ("tests/browser/", "tests/clients/", "tests/integration/test_leaks.py")
"""Files and folders that run last, in one process, when nothing else does."""

_LOW = 2
"""A process with no more tests than this gets more: it begins one only when it knows what comes after it."""


class Process(Protocol):
    """What of a ``WorkerController`` of ``pytest-xdist`` is used."""

    @property
    def shutting_down(self) -> bool:
        """Whether it was told to end."""

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Gives it tests to run."""

    def shutdown(self) -> None:
        """Tells it to end when it has run what it was given."""


class Scheduler:
    """Hands out one file after the other to whoever has nothing to do; the last process gets what runs alone.

    It is what ``pytest-xdist`` calls a ``Scheduling``; tests are numbers here, places in the list that all collected.

    Args:
        processes: how many there will be.
    """

    def __init__(self, processes: int) -> None:
        self._expected = processes
        self._given: dict[Process, dict[int, None]] = {}
        self._collected: dict[Process, list[str]] = {}
        self._tests: list[str] | None = None
        self._together: deque[list[int]] = deque()
        self._alone: deque[list[int]] = deque()

    @property
    def nodes(self) -> list[Process]:
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

    def add_node(self, node: Process) -> None:
        """A process has started."""
        self._given[node] = {}

    def add_node_collection(self, node: Process, collection: Sequence[str]) -> None:
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

    def mark_test_complete(self, node: Process, item_index: int, duration: float = 0) -> None:
        """A test is over."""
        self._given[node].pop(item_index, None)
        self._feed(node)

    def mark_test_pending(self, item: str) -> None:
        """Only for runs of one test on many processes."""
        raise NotImplementedError

    def remove_pending_tests_from_node(self, node: Process, indices: Sequence[int]) -> None:
        """Only for processes that take tests from one another."""
        raise NotImplementedError

    def remove_node(self, node: Process) -> str | None:
        """A process has ended; the test it died in, if it had any left."""
        left = list(self._given.pop(node))
        if left:
            self._queue(left[1:])
        for other in self.nodes:
            self._feed(other)
        return self._collected[node][left[0]] if left else None

    def _queue(self, tests: Iterable[int]) -> None:
        """Takes tests to be handed out, a file at a time."""
        assert self._tests is not None
        files: dict[str, list[int]] = {}
        for test in tests:
            files.setdefault(self._tests[test].partition("::")[0], []).append(test)
        # Large ones begin, so that no process is left with one of them at the end.
        for name, file in sorted(files.items(), key=lambda one: -len(one[1])):
            (self._alone if name.startswith(ALONE) else self._together).append(file)

    def _feed(self, node: Process) -> None:
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
