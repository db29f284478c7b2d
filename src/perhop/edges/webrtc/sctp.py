"""Data channels over SCTP over DTLS (RFC 8831, RFC 8832): the one file that knows aiortc.

aiortc's :class:`~aiortc.RTCSctpTransport` is written for its own DTLS transport and speaks to it through underscored
names (``_register_data_receiver``, ``_send_data``, ``_role``; ``_handle_data`` the other way), so there is no public
way to give it another one. :class:`_Link` is such another one. The transport is also subclassed, because it trusts its
peer: ``_receive_chunk``, through which every chunk of a packet passes, is where what a hostile peer can make it store
or compute gets its bounds. The version is pinned in ``pyproject.toml`` and ``tests/edges/webrtc/test_sctp.py`` holds
all of these names to their meaning; nothing else of the project depends on any of it.

aiortc's methods are coroutines that only ever wait for ``_send_data``. Ours never waits, so they run to their end in
one step, without a task.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCDtlsTransport, RTCSctpCapabilities, RTCSctpTransport
from aiortc.rtcsctptransport import Chunk, DataChunk, ForwardTsnChunk, SackChunk

from perhop.errors import PerhopError
from perhop.media.answer import MAX_MESSAGE_SIZE

__all__ = ["Channel", "SctpAssociation", "SctpError", "SctpOwner"]

MAX_CHANNELS = 16
MAX_OUT_OF_ORDER = 512
"""Chunks after a hole; a message of the largest size needs 230. aiortc looks through all of them for each new one."""

MAX_ACKNOWLEDGED_GAP = 1 << 14
MAX_BROKEN_PACKETS = 32
COMPACT_AT = 64
MAX_FRAGMENTS = 2 * MAX_OUT_OF_ORDER + COMPACT_AT
"""Chunks that wait for the rest of their message: what just left a hole behind, what comes after the next hole, and
what is not joined yet. The fragments of a message follow each other (RFC 9260 section 6.9), so no peer needs more."""

MAX_DATA_CHUNKS = 32
MAX_CONTROL_CHUNKS = 8
"""Chunks of one packet that are read. Browsers bundle one control chunk of a kind, and data that is as good as never
shorter than an event; chunks of data left out are sent again."""

MESSAGE_PROTOCOLS = frozenset({51, 53})
EMPTY_PROTOCOLS = frozenset({56, 57})
"""Payload protocol identifiers of text and binary messages (RFC 8831 section 8)."""

FIRST_FRAGMENT = 0x02
LAST_FRAGMENT = 0x01

_HOSTILE_INPUT = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError)
"""What aiortc's parser raises on bytes it does not expect (struct.error apart): there is no error type of its own."""


class SctpError(PerhopError):
    """The peer broke the protocol or a limit so often that the association is not worth keeping."""


class SctpOwner(Protocol):
    """Who uses an association."""

    def send_sctp(self, packet: bytes) -> None:
        """Sends one SCTP packet through DTLS; must not raise."""

    def on_channel(self, channel: Channel) -> None:
        """A channel is open: the peer opened it, or it was agreed on beforehand."""

    def on_message(self, channel: Channel, message: bytes) -> None:
        """A whole message, text or binary; one over the announced limit may arrive cut, but still over it."""

    def on_channel_closed(self, channel: Channel) -> None:
        """The channel is gone, by either side, or with the association."""


class Channel:
    """One data channel.

    Attributes:
        label: as the peer opened it.
        id: SCTP stream.
    """

    __slots__ = ("_channel", "id", "label")

    def __init__(self, channel: RTCDataChannel, stream: int) -> None:
        self._channel = channel
        self.id = stream
        self.label = channel.label

    @property
    def is_open(self) -> bool:
        return self._channel.readyState == "open"

    @property
    def buffered(self) -> int:
        """Bytes that wait for the peer to take what was sent before."""
        return self._channel.bufferedAmount

    def send(self, text: str) -> bool:
        """Queues a text message; False when the channel is not open or the peer takes no message this long."""
        if self._channel.readyState != "open":
            return False
        try:
            self._channel.send(text)
        except ValueError:
            return False
        return True

    def close(self) -> None:
        """Closes the channel once everything queued was sent; ``on_channel_closed`` follows."""
        self._channel.close()


