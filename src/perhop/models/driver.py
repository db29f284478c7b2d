"""Drives a :class:`~perhop.realtime.server.RealtimeServer` inside the event loop: its inbox, its timer, its outputs.

A model leg built on it says what to do with effects; everything else (order, reentrance, fairness) is here.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence

from perhop.call.legs import EndReason, ModelSink
from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import BrainInput, CloseSession, Effect
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import ClientEvent, ServerEvent
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.server import Output, RealtimeServer, ServerLimits
from perhop.realtime.session import SessionConfig

__all__ = ["ServerDriver"]

SLICE_S = 0.004
"""How long queued input is worked off before other calls get their turn; a client may append whole files at once."""

AUDIO_SLICE = 9_600
"""Bytes of a large append handled between two looks at the clock (200 ms of audio)."""


class ServerDriver(ABC):
    """A model leg in process. None of them can see images.

    Args:
        clock: seconds, monotonic.
        limits: bounds of the session.
        mcp: which MCP servers a session may use; none unless given.
        slice_s: thread CPU time after which queued input waits for the loop's next round.
        session_cap_s: the session announces ``expires_at``, and ends then with ``session_expired``; None for no end.
        wall: Unix time, s.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
        limits: ServerLimits | None = None,
        mcp: McpRules | None = None,
        slice_s: float = SLICE_S,
        session_cap_s: float | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits
        self._mcp_rules = mcp
        self._slice_s = slice_s
        self._clock = clock
        self._wall = wall
        self._session_cap_s = session_cap_s
        self._expiry: asyncio.TimerHandle | None = None
        self._new_id = new_id
        self._server: RealtimeServer | None = None
        self._sink: ModelSink | None = None
        self._inbox: deque[ClientEvent | BrainInput | bytes] = deque()
        self._draining = False
        self._resumed: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._closed = False

    # -- ModelLeg -----------------------------------------------------------------------------------------------------

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        """Opens the session with this configuration."""
        now = self._clock()
        cap_s = self._session_cap_s
        self._sink = sink
        self._server = RealtimeServer(
            config=session,
            now=now,
            new_id=self._new_id,
            expires_at=int(self._wall() + cap_s) if cap_s is not None else 0,
            limits=self._limits,
            transcoded=True,
            sighted=False,
            mcp=self._mcp_rules,
        )
        if cap_s is not None:
            self._expiry = asyncio.get_running_loop().call_later(cap_s, self.expire)
        self._draining = True
        self._deliver(self._server.start(now))
        self._draining = False
        self._drain()

    def send(self, event: ClientEvent) -> None:
        """Takes one client event, after everything that came before it."""
        self._put(event)

    def append(self, pcm: bytes) -> None:
        """Takes caller audio, after everything that came before it."""
        if len(pcm) <= AUDIO_SLICE:
            self._put(pcm)
        else:
            view = memoryview(pcm)
            for start in range(0, len(pcm), AUDIO_SLICE):
                self._inbox.append(bytes(view[start : start + AUDIO_SLICE]))
            self._drain()

    def close(self) -> None:
        """Ends the session; nothing is reported afterwards."""
        if self._closed:
            return
        self._closed = True
        self._inbox.clear()
        for handle in (self._resumed, self._timer, self._expiry):
            if handle is not None:
                handle.cancel()
        self.released()

    # -- for the leg built on this ------------------------------------------------------------------------------------

    @property
    def server(self) -> RealtimeServer:
        """The session's state; available once started."""
        assert self._server is not None
        return self._server

    @property
    def sink(self) -> ModelSink:
        """Where outputs go; available once started."""
        assert self._sink is not None
        return self._sink

    def feed(self, brain_input: BrainInput) -> None:
        """Tells the server what came of an effect."""
        self._put(brain_input)

    @abstractmethod
    def carry_out(self, effect: Effect) -> None:
        """Does what the server asks for; must return at once."""

    @abstractmethod
    def heard(self, pcm: bytes) -> Sequence[BrainInput]:
        """Caller audio that the server has just taken in.

        Returns:
            What is found in it. The server is told before any later audio, so that turns are found as they are heard
            even when a client appends a whole file at once.
        """

    def expire(self) -> None:
        """The session has lasted as long as it may: says so, and ends."""
        sink, message = self.sink, f"Your session hit the maximum duration of {self._session_cap_s or 0:g} seconds."
        sink.on_model_event(ProtocolError("session_expired", message).to_event(self._new_id("event_")))
        self.close()
        sink.on_model_closed(EndReason.MODEL_CLOSED, "session_expired", fatal=False)

    @abstractmethod
    def released(self) -> None:
        """The session is over: give back what it holds."""

    # -- the inbox ----------------------------------------------------------------------------------------------------

    def _put(self, entry: ClientEvent | BrainInput | bytes) -> None:
        if self._closed:
            return
        self._inbox.append(entry)
        self._drain()

    def _drain(self) -> None:
        """Works off the inbox in order. What an output brings in meanwhile joins the end and waits for its turn."""
        if self._draining or self._resumed is not None or self._server is None:
            return
        self._draining = True
        try:
            began = time.thread_time()
            while self._inbox and not self._closed:
                entry = self._inbox.popleft()
                now = self._clock()
                if isinstance(entry, bytes):
                    self._deliver(self._server.append_audio(entry, now))
                    for found in self.heard(entry):
                        self._deliver(self._server.receive(found, now))
                else:
                    self._deliver(self._server.receive(entry, now))
                if self._inbox and time.thread_time() - began > self._slice_s:
                    self._resumed = asyncio.get_running_loop().call_soon(self._resume)
                    break
        finally:
            self._draining = False
        self._arm()

    def _resume(self) -> None:
        self._resumed = None
        self._drain()

    def _deliver(self, outputs: list[Output]) -> None:
        sink = self.sink
        for output in outputs:
            if self._closed:
                return
            if isinstance(output, AudioChunk):
                sink.on_model_audio(output)
            elif isinstance(output, ServerEvent):
                sink.on_model_event(output)
            elif isinstance(output, CloseSession):
                sink.on_model_closed(EndReason.MODEL_CLOSED, output.reason)
                self.close()
            else:
                self.carry_out(output)

    def _arm(self) -> None:
        """Keeps one timer for the server's next deadline."""
        deadline = None if self._closed or self._server is None else self._server.next_deadline()
        if deadline == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = deadline
        if deadline is not None:
            delay = max(0.0, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = None
        self._draining = True
        try:
            self._deliver(self.server.on_timer(self._clock()))
        finally:
            self._draining = False
        self._drain()
        self._arm()
