"""The model side of a direct call: one session that belongs to the caller's own connection, heard over a sideband.

The model's answer to the caller's offer comes first, then the sideband, and only then is the caller given the answer:
nothing happens in such a call that Perhop does not hear from the start. A lost sideband is opened again; while it is
away the call goes on, and what happened meanwhile is caught up with. A call that cannot be heard for
``LinePolicy.give_up_s`` is ended at the model, for then nobody runs its tools or counts what it costs.

The session is the model's: it is not renewed, not moved to another model, and no audio goes up from here.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from perhop.call.direct.catch_up import CatchUp
from perhop.call.direct.ledger import Ledger
from perhop.call.direct.upstream import DirectAnswer, DirectUpstream
from perhop.call.legs import EndReason, ModelLeg
from perhop.call.line import LineHost, LinePolicy, Rejoin
from perhop.call.line.room import Room
from perhop.errors import PerhopError
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    InputAudioBufferAppend,
    ResponseCreate,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.session import SessionConfig

__all__ = ["DirectLimits", "DirectLine"]

_log = structlog.get_logger(__name__)

_CALLERS_END = {
    reason.value: reason
    for reason in (EndReason.CALLER_HANGUP, EndReason.CALLER_LOST, EndReason.CALLER_NEVER_CONNECTED)
}
"""Ends of the caller that a model tells of by the reason of its close, as Perhop does."""

_IN_ORDER = "close 1000"


@dataclass(frozen=True, slots=True)
class DirectLimits:
    """Times in s.

    Attributes:
        attach_s: until the first sideband is heard; a call that is not is none.
        catch_up_s: how long the model may take to say what happened meanwhile.
        held: client events that wait for the sideband; further ones are refused.
    """

    attach_s: float = 8.0
    catch_up_s: float = 3.0
    held: int = 256


class _Attachment:
    """One sideband; the sink of its leg, deaf once it was left."""

    def __init__(self, line: DirectLine, leg: ModelLeg) -> None:
        self._line: DirectLine | None = line
        self.leg = leg

    def on_model_event(self, event: ServerEvent) -> None:
        if self._line is not None:
            self._line.heard(event)

    def on_model_audio(self, chunk: AudioChunk) -> None:
        """The caller has it from the model."""

    def on_model_closed(
        self, reason: EndReason, detail: str, *, fatal: bool = True, retry_after_s: float | None = None
    ) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.lost(reason, detail, fatal=fatal, retry_after_s=retry_after_s)

    def leave(self) -> None:
        """Heard no more."""
        self._line = None
        self.leg.close()


class DirectLine:
    """The model side of one direct call; a :class:`~perhop.call.line.Line`. Start it, then ask for its answer.

    Args:
        offer_sdp: of the caller.
        dcid: id of a data channel that both sides know without negotiation.
        policy: how hard a lost sideband is tried again, and for how long.
        clock: seconds, monotonic.
    """

    epoch = 0

    def __init__(
        self,
        upstream: DirectUpstream,
        offer_sdp: str,
        *,
        policy: LinePolicy,
        dcid: int | None = None,
        limits: DirectLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self._upstream = upstream
        self._offer_sdp = offer_sdp
        self._dcid = dcid
        self._policy = policy
        self._limits = limits or DirectLimits()
        self._clock = clock
        self._new_id = new_id
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._posting: asyncio.Task[None] | None = None
        self._given: DirectAnswer | None = None
        self._attachment: _Attachment | None = None
        self._announced = False
        self._heard = False
        self._lost_at = 0.0
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._held: deque[ClientEvent] = deque()
        self._room = Room(self._limits.held)
        self._ledger = Ledger(new_id)
        self._catching_up: CatchUp | None = None
        self._told_no_audio = False
        self._closed = False

    @property
    def answered(self) -> bool:
        """Whether there is an answer for the caller."""
        return self._announced

    async def answer(self) -> str:
        """The SDP answer for the caller, once the model has given it and the call can be heard.

        Raises:
            PerhopError: the model did not answer, or cannot be heard; the call is over then.
        """
        return await asyncio.shield(self._answer)

    # -- Line ---------------------------------------------------------------------------------------------------------

    @property
    def sessions(self) -> int:
        """One as long as it can be heard."""
        return int(self._heard)

    @property
    def model(self) -> str:
        """The configured name of the model."""
        return self._upstream.name

    def start(self, host: LineHost, session: SessionConfig) -> None:
        """Hands the caller's offer to the model."""
        self._host = host
        self._session = session
        self._posting = asyncio.get_running_loop().create_task(self._post(), name="offer to the model")
        self._posting.add_done_callback(self._posted)

    def admit(self, event: ClientEvent) -> None:
        """Comes before the event of a client is sent: it may have to wait for the sideband.

        Raises:
            ProtocolError: too much waits for it.
        """
        if not self._in_touch and not isinstance(event, InputAudioBufferAppend):
            self._room.take(event)

    def send(self, event: ClientEvent) -> None:
        """Sends one client event; while the sideband is away it waits. Audio is the caller's own business."""
        if self._closed:
            return
        if isinstance(event, InputAudioBufferAppend):
            self.append(b"")
            return
        self._tell(self._ledger.given(event))

    def append(self, pcm: bytes) -> None:  # noqa: ARG002 - of the protocol
        """Dropped: the caller's audio goes to the model from the caller."""
        if not self._told_no_audio:
            self._told_no_audio = True
            _log.warning("audio for a direct call is dropped: its caller talks to the model")

    def suspend(self) -> None:
        """Nothing: the caller of a direct call does not come back."""

    def resume(self) -> None:
        """Nothing, likewise."""

    def restart(self, changes: Mapping[str, Any]) -> None:
        """Changes the configuration but for the voice: there is no further session that could have another one."""
        session = dict(changes)
        audio = session.get("audio")
        if isinstance(audio, Mapping) and isinstance(audio.get("output"), Mapping):
            sound = {key: value for key, value in audio["output"].items() if key != "voice"}
            session["audio"] = {**audio, "output": sound}
            _log.warning("the voice of a direct call stays as it is")
        self.send(SessionUpdate(session=session))

    def close(self) -> None:
        """Ends the call at the model."""
        self._over(EndReason.API_HANGUP, hang_up=True)

    # -- from the sideband --------------------------------------------------------------------------------------------

    def heard(self, event: ServerEvent) -> None:
        """An event of the session."""
        if isinstance(event, SessionCreated):
            self._joined(event)
            return
        if self._ledger.answers_repeat(event):
            return
        self._ledger.observe(event)
        catching_up = self._catching_up
        if catching_up is not None:
            ours, asked = catching_up.observe(event)
            for question in asked:
                self._send_now(question)
            if catching_up.complete:
                self._caught_up()
            if ours:
                return
        self._host.on_model_event(event)

    def lost(self, reason: EndReason, detail: str, *, fatal: bool, retry_after_s: float | None = None) -> None:
        """The sideband is gone, or did not come about."""
        if self._closed:
            return
        self._attachment = None
        self._disarm()
        now = self._clock()
        if self._heard:
            self._heard = False
            self._catching_up = None
            self._lost_at, self._failures = now, 0
            ended = _CALLERS_END.get(detail.rpartition(" ")[2]) if reason is EndReason.MODEL_CLOSED else None
            if ended is not None:
                self._end(ended, detail)
                return
            # Models that give no reason close in order when the caller hung up: asking for the call again tells.
            say = _log.info if detail == _IN_ORDER else _log.warning
            say("sideband lost", model=self.model, detail=detail)
        else:
            # A model may not know a call yet that it has just answered; later, not knowing it means that it is over.
            if fatal and self._announced:
                self._end(EndReason.MODEL_CLOSED, detail)
                return
        self._failures += 1
        patience = self._policy.give_up_s if self._announced else self._limits.attach_s
        patient_s = max(0.0, self._lost_at + patience - now)
        asked_s = min(retry_after_s, patient_s) if retry_after_s is not None else 0.0
        delay = max(self._policy.backoff(self._failures), asked_s, 0.0 if self._failures == 1 else 0.05)
        if now + delay > self._lost_at + patience:
            self._end(EndReason.MODEL_FAILED, f"sideband: {detail}")
            return
        self._timer = asyncio.get_running_loop().call_later(delay, self._attach)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _post(self) -> None:
        try:
            given = await self._upstream.answer(self._offer_sdp, self._session, dcid=self._dcid)
        except PerhopError as error:
            if not self._answer.done():
                self._answer.set_exception(error)
                self._answer.exception()  # whoever waits is told; nobody may
            self._end(EndReason.MODEL_FAILED, str(error))
            return
        self._given = given
        if self._closed:
            self._upstream.hang_up(given.call_id)
            return
        self._lost_at = self._clock()
        # An attempt may hang for longer than the caller is to wait.
        self._deadline = asyncio.get_running_loop().call_later(self._limits.attach_s, self._unheard)
        self._attach()

    def _unheard(self) -> None:
        self._end(EndReason.MODEL_FAILED, "sideband: no answer in time")

    def _posted(self, task: asyncio.Task[None]) -> None:
        """A fault of ours leaves nobody waiting."""
        if task.cancelled() or task.exception() is not None:
            _log.error(
                "an offer could not be handed to the model", exc_info=None if task.cancelled() else task.exception()
            )
            self._end(EndReason.MODEL_FAILED, "not asked")

    def _attach(self) -> None:
        assert self._given is not None
        self._timer = None
        self._attachment = _Attachment(self, self._upstream.attach(self._given.call_id))
        self._attachment.leg.start(self._attachment, self._session)

    def _joined(self, event: SessionCreated) -> None:
        """The session can be heard."""
        assert self._given is not None
        self._heard = True
        if not self._announced:
            self._announced = True
            self._stop_the_clock()
            self._host.on_model_event(event)
            if not self._answer.done():
                self._answer.set_result(self._given.sdp)
            self._release()
            return
        self._host.on_model_event(SessionUpdated(event_id=event.event_id, session=event.session))
        unfinished = self._ledger.unfinished()
        known = self._known() - set(unfinished)
        self._catching_up = CatchUp(self._new_id, unfinished, known)
        for question in self._catching_up.begin():
            self._send_now(question)
        self._timer = asyncio.get_running_loop().call_later(self._limits.catch_up_s, self._caught_up)

    def _caught_up(self) -> None:
        """Everything that can be known of the gap is."""
        catching_up, self._catching_up = self._catching_up, None
        if catching_up is None or self._closed:
            return
        self._disarm()
        live = catching_up.live or self._ledger.only_begun(catching_up.items, self._known())
        if not live:
            self._ledger.all_over()
        seconds = self._clock() - self._lost_at
        _log.info("sideband is back", model=self.model, seconds=round(seconds, 1), attempts=self._failures)
        for event in self._ledger.repeats(self._held):
            self._send_now(event)
        self._release()
        self._host.on_rejoined(Rejoin(seconds, self._failures, tuple(catching_up.items), live))

    def _known(self) -> set[str]:
        """Ids of the items that were heard of."""
        return {item.id for item in self._host.history.items if item.id}

    @property
    def _in_touch(self) -> bool:
        return self._heard and self._catching_up is None

    def _tell(self, event: ClientEvent) -> None:
        if self._in_touch:
            self._send_now(event)
        elif self._announced and isinstance(event, ResponseCreate) and not _out_of_band(event):
            pass  # asked for again once the session is heard, unless it was answered meanwhile
        else:
            self._held.append(event)

    def _release(self) -> None:
        self._room.begin()
        while self._held:
            self._send_now(self._held.popleft())

    def _send_now(self, event: ClientEvent) -> None:
        if self._attachment is not None:
            self._attachment.leg.send(event)

    def _end(self, reason: EndReason, detail: str) -> None:
        """The call is over from this side."""
        if self._closed:
            return
        self._over(reason, hang_up=reason not in _CALLERS_END.values())
        self._host.on_model_closed(reason, detail)

    def _over(self, reason: EndReason, *, hang_up: bool) -> None:
        if self._closed:
            return
        self._closed = True
        self._disarm()
        self._stop_the_clock()
        self._held.clear()
        if hang_up and self._given is not None:
            self._upstream.hang_up(self._given.call_id)
        if self._attachment is not None:
            self._attachment.leave()
            self._attachment = None
        if not self._answer.done():
            self._answer.set_exception(PerhopError(f"the call is over before it was answered ({reason})"))
            self._answer.exception()

    def _stop_the_clock(self) -> None:
        """The time for the first sideband to be heard counts no more."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _out_of_band(event: ResponseCreate) -> bool:
    return event.response is not None and event.response.conversation == "none"