class SctpAssociation:
    """The SCTP association of one peer; needs a running event loop for its retransmission timers.

    Args:
        is_client: our DTLS role; it decides which stream numbers are whose (RFC 8832 section 6).
        port: of both sides, inside DTLS.
        max_message_size: the largest message the peer takes; 0 for any.

    Attributes:
        broken_packets: packets of the peer that made no sense.
    """

    def __init__(self, owner: SctpOwner, *, is_client: bool, port: int, max_message_size: int) -> None:
        self._owner = owner
        self._port = port
        self._max_message_size = max_message_size
        self._link = _Link(owner.send_sctp, "client" if is_client else "server")
        self._transport = _GuardedTransport(self._link, port, self._received)
        self._transport.on("datachannel", self._opened)
        self._channels: dict[int, Channel] = {}
        self.broken_packets = 0

    def start(self) -> None:
        """Sends INIT; both sides do (RFC 8841 section 9.3). DTLS must be connected."""
        _finish(self._transport.start(RTCSctpCapabilities(maxMessageSize=self._max_message_size), self._port))

    def agree(self, stream: int, label: str) -> None:
        """Declares a channel that both sides know of already (``negotiated: true``); it opens with the association.

        Raises:
            ValueError: the number is not 0 to 65534, or taken.
        """
        channel = RTCDataChannel(
            self._transport, RTCDataChannelParameters(label=label, negotiated=True, id=stream, ordered=True)
        )
        channel.on("open", lambda: self._opened(channel))

    def receive(self, packet: bytes) -> None:
        """Takes one SCTP packet.

        Raises:
            SctpError: the peer is at it for too long.
        """
        receive = self._link.receive
        if receive is None:
            return
        try:
            _finish(receive(packet))
        except (*_HOSTILE_INPUT, struct.error):
            self.broken_packets += 1
            if self.broken_packets > MAX_BROKEN_PACKETS:
                raise SctpError(f"{self.broken_packets} malformed SCTP packets") from None
        if self._transport.violation:
            raise SctpError(self._transport.violation)

    def close(self) -> None:
        """Aborts the association; channels report closed. Idempotent."""
        _finish(self._transport.stop())
        self._transport.remove_all_listeners()

    def _opened(self, channel: RTCDataChannel) -> None:
        if len(self._channels) >= MAX_CHANNELS:
            channel.close()
            self._transport.violation = f"more than {MAX_CHANNELS} data channels"
            return
        stream = channel.id
        if stream is None or stream in self._channels:
            return
        own = self._channels[stream] = Channel(channel, stream)
        channel.on("close", lambda: self._closed(own))
        self._owner.on_channel(own)

    def _received(self, stream: int, message: bytes) -> None:
        channel = self._channels.get(stream)
        if channel is not None:
            self._owner.on_message(channel, message)

    def _closed(self, channel: Channel) -> None:
        self._channels.pop(channel.id, None)
        self._owner.on_channel_closed(channel)


class _Link:
    """What stands where aiortc expects its DTLS transport."""

    def __init__(self, send: Callable[[bytes], None], role: str) -> None:
        self._send = send
        self._role = role
        self.state = "connected"
        self.receive: Callable[[bytes], Coroutine[Any, Any, None]] | None = None

    def _register_data_receiver(self, receiver: _GuardedTransport) -> None:
        self.receive = receiver.handle_packet

    def _unregister_data_receiver(self, _receiver: _GuardedTransport) -> None:
        self.receive = None

    async def _send_data(self, data: bytes) -> None:
        self._send(data)


