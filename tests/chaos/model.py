"""The model of the calls, in a process of its own: ``python -m tests.chaos.model FOLDER``; prints its URL.

Every answer to a caller begins with function calls: orders, a charge, a look. What was refused for now is tried again
in a later answer, under the same number; what may have been done is not. All of it is written to ``journal`` in the
folder as it happens, with the time; once there is a file ``drain`` there, only what was refused is still asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from tests.models.upstream import Upstream, UpstreamSession

from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Step, call, say
from perhop.realtime.effects import StartResponse
from perhop.realtime.events import ClientEvent, ConversationItemCreate, ResponseOutputItemDone, ServerEvent
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem

__all__ = ["KEY", "SPEECH_MS", "FunctionCall", "Journal"]

KEY = "sk-chaos"
SPEECH_MS = 400
TOOLS = ("order", "order", "charge", "look")
FOR_NOW = ("unavailable", "busy")
"""Codes that say that nothing was done and that it may work later."""

SILENCE_S = 0.06
"""Between two appends of a caller who never stops; noted when it is longer."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One function call, from the model's side; times are of the machine's monotonic clock, s.

    Attributes:
        answered: None while there is no output.
        right: the result is that of this call.
        code: of the error, if it is one.
    """

    tool: str
    number: str
    called: float
    answered: float | None = None
    right: bool = False
    code: str | None = None


class Journal:
    """What the model's process wrote down."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "journal"

    def read(self) -> tuple[list[FunctionCall], list[tuple[float, float]]]:
        """Function calls in order; and silences longer than :data:`SILENCE_S`: when one ended, how long it was."""
        calls: dict[str, FunctionCall] = {}
        silences: list[tuple[float, float]] = []
        for line in self._file.read_text("utf-8").splitlines():
            entry = json.loads(line)
            at = entry["at"]
            if "silence" in entry:
                silences.append((at, entry["silence"]))
            elif "tool" in entry:
                calls[entry["id"]] = FunctionCall(entry["tool"], entry["number"], at)
            else:
                asked = calls[entry["id"]]
                output = json.loads(entry["output"])
                code = output["error"]["code"] if "error" in output else None
                right = output == {"number": asked.number}
                calls[entry["id"]] = FunctionCall(asked.tool, asked.number, asked.called, at, right, code)
        return list(calls.values()), silences


class Desk:
    """What all sessions share: numbers, and what is to be tried again."""

    def __init__(self, folder: Path) -> None:
        self._journal = (folder / "journal").open("w", encoding="utf-8", buffering=1)
        self._drain = folder / "drain"
        self._numbers = itertools.count(1)
        self._asked: dict[str, tuple[str, str]] = {}
        self._again: deque[tuple[str, str]] = deque()

    def note(self, **fields: Any) -> None:
        self._journal.write(json.dumps({"at": time.monotonic(), **fields}) + "\n")

    def calls(self) -> list[Step]:
        """The function calls of the next answer."""
        chosen = [self._again.popleft() for _ in range(min(len(self._again), len(TOOLS)))]
        if not self._drain.exists():
            chosen += [(tool, f"{tool}-{next(self._numbers)}") for tool in TOOLS[len(chosen) :]]
        return [call(tool, {"number": number}) for tool, number in chosen]

    def called(self, item: FunctionCallItem) -> None:
        number = json.loads(item.arguments or "{}")["number"]
        self._asked[item.call_id or ""] = (item.name or "", number)
        self.note(id=item.call_id, tool=item.name, number=number)

    def answered(self, item: FunctionCallOutputItem) -> None:
        self.note(id=item.call_id, output=item.output)
        asked = self._asked.pop(item.call_id, None)
        if asked is not None and json.loads(item.output).get("error", {}).get("code") in FOR_NOW:
            self._again.append(asked)


class Shopkeeper(ScriptedModel):
    """One session."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(self._steps)
        self._desk = desk
        self._heard: float | None = None

    def send(self, event: ClientEvent) -> None:
        if isinstance(event, ConversationItemCreate) and isinstance(event.item, FunctionCallOutputItem):
            self._desk.answered(event.item)
        super().send(event)

    def append(self, pcm: bytes) -> None:
        now, before = time.monotonic(), self._heard
        self._heard = now
        if before is not None and now - before > SILENCE_S:
            self._desk.note(silence=now - before)
        super().append(pcm)

    def _steps(self, request: StartResponse) -> list[Step]:
        answered = bool(request.context) and isinstance(request.context[-1], FunctionCallOutputItem)
        calls = [] if answered else self._desk.calls()
        return calls or [say("That is done.", ms=SPEECH_MS)]


async def serve(folder: Path) -> None:
    """Serves until the process ends."""
    desk = Desk(folder)

    def observe(_: UpstreamSession, event: ServerEvent) -> None:
        if isinstance(event, ResponseOutputItemDone) and isinstance(event.item, FunctionCallItem):
            desk.called(event.item)

    async with Upstream.serving(lambda: Shopkeeper(desk), key=KEY) as upstream:
        upstream.observe = observe
        sys.stdout.write(f"{upstream.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
