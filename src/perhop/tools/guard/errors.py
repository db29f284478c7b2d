"""Why an outgoing request was not sent, or its answer not taken."""

from __future__ import annotations

from perhop.errors import LimitExceededError, PerhopError

__all__ = [
    "OutgoingError",
    "OutgoingTimeoutError",
    "RedirectError",
    "RefusedAddressError",
    "RefusedUrlError",
    "ResponseRefusedError",
    "ResponseTooLargeError",
    "UnreachableError",
]


class OutgoingError(PerhopError):
    """Base of all errors of a guarded request. Messages name hosts, never paths, queries, headers or bodies.

    Attributes:
        sent: False when the request certainly reached nobody.
    """

    sent = True


class RefusedUrlError(OutgoingError):
    """Not a URL that may be asked at all: another scheme than http or https, no host, or credentials inside."""

    sent = False


class RefusedAddressError(OutgoingError):
    """The host has no address that may be reached; nothing was sent."""

    sent = False


class RedirectError(OutgoingError):
    """A redirect that must not be followed, or one too many."""


class ResponseRefusedError(OutgoingError):
    """The answer came in a form that is not accepted."""


class ResponseTooLargeError(OutgoingError, LimitExceededError):
    """The answer is longer than allowed; reading stopped there."""


class OutgoingTimeoutError(OutgoingError):
    """No complete answer in time."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class UnreachableError(OutgoingError):
    """No such host, no connection, or the connection broke."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
