"""The office: when it is open, how to get there, and what has been noted for its people. In memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum

from perhop import ToolError
from perhop.text.verbalise import say_date, say_time

__all__ = ["ADDRESS", "DIRECTIONS", "Department", "Meeting", "Message", "Office"]

OPENS, CLOSES, FRIDAY_CLOSES = time(9), time(18), time(16)
DAYS_AHEAD = 60
MAX_KEPT = 1_000


class Department(Enum):
    """Who can be reached."""

    SALES = "sales"
    SUPPORT = "support"
    BILLING = "billing"
    HUMAN_RESOURCES = "human resources"


EXTENSIONS = {
    Department.SALES: "21",
    Department.SUPPORT: "22",
    Department.BILLING: "23",
    Department.HUMAN_RESOURCES: "24",
}

ADDRESS = "We are at 14 Franklin Street, near the Twelfth Street station."

DIRECTIONS = {
    "train": "Take the train to Twelfth Street. From the exit walk two blocks north; we are on the left.",
    "car": "Leave the highway at Harrison Street. There is parking for visitors behind the building.",
    "bus": "Take bus number six and get off at Franklin Street. We are across the road.",
    "foot": "From city hall walk four blocks east along Broadway. We are next to the library.",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What a caller wants a department to know. ``phone`` is where to call back."""

    key: str
    department: Department
    text: str
    phone: str | None


@dataclass(frozen=True, slots=True)
class Meeting:
    """Half an hour with a department."""

    department: Department
    day: date
    time: time
    name: str | None
    call_id: str


def _now() -> datetime:
    return datetime.now().astimezone()


class Office:
    """One office with four departments.

    Args:
        clock: the current local time.
    """

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._meetings: dict[tuple[Department, date, time], Meeting] = {}
        self.messages: deque[Message] = deque(maxlen=MAX_KEPT)
        self.waiting: deque[tuple[str, Department]] = deque(maxlen=MAX_KEPT)

    def today(self) -> date:
        """The current local day."""
        return self._clock().date()

    def hours(self, day: date) -> tuple[time, time] | None:
        """When the office opens and closes on this day; None when it stays closed."""
        if day.weekday() >= 5:
            return None
        return (OPENS, FRIDAY_CLOSES if day.weekday() == 4 else CLOSES)

    def is_open(self) -> bool:
        """Whether somebody is there right now."""
        now = self._clock()
        hours = self.hours(now.date())
        return hours is not None and hours[0] <= now.time() < hours[1]

    def leave(self, message: Message) -> None:
        """Keeps a message; one with the same key is kept once."""
        with self._lock:
            if all(other.key != message.key for other in self.messages):
                self.messages.append(message)

    def announce(self, call_id: str, department: Department) -> str:
        """Tells a department that this caller waits, and returns its extension.

        Raises:
            ToolError: nobody is there now.
        """
        if not self.is_open():
            raise ToolError(f"Nobody is at {department.value} right now. I can take a message for them.")
        with self._lock:
            if (call_id, department) not in self.waiting:
                self.waiting.append((call_id, department))
        return EXTENSIONS[department]

    def meet(self, department: Department, day: date, start: time, *, name: str | None, call_id: str) -> Meeting:
        """Books a meeting. A caller who books the same one again keeps it.

        Raises:
            ToolError: the time is not possible; the message says why, and what is.
        """
        hours = self._open_day(day)
        if start.minute not in (0, 30) or start.second:
            raise ToolError("Meetings start on the hour or at half past.")
        if not hours[0] <= start < hours[1]:
            raise ToolError(f"On {say_date(day)} we are open from {say_time(hours[0])} to {say_time(hours[1])}.")
        if (day, start) <= (self.today(), self._clock().time()):
            raise ToolError("That time is already over today. Please name a later one.")
        with self._lock:
            key = (department, day, start)
            meeting = self._meetings.setdefault(key, Meeting(department, day, start, name, call_id))
        if meeting.call_id != call_id:
            raise ToolError(f"{department.value.capitalize()} is busy at {say_time(start)}. Please name another time.")
        return meeting

    def _open_day(self, day: date) -> tuple[time, time]:
        today = self.today()
        if day < today:
            raise ToolError(f"{say_date(day)} is already over. Please name a later day.")
        if day > today + timedelta(days=DAYS_AHEAD):
            raise ToolError(f"I can only book up to {say_date(today + timedelta(days=DAYS_AHEAD))}.")
        hours = self.hours(day)
        if hours is None:
            raise ToolError("We are closed on weekends. Please name a day from Monday to Friday.")
        return hours
