"""One peer's side of ICE as a lite agent (RFC 8445 section 2.5): answer checks, follow the peer, notice its silence.

A lite agent sits at a reachable address and gathers nothing. The peer sends the checks and chooses the pair; this
state machine answers, remembers which addresses have proved themselves, and decides to which of them media goes.

Consent (RFC 7675) is read the same way: a peer that lives keeps checking, every 2.5 s (libwebrtc) to 6 s (the RFC's
upper bound), and its media counts as well. When nothing authentic was heard for half of ``lost_timeout`` the peer is
asked by a Binding request of ours, once a second, which every ICE agent answers: so one lost check does not end a
call, and a peer that is gone is noticed within ``lost_timeout``.

Time is an argument everywhere; nothing here sends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from perhop.media import stun
from perhop.media.stun import MessageClass, StunMessage

__all__ = ["Address", "IceCredentials", "IceLite", "IceReply", "IceState", "Path"]

Address = tuple[str, int] | tuple[str, int, int, int]
"""A socket address as the socket module gives it: host and port first."""

MAX_PATHS = 16
"""Addresses remembered of one peer; the one unused for longest goes first."""

QUIET = 1.0
"""s; a check on a new path moves media there without nomination when all else was silent this long (NAT rebinding)."""

PROBE_INTERVAL = 1.0
MAX_PROBES = 16
PRIORITY_PEER_REFLEXIVE = (110 << 24) | (65535 << 8) | 255
"""What our probes claim (RFC 8445 section 5.1.2.1): type preference 110, one component."""


class IceCredentials(NamedTuple):
    """One side's ufrag and password."""

    ufrag: str
    password: str

    @classmethod
    def generate(cls) -> IceCredentials:
        """48 random bits of ufrag, 144 of password, in ICE's alphabet (RFC 8839 section 5.4 asks for 24 and 128)."""
        return cls(_ice_chars(8), _ice_chars(24))


class Path(NamedTuple):
    """A pair of addresses as seen from here: the number of our socket, and where the peer's packets come from."""

    local: int
    address: Address


class IceState(StrEnum):
    """``waiting`` for the first check, ``connected``, or over: ``failed`` (no check ever came) or ``lost``."""

    WAITING = "waiting"
    CONNECTED = "connected"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class IceReply:
    """What one STUN message led to.

    Attributes:
        datagram: to send back on the path the message came by, if any.
        checked: this path is the peer's, as of now.
        removed: this path no longer is.
    """

    datagram: bytes | None = None
    checked: Path | None = None
    removed: Path | None = None


