"""What a bus can do. Two of them exist: inside the process, and NATS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = [
    "Bus",
    "Consumer",
    "Endpoint",
    "Handle",
    "Handler",
    "Headers",
    "Message",
    "Responder",
    "Service",
    "ServiceInfo",
]

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it arrived."""

    subject: str
    payload: bytes = field(repr=False)
    headers: Headers = field(default_factory=dict, repr=False)


Handler = Callable[[Message], Awaitable[None]]
"""Takes a message. What it raises is logged by type; nobody waits for it."""

Responder = Callable[[Message], Awaitable[bytes]]
"""Answers a request; a :class:`~perhop.tools.bus.errors.RemoteError` it raises reaches whoever asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One thing a service answers.

    Attributes:
        name: letters, digits, ``_`` and ``-``.
        subject: may hold wildcards.
        metadata: shown to whoever asks the bus what there is.
    """

    name: str
    subject: str
    respond: Responder
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Endpoints under one name. Processes that serve the same name share the requests: each goes to one of them.

    Attributes:
        name: letters, digits, ``_`` and ``-``.
        version: as in semantic versioning.
        max_running: requests being answered at once by one process; further ones are refused with code ``busy``.
    """

    name: str
    version: str = "0.1.0"
    description: str = ""
    endpoints: Sequence[Endpoint]
    metadata: Mapping[str, str] = field(default_factory=dict)
    max_running: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInfo:
    """One running copy of a service, as the bus tells of it.

    Attributes:
        id: of this copy.
        endpoints: metadata by the endpoint's name.
    """

    id: str
    name: str
    version: str
    description: str
    metadata: Mapping[str, str]
    endpoints: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """Who takes kept messages, each until it was handled.

    Attributes:
        name: letters, digits, ``_`` and ``-``; processes with the same name share the messages, and where the name
            left off it goes on, across restarts.
        subject: pattern.
        handle: a message it raises on comes again, in order, up to ``attempts`` times (of one process); then it is
            given up and logged. :class:`~perhop.tools.bus.errors.NotNowError` is no attempt: such a message waits until
            it is too old to be kept. A message may also come again after a crash: whoever must not count twice looks at
            the id in :data:`~perhop.tools.bus.messages.ID_HEADER`.
        timeout_s: of one attempt.
    """

    name: str
    subject: str
    handle: Handler
    attempts: int = 10
    timeout_s: float = 30.0
    retry_wait_s: float = 0.5


class Handle(Protocol):
    """Something that runs on a bus until it is closed."""

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Takes nothing new, finishes what it began within ``grace_s`` seconds, then cancels the rest. Idempotent."""


class Bus(Protocol):
    """Carries messages between the parts of Perhop. All methods belong to one event loop."""

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""

    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout_s: float | None = None
    ) -> bytes:
        """Asks whoever serves ``subject`` and returns the answer.

        Args:
            timeout_s: until the answer is there; the settings' when None.

        Raises:
            BusDownError: there is no connection (at once), or it was lost meanwhile.
            NoWorkerError: nobody serves the subject (at once).
            BusTimeoutError: no answer in time.
            RemoteError: the answer is an error.
            BusPayloadError: the payload is too large.
            BusBusyError: too many requests are unanswered.
        """

    async def publish(self, subject: str, payload: bytes, *, headers: Headers | None = None) -> None:
        """Tells whoever listens at this moment, at most once.

        Raises:
            BusDownError: there is no connection.
            BusPayloadError: the payload is too large.
        """

    async def keep(self, subject: str, payload: bytes, *, message_id: str, headers: Headers | None = None) -> None:
        """Publishes a message that is kept until every consumer took it; returns once it is safe.

        Args:
            message_id: the same id again within minutes is taken for the same message and not kept twice.

        Raises:
            BusDownError: it is not certain that the message is safe; try again with the same id.
            BusPayloadError: the payload is too large.
        """

    async def forget(self, subject: str) -> None:
        """Deletes the messages that are still kept under a subject, whether or not every consumer took them.

        Raises:
            BusDownError: it is not certain that they are gone; try again.
        """

    async def subscribe(self, subject: str, handler: Handler, *, group: str | None = None) -> Handle:
        """Hands messages to ``handler``, one after the other.

        Args:
            subject: pattern with ``*`` for one part and ``>`` for all that follow.
            group: of those who name the same group, one gets each message.
        """

    async def consume(self, consumer: Consumer) -> Handle:
        """Takes kept messages in order."""

    async def serve(self, service: Service) -> Handle:
        """Answers requests."""

    async def services(self, *, timeout_s: float = 0.5) -> list[ServiceInfo]:
        """Who serves what at the moment; waits the whole time for answers.

        Raises:
            BusDownError: there is no connection.
        """

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        """Returns once everything sent and subscribed so far is known to the bus.

        Raises:
            BusDownError: there is no connection, or it is lost meanwhile.
        """

    async def close(self) -> None:
        """Ends everything that runs on it. Idempotent."""