class _GuardedTransport(RTCSctpTransport):
    """aiortc's transport with bounds on what its peer can make it do.

    Messages are handed on as bytes: aiortc would decode text itself and lose what is not UTF-8 without a word.

    Attributes:
        violation: set when the peer went too far to be talked to any more.
    """

    def __init__(self, link: _Link, port: int, on_message: Callable[[int, bytes], None]) -> None:
        super().__init__(cast("RTCDtlsTransport", link), port)
        self._on_message = on_message
        self.violation = ""
        self._data_chunks = 0
        self._control_chunks = 0

    def handle_packet(self, packet: bytes) -> Coroutine[Any, Any, None]:
        self._data_chunks = self._control_chunks = 0
        handled: Coroutine[Any, Any, None] = self._handle_data(packet)
        return handled

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id in MESSAGE_PROTOCOLS:
            self._on_message(stream_id, data)
        elif pp_id in EMPTY_PROTOCOLS:
            self._on_message(stream_id, b"")
        else:
            await super()._receive(stream_id, pp_id, data)

    async def _receive_chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, DataChunk):
            if not self._may_store(chunk):
                return
            await super()._receive_chunk(chunk)
            self._compact(chunk.stream_id)
        elif self._may_act_on(chunk):
            await super()._receive_chunk(chunk)

    def _may_store(self, chunk: DataChunk) -> bool:
        """A refused chunk is not acknowledged: to its sender it is lost."""
        self._data_chunks += 1
        if self._data_chunks > MAX_DATA_CHUNKS:
            return False
        streams = self._inbound_streams
        if chunk.stream_id not in streams and len(streams) >= MAX_CHANNELS:
            self.violation = f"data on more than {MAX_CHANNELS} streams"
            return False
        if sum(len(stream.reassembly) for stream in streams.values()) >= MAX_FRAGMENTS:
            self.violation = "fragments of messages that never end"
            return False
        is_next = self._last_received_tsn is not None and chunk.tsn == (self._last_received_tsn + 1) % 2**32
        return is_next or len(self._sack_misordered) < MAX_OUT_OF_ORDER

    def _may_act_on(self, chunk: Chunk) -> bool:
        """A refused control chunk is as good as lost, too."""
        self._control_chunks += 1
        if self._control_chunks > MAX_CONTROL_CHUNKS:
            return False
        if isinstance(chunk, SackChunk):
            return self._is_plausible(chunk)
        return not isinstance(chunk, ForwardTsnChunk) or self._may_skip(chunk)

    def _is_plausible(self, chunk: SackChunk) -> bool:
        """Whether the chunk is about what was sent, and names each part of it once, in order (RFC 9260 section 3.3.4).

        aiortc counts through every number of every gap block, and takes an acknowledgement of the future for granted.
        """
        unacknowledged = (self._local_tsn - 1 - chunk.cumulative_tsn) % 2**32
        if unacknowledged >= 2**31:
            return False
        last = 0
        for start, end in chunk.gaps:
            if not last < start <= end <= min(unacknowledged, MAX_ACKNOWLEDGED_GAP):
                return False
            last = end
        return True

    def _may_skip(self, chunk: ForwardTsnChunk) -> bool:
        """aiortc opens every stream that is named, and looks through all streams for each such chunk.

        A stream has no reason to be named twice (RFC 3758 section 3.5).
        """
        named = {stream for stream, _ in chunk.streams}
        if len(chunk.streams) > MAX_CHANNELS or len(self._inbound_streams.keys() | named) > MAX_CHANNELS:
            self.violation = f"data skipped on more than {MAX_CHANNELS} streams"
            return False
        return True

    def _compact(self, stream_id: int) -> None:
        """Joins the fragments of a message that is still coming in, and drops what exceeds the limit.

        aiortc keeps every fragment until the last one came and looks through all of them for each. Fragments in
        sequence from the first one on are equal to one longer first fragment that carries the last one's number.
        """
        stream = self._inbound_streams.get(stream_id)
        if stream is None or len(stream.reassembly) < COMPACT_AT:
            return
        waiting: list[DataChunk] = stream.reassembly
        first = waiting[0]
        if not first.flags & FIRST_FRAGMENT:
            return
        count = 1
        while (
            count < len(waiting)
            and waiting[count].tsn == (waiting[count - 1].tsn + 1) % 2**32
            and not waiting[count].flags & (FIRST_FRAGMENT | LAST_FRAGMENT)
        ):
            count += 1
        joined = b"".join(fragment.user_data for fragment in waiting[:count])
        first.user_data = joined[: MAX_MESSAGE_SIZE + 1]
        first.tsn = waiting[count - 1].tsn
        del waiting[1:count]
        self._advertised_rwnd += len(joined) - len(first.user_data)


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("aiortc's SCTP waited for something other than the link")
