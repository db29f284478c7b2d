"""What can go wrong on the bus. All of it is known at once or within a timeout; nothing hangs."""

from __future__ import annotations

from perhop.errors import LimitExceededError, PerhopError

__all__ = [
    "BusBusyError",
    "BusDownError",
    "BusError",
    "BusPayloadError",
    "BusTimeoutError",
    "NoWorkerError",
    "NotNowError",
    "RemoteError",
]


class BusError(PerhopError):
    """Base of the errors of the bus.

    Attributes:
        delivered: whether the message may have reached somebody. False: certainly nothing happened, and trying again
            cannot do anything twice.
    """

    delivered = False


class BusDownError(BusError):
    """There is no connection to the bus, or it was lost while an answer was awaited."""

    def __init__(self, message: str, *, delivered: bool = False) -> None:
        super().__init__(message)
        self.delivered = delivered


class NoWorkerError(BusError):
    """Nobody serves this subject. Known at once, without waiting for a timeout."""


class BusTimeoutError(BusError):
    """No answer in time; whoever got the message may still act upon it."""

    delivered = True


class BusPayloadError(BusError, LimitExceededError):
    """The message is larger than the bus takes; it was not sent."""


class BusBusyError(BusError, LimitExceededError):
    """As many requests as may be are unanswered; this one was not sent."""


class NotNowError(BusError):
    """For consumers of kept messages to raise: what they need is away, and the message has to wait for it. It comes
    again until it was handled, however often, as long as the bus keeps it."""


class RemoteError(BusError):
    """Whoever served the request answered with an error instead of a result.

    Attributes:
        code: of the error, as the other side gave it.
    """

    delivered = True

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
