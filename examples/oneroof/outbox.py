"""Text messages to be sent. In memory, and nothing sends them yet: a provider would take them from here."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from perhop import ToolError

__all__ = ["Outbox", "TextMessage", "normalise_phone"]

MAX_MESSAGES = 1_000


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A message to a phone in E.164 form. ``key`` names the request it answers: the same key is sent once."""

    key: str
    to: str
    text: str


class Outbox:
    """Keeps the latest messages."""

    def __init__(self) -> None:
        self.messages: deque[TextMessage] = deque(maxlen=MAX_MESSAGES)

    def add(self, message: TextMessage) -> None:
        """Adds a message unless one with its key is there."""
        if all(other.key != message.key for other in self.messages):
            self.messages.append(message)


def normalise_phone(spoken: str) -> str:
    """A phone number in E.164 form; ten digits are taken as North American.

    Raises:
        ToolError: it has too few or too many digits.
    """
    digits = re.sub(r"\D", "", spoken)
    if len(digits) == 10:
        return f"+1{digits}"
    if (len(digits) == 11 and digits.startswith("1")) or (spoken.startswith("+") and 8 <= len(digits) <= 15):
        return f"+{digits}"
    raise ToolError("That is not a complete phone number. Please give all ten digits, area code first.")