class IceLite:
    """ICE with one peer.

    Args:
        local: credentials in our answer; checks are made with its password.
        remote: credentials in the peer's offer.
        now: when the answer was given, s.
        connect_timeout: s from the answer to the first good check.
        lost_timeout: s without anything authentic until the peer counts as gone.

    Attributes:
        state: see :class:`IceState`.
        selected: where to send; None before the first check.
        last_heard: when something authentic last came. The owner writes it for every SRTP or DTLS record that
            verified, which is why it is a plain attribute.
        bad_checks: STUN messages that named this peer and failed verification.
    """

    __slots__ = (
        "_check_times",
        "_connect_by",
        "_lost_timeout",
        "_new_id",
        "_next_probe",
        "_probe_ids",
        "_tie_breaker",
        "bad_checks",
        "last_heard",
        "local",
        "remote",
        "selected",
        "state",
    )

    def __init__(
        self,
        local: IceCredentials,
        remote: IceCredentials,
        *,
        now: float,
        connect_timeout: float = 30.0,
        lost_timeout: float = 8.0,
        new_id: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.local = local
        self.remote = remote
        self.state = IceState.WAITING
        self.selected: Path | None = None
        self.last_heard = now
        self.bad_checks = 0
        self._connect_by = now + connect_timeout
        self._lost_timeout = lost_timeout
        self._next_probe = 0.0
        self._probe_ids: set[bytes] = set()
        self._new_id = new_id
        self._tie_breaker = int.from_bytes(new_id(8), "big")
        self._check_times: dict[Path, float] = {}

    def receive(self, message: StunMessage, path: Path, *, now: float) -> IceReply:
        """Takes one STUN message that came by ``path``; a Binding request, or the answer to a probe of ours."""
        if self.state not in (IceState.WAITING, IceState.CONNECTED):
            return IceReply()
        if message.is_binding_request:
            return self._check(message, path, now)
        if message.transaction_id in self._probe_ids and path in self._check_times:
            self._probe_answered(message, now)
        return IceReply()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path a good check came by, the ones forgotten again apart."""
        return tuple(self._check_times)

    def next_deadline(self) -> float:
        """When :meth:`on_timer` has something to do, in the same time as ``now``; ``inf`` when all is over."""
        if self.state is IceState.WAITING:
            return self._connect_by
        if self.state is not IceState.CONNECTED:
            return float("inf")
        probe = max(self.last_heard + self._lost_timeout / 2, self._next_probe)
        return min(probe, self.last_heard + self._lost_timeout)

    def on_timer(self, now: float) -> bytes | None:
        """Moves on in time; returns a probe to send on ``selected``, if one is due. May change ``state``."""
        if self.state is IceState.WAITING and now >= self._connect_by:
            self.state = IceState.FAILED
        if self.state is not IceState.CONNECTED:
            return None
        # The same sums as in next_deadline: to the clock, a - b >= c is not always a >= b + c.
        if now >= self.last_heard + self._lost_timeout:
            self.state = IceState.LOST
            return None
        if now < self.last_heard + self._lost_timeout / 2 or now < self._next_probe:
            return None
        self._next_probe = now + PROBE_INTERVAL
        transaction_id = self._new_id(12)
        if len(self._probe_ids) == MAX_PROBES:
            self._probe_ids.clear()
        self._probe_ids.add(transaction_id)
        return stun.binding_request(
            transaction_id=transaction_id,
            username=f"{self.remote.ufrag}:{self.local.ufrag}",
            key=self.remote.password.encode("ascii"),
            priority=PRIORITY_PEER_REFLEXIVE,
            tie_breaker=self._tie_breaker,
        )

    def _check(self, request: StunMessage, path: Path, now: float) -> IceReply:
        key = self.local.password.encode("ascii")
        names = request.username
        if names is None or not request.integrity_at:
            self.bad_checks += 1
            return IceReply(stun.binding_error(request, 400, "Bad Request"))
        if names[0] != self.local.ufrag or not request.verify(key):
            self.bad_checks += 1
            return IceReply(stun.binding_error(request, 401, "Unauthenticated"))
        unknown = request.unknown_required
        if unknown:
            return IceReply(stun.binding_error(request, 420, "Unknown Attribute", key=key, unknown=unknown))
        if stun.Attribute.ICE_CONTROLLED in request.attributes:
            # A lite agent can only be controlled: whoever thinks so of itself is told to change (section 7.3.1.1).
            return IceReply(stun.binding_error(request, 487, "Role Conflict", key=key))
        host, port = path.address[0], path.address[1]
        reply = stun.binding_success(request, host=host, port=port, key=key)
        if request.use_candidate or self.selected is None or self._is_silent_but_for(path, now):
            self.selected = path
        self._check_times[path] = now
        self.last_heard = now
        self.state = IceState.CONNECTED
        return IceReply(reply, path, self._forget_one())

    def _is_silent_but_for(self, path: Path, now: float) -> bool:
        """Nothing came for a while, and now this: the peer's address changed under it."""
        return path != self.selected and now - self.last_heard > QUIET

    def _forget_one(self) -> Path | None:
        if len(self._check_times) <= MAX_PATHS:
            return None
        oldest = min((p for p in self._check_times if p != self.selected), key=self._check_times.__getitem__)
        del self._check_times[oldest]
        return oldest

    def _probe_answered(self, message: StunMessage, now: float) -> None:
        # Any answer that proves the peer holds its password shows that it lives, an error (role conflict) as well.
        if message.message_class is not MessageClass.REQUEST and message.verify(self.remote.password.encode("ascii")):
            self._probe_ids.clear()
            self.last_heard = now


def _ice_chars(count: int) -> str:
    return "".join(
        secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") for _ in range(count)
    )
