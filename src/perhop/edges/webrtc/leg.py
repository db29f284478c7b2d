"""A WebRTC caller as its call sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from structlog.typing import FilteringBoundLogger

from perhop.call.legs import CallerSink, EndReason, HopStats, Position, Transport
from perhop.edges.webrtc.channel import LABEL, EventChannel
from perhop.edges.webrtc.deadlines import NEVER, Deadlines
from perhop.edges.webrtc.pacer import Pacer
from perhop.edges.webrtc.peer import DataOffer, Peer, PeerCounters
from perhop.edges.webrtc.reports import Reports
from perhop.edges.webrtc.sctp import Channel
from perhop.edges.webrtc.sender import AudioSender
from perhop.edges.webrtc.udp import UdpSocket
from perhop.errors import LimitExceededError, PerhopError
from perhop.media.answer import Answer, setup_for
from perhop.media.dtls import DtlsIdentity, DtlsSession
from perhop.media.ice import IceLite
from perhop.media.playout import Playout
from perhop.media.receiver import AudioReceiver
from perhop.media.rtcp import RtcpError
from perhop.media.sdp import Offer
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent, ServerEvent
from perhop.realtime.ids import IdFactory
from perhop.telemetry.context import with_context

__all__ = ["LegContext", "WebRTCLeg"]

_log = structlog.get_logger(__name__)

LINGER = 1.0
"""s a closing leg waits for what was said before to arrive."""

MAX_EARLY_EVENTS = 64
"""Client events held until a call is attached; audio of that time is dropped."""


@dataclass(frozen=True, slots=True)
class LegContext:
    """What all legs of an edge share.

    Attributes:
        wall: Unix time minus the loop's time, s.
        forget: told when a leg is over.
    """

    loop: asyncio.AbstractEventLoop
    pacer: Pacer
    deadlines: Deadlines
    identity: DtlsIdentity
    sockets: Sequence[UdpSocket]
    new_id: IdFactory
    wall: float
    forget: Callable[[WebRTCLeg], None]


class WebRTCLeg:
    """One caller over WebRTC; a :class:`~perhop.call.legs.CallerLeg`.

    Audio is paced here: ``play`` takes it faster than real time. Events go over the data channel ``oai-events``; an
    offer without data channels makes a call without events, for which ``on_caller_ready`` means that media flows.

    Args:
        offer: read already.
        answer: what we say of ourselves.
        dcid: stream of a data channel that the caller opens without a handshake (``negotiated: true``).

    Attributes:
        id: of this leg, for logs.
        answer_sdp: the answer to send back.
        peer: its transport.
    """

    transport: Transport = "webrtc"
    clocked = True

    def __init__(self, offer: Offer, answer: Answer, *, ice: IceLite, dcid: int | None, context: LegContext) -> None:
        now = context.loop.time()
        self.id = context.new_id("leg_")
        self._log: FilteringBoundLogger = _log.bind(leg=self.id)
        self.answer_sdp = answer.write(offer)
        self.wake_at = NEVER
        self._context = context
        self._time = context.loop.time
        self._sink: CallerSink | None = None
        self._early: list[ClientEvent] = []
        self._is_ready = False
        self._is_closed = False
        self._is_finished = False
        self._finish_at = NEVER
        self._jitter_buffer_ms = 0.0
        self._has_data = offer.data is not None
        direction = offer.audio.direction if offer.audio is not None else None
        self._hears = direction is not None and direction.sends
        self._channel = EventChannel(self, now=now, new_id=context.new_id, expected=self._has_data)
        is_client = setup_for(offer) == "active"
        self.peer = Peer(
            ice,
            DtlsSession(context.identity, "client" if is_client else "server", fingerprints=offer.fingerprints),
            sockets=context.sockets,
            owner=self,
            data=_data_offer(offer, dcid),
            is_client=is_client,
            needs_srtp=offer.audio is not None,
            clock=self._time,
        )
        self._playout = Playout()
        self._sender = AudioSender(
            offer.codec if direction is not None and direction.receives else None,
            ssrc=answer.ssrc,
            playout=self._playout,
            pacer=context.pacer,
            send=self.peer.send_rtp,
            on_played=self._played,
        )
        self._receiver = AudioReceiver({c.payload_type: c.name for c in offer.audio.codecs} if offer.audio else {})
        self._reports: Reports | None = None
        if offer.codec is not None:
            self._reports = Reports(
                self._sender,
                self._receiver,
                clock_rate=offer.codec.clock_rate,
                cname=answer.cname,
                wall=context.wall,
                now=now,
            )
        self._arm()

    # -- CallerLeg ----------------------------------------------------------------------------------------------------

    def attach(self, sink: CallerSink) -> None:
        """Names the call; what the caller said before is told now."""
        self._sink = sink
        self._log = with_context(self._log)
        if self._is_ready:
            sink.on_caller_ready()
        early, self._early = self._early, []
        for event in early:
            sink.on_caller_event(event)

    def send(self, event: ServerEvent) -> None:
        """Sends one event; a caller that does not read is closed."""
        if not self._is_closed:
            self._channel.send(event)

    def play(self, chunk: AudioChunk) -> None:
        """Queues model audio; the first of a reply leaves at once."""
        if self._is_closed:
            return
        try:
            self._sender.play(chunk, self._time())
        except LimitExceededError as error:
            self._log.warning("model audio was cut off", reason=str(error))

    def end_audio(self, response_id: str) -> None:
        """No more audio of this response follows."""
        self._playout.end(response_id)
        if self._playout.events:
            self._played()

    def clear(self) -> str | None:
        """Drops all audio not sent yet."""
        return self._playout.clear()

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None:
        """It is known here what was played."""

    def position(self, item_id: str) -> Position:
        """*Sent* is exact; *played* is what left here half a round trip and a jitter buffer ago."""
        sent = self._playout.sent_ms(item_id)
        rtt = (self._reports.rtt_ms or 0.0) if self._reports is not None else 0.0
        return Position(sent, max(0, sent - round(rtt / 2 + self._jitter_buffer_ms)))

    def report(self, *, jitter_buffer_ms: float | None) -> None:
        """The caller's own jitter buffer, from its ``getStats``."""
        if jitter_buffer_ms is not None:
            self._jitter_buffer_ms = max(0.0, jitter_buffer_ms)

    def stats(self) -> HopStats:
        """The quality of the hop now."""
        received = self._receiver.stats
        reports = self._reports
        return HopStats(
            rtt_ms=reports.rtt_ms if reports else None,
            jitter_ms=received.jitter_ms if received.packets else None,
            packets_received=received.packets,
            packets_lost=received.lost,
            packets_late=received.late,
            frames_concealed=received.frames_concealed,
            packets_sent=self._sender.packets,
            gaps=self._sender.gaps,
            remote_packets_lost=reports.remote_lost if reports else None,
            remote_jitter_ms=reports.remote_jitter_ms if reports else None,
            added_delay_ms=received.added_delay_ms,
        )

    def close(self, reason: EndReason) -> None:
        """Stops audio at once, and the rest when what was sent before has arrived, or after a second."""
        if self._is_closed:
            self._sink = None
            return
        self._stop()
        self._log.info("leg closed", reason=reason)
        if self._reports is not None:
            self.peer.send_rtcp(self._reports.goodbye(self._time(), reason.value))
        if self._channel.close():
            self._finish_at = self._time() + LINGER
            self._arm()
        else:
            self._finish()

    @property
    def dropped(self) -> PeerCounters:
        """What of this caller's packets was dropped, by reason."""
        return self.peer.counters

    # -- from the transport -------------------------------------------------------------------------------------------

    def on_peer_progress(self) -> None:
        """The transport may wait for another moment than before; its peer was heard."""
        if self._hears and not self._is_closed:
            pcm = self._receiver.on_sign_of_life(self._time())
            if pcm and self._sink is not None:
                self._sink.on_caller_audio(pcm)
        self._arm()

    def on_peer_connected(self, now: float) -> None:
        """Media flows."""
        if self._is_closed:
            return
        self._sender.start(now)
        if not self._has_data:
            self._ready()

    def on_peer_rtp(self, packet: bytes, now: float) -> None:
        """The hot path in: 50 packets a second of every caller."""
        if not self._hears or self._is_closed:
            return
        receiver = self._receiver
        pcm = receiver.receive(packet, now)
        if pcm and self._sink is not None:
            self._sink.on_caller_audio(pcm)
        deadline = receiver.next_deadline()
        if deadline is not None and deadline < self.wake_at:
            self._context.deadlines.arm(self, deadline)

    def on_peer_rtcp(self, packet: bytes, now: float) -> None:
        """The caller's reports."""
        if self._reports is None or self._is_closed:
            return
        try:
            self._reports.receive(packet, now)
        except RtcpError as error:
            self._log.debug("malformed RTCP", reason=str(error))

    def on_peer_channel(self, channel: Channel) -> None:
        """A data channel is open."""
        self._channel.adopt(channel)

    def on_peer_message(self, channel: Channel, message: bytes, now: float) -> None:
        """A data channel message."""
        self._channel.receive(channel, message, now)

    def on_peer_channel_closed(self, channel: Channel) -> None:
        """A data channel is gone."""
        self._channel.closed(channel)

    def on_peer_lost(self, reason: EndReason, detail: str) -> None:
        """The transport is over."""
        self._end(reason, detail)

    # -- from the event channel ---------------------------------------------------------------------------------------

    def on_channel_ready(self) -> None:
        """Events can be sent."""
        self._ready()

    def on_channel_event(self, event: ClientEvent) -> None:
        """The caller says something."""
        if self._is_closed:
            return
        if self._sink is not None:
            self._sink.on_caller_event(event)
        elif len(self._early) < MAX_EARLY_EVENTS:
            self._early.append(event)

    def on_channel_done(self) -> None:
        """The channel is gone: what a closing leg waits for, and the end of a call that has nothing else."""
        if self._is_closed:
            self._context.loop.call_soon(self._finish)
        elif not self._hears:
            self._end(EndReason.CALLER_HANGUP, "the data channel was closed")

    def on_channel_overflow(self) -> None:
        """The caller reads no events any more: its audio goes on without them, if there is any."""
        if self._hears:
            self._log.warning("events are not read any more; audio goes on")
        else:
            self._end(EndReason.CALLER_LOST, "its events are not read")

    def on_channel_flood(self) -> None:
        """The caller sends without end."""
        self._end(EndReason.CALLER_ABUSE, "a flood of messages")

    # -- time ---------------------------------------------------------------------------------------------------------

    def on_deadline(self, now: float) -> None:
        """Whatever is due."""
        if now >= self._finish_at:
            self._finish()
            return
        try:
            self.peer.on_timer(now)
            if not self._is_closed:
                self._on_media_deadline(now)
        except PerhopError as error:
            self.peer.fail(str(error))
        self._arm()

    def _on_media_deadline(self, now: float) -> None:
        deadline = self._receiver.next_deadline()
        if deadline is not None and now >= deadline:
            pcm = self._receiver.on_timer(now)
            if pcm and self._sink is not None:
                self._sink.on_caller_audio(pcm)
        if self._reports is not None and now >= self._reports.next_at:
            self.peer.send_rtcp(self._reports.compose(now))

    def _arm(self) -> None:
        """Has itself called at the next moment something is due."""
        if self._is_finished:
            return
        when = min(self.peer.next_deadline(), self._finish_at)
        if not self._is_closed:
            if self._reports is not None:
                when = min(when, self._reports.next_at)
            deadline = self._receiver.next_deadline()
            if deadline is not None and deadline < when:
                when = deadline
        self._context.deadlines.arm(self, when)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _ready(self) -> None:
        if self._is_ready or self._is_closed:
            return
        self._is_ready = True
        if self._sink is not None:
            self._sink.on_caller_ready()

    def _played(self) -> None:
        """Tells the call what the last frame began or ended."""
        for event in self._playout.take_events():
            if self._sink is None:
                return
            if event.kind == "started":
                self._sink.on_playout_started(event.response_id)
            else:
                self._sink.on_playout_stopped(event.response_id)

    def _end(self, reason: EndReason, detail: str) -> None:
        """The caller is gone, or must go; the call is told, but never while it is itself calling."""
        if self._is_closed:
            return
        self._log.info("caller gone", reason=reason, detail=detail)
        self._stop()
        self._context.loop.call_soon(self._end_now, reason)

    def _end_now(self, reason: EndReason) -> None:
        self._finish()
        if self._sink is not None:
            self._sink.on_caller_closed(reason)

    def _stop(self) -> None:
        self._is_closed = True
        self._sender.close()
        self._receiver.close()

    def _finish(self) -> None:
        """Nothing is left to wait for; idempotent."""
        if self._is_finished:
            return
        self._is_finished = True
        self._context.deadlines.disarm(self)
        self.peer.close()
        self._context.forget(self)


def _data_offer(offer: Offer, dcid: int | None) -> DataOffer | None:
    if offer.data is None:
        return None
    return DataOffer(offer.data.sctp_port, offer.data.max_message_size, agreed=dcid, label=LABEL)
