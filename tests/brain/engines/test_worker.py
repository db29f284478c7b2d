from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.brain.engines.services import Echo

from perhop.brain.engines.protocol import Frame, FrameParser, Kind, pack
from perhop.brain.engines.worker import Job, Output, Worker


class Peer:
    """The server's end of a worker that runs in a thread."""

    def __init__(self, service: Any) -> None:
        self.link, theirs = socket.socketpair()
        self.link.settimeout(10)
        self._parser = FrameParser()
        self._frames: list[Frame] = []
        self.thread = threading.Thread(target=Worker(theirs, service).run)
        self.thread.start()
        assert self.read().kind is Kind.READY

    def send(self, *frames: tuple[Kind, int, bytes]) -> None:
        self.link.sendall(b"".join(pack(*frame) for frame in frames))

    def read(self) -> Frame:
        while not self._frames:
            self._frames += self._parser.feed(self.link.recv(65536))
        return self._frames.pop(0)

    def close(self) -> None:
        self.link.close()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def connect() -> Iterator[Callable[[Any], Peer]]:
    peers: list[Peer] = []

    def make(service: Any) -> Peer:
        peers.append(Peer(service))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


def test_jobs_with_much_to_do_take_turns(connect: Callable[[Any], Peer]) -> None:
    peer = connect(Echo())
    opened = [(Kind.OPEN, number, b"{}") for number in (1, 2)]
    fed = [(Kind.DATA, number, b"x") for number in (1, 1, 1, 2, 2, 2)]
    peer.send(*opened, *fed, (Kind.END, 1, b""), (Kind.END, 2, b""))
    order: list[int] = []
    while order.count(1) < 3 or order.count(2) < 3:
        frame = peer.read()
        if frame.kind is Kind.DATA:
            order.append(frame.stream)
    assert order == [1, 2, 1, 2, 1, 2]


def test_a_ping_is_answered(connect: Callable[[Any], Peer]) -> None:
    peer = connect(Echo())
    peer.send((Kind.PING, 0, b""))
    assert peer.read() == Frame(Kind.PONG, 0, b"")


def test_frames_of_streams_that_are_over_are_ignored(connect: Callable[[Any], Peer]) -> None:
    peer = connect(Echo())
    peer.send((Kind.DATA, 5, b"?"), (Kind.END, 5, b""), (Kind.CANCEL, 5, b""), (Kind.PING, 0, b""))
    assert peer.read().kind is Kind.PONG


class Talker:
    """Talks without end, and notices a cancellation while it does."""

    def __init__(self) -> None:
        self.said = 0
        self.closed = threading.Event()

    def open(self, request: dict[str, Any], output: Output) -> Job:
        self.output = output
        return self

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def step(self) -> bool:
        while not self.output.cancelled():
            self.output.data(b"bla")
            self.said += 1
        return True

    def close(self) -> None:
        self.closed.set()


def test_a_job_in_the_middle_of_its_work_hears_that_it_was_cancelled(connect: Callable[[Any], Peer]) -> None:
    talker = Talker()
    peer = connect(talker)
    peer.send((Kind.OPEN, 1, b"{}"))
    assert peer.read().kind is Kind.DATA
    peer.send((Kind.CANCEL, 1, b""), (Kind.PING, 0, b""))
    while peer.read().kind is not Kind.PONG:
        pass
    assert talker.closed.wait(10)


def test_a_job_in_the_middle_of_its_work_ends_when_the_server_is_gone() -> None:
    talker = Talker()
    peer = Peer(talker)
    peer.send((Kind.OPEN, 1, b"{}"))
    assert peer.read().kind is Kind.DATA
    peer.close()
    assert talker.said > 0


def test_failures_are_told_by_code_and_message(connect: Callable[[Any], Peer]) -> None:
    peer = connect(Echo())
    peer.send((Kind.OPEN, 1, b'{"do": "refuse"}'), (Kind.OPEN, 2, b'{"do": "fail"}'))
    answers = {frame.stream: json.loads(frame.payload) for frame in (peer.read(), peer.read())}
    assert answers == {
        1: {"code": "refused", "message": "not this one"},
        2: {"code": "failed", "message": "could not be done"},
    }
