"""Every frame Perhop sends in any test is valid by the official package; whoever sends another one fails the test.

Frames are looked at where they leave the server: text of WebSockets under ``/realtime``, messages of the data channel
``oai-events``. A server in a process of its own is started through this module, ``python -m tests.frames serve …``, and
writes its offences to the file named by ``$FRAME_OFFENCES``, which :meth:`Inspector.follow` reads.

A test that is about frames no client should get says so: ``@pytest.mark.any_frames("why")``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any, get_args

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel, ValidationError

__all__ = ["OFFENCES_FILE", "UNKNOWN_FIELDS", "Inspector", "offence"]

OFFENCES_FILE = "FRAME_OFFENCES"

_OF_SESSIONS = "the API sends them; the package has the fields of a request here"

_OF_MCP = "why an MCP server offers no tools; the item of the same name in the Responses API has it"

UNKNOWN_FIELDS: dict[tuple[str, str], str] = {
    (kind, f"session.{name}"): _OF_SESSIONS
    for kind in ("session.created", "session.updated")
    for name in ("object", "id", "expires_at")
} | {(kind, "item.error"): _OF_MCP for kind in ("conversation.item.done", "conversation.item.retrieved")}
"""Event type and path of fields the package does not declare, and why they are sent all the same.

Types of events it does not know there are none: it and Perhop know the same 46.
"""

_CHANNEL = "oai-events"
_SHOWN = 2_000


@cache
def _models() -> dict[str, type[BaseModel]]:
    """The package's model of each event type."""
    members = get_args(get_args(RealtimeServerEvent)[0])
    return {kind: member for member in members for kind in get_args(member.model_fields["type"].annotation)}


def offence(text: str | bytes) -> str | None:
    """What is wrong with a frame, None when nothing is."""
    try:
        frame = json.loads(text)
    except ValueError as error:
        return f"not JSON ({error})"
    kind = frame.get("type") if isinstance(frame, dict) else None
    if not isinstance(kind, str):
        return "not an event: a JSON object with a type"
    model = _models().get(kind)
    if model is None:
        return f"{kind}: no event the package knows"
    try:
        event = model.model_validate_json(text, strict=True)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        return f"{kind}: {found}"
    unknown = [path for path in _extras(event) if (kind, path) not in UNKNOWN_FIELDS]
    return f"{kind}: the package does not know {', '.join(unknown)}" if unknown else None


def _extras(value: object, path: str = "") -> Iterator[str]:
    """Where a validated object holds what its model does not declare."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}".lstrip(".") for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for entry in value:
            yield from _extras(entry, f"{path}[]")


def _is_realtime(path: str) -> bool:
    """Whether a WebSocket of this path speaks Realtime events."""
    return "/realtime" in path or path.endswith("/resume")


class Inspector:
    """Looks at the frames of this process, and collects what others found in theirs."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._reports: dict[Path, int] = {}
        self.frames = 0
        """How many were looked at in this process."""

    def look(self, text: str | bytes) -> None:
        """Takes one frame that is being sent."""
        self.frames += 1
        wrong = offence(text)
        if wrong is not None:
            shown = text if isinstance(text, str) else text.decode(errors="replace")
            self._found.append(f"{wrong}\n    {shown[:_SHOWN]}")

    def follow(self, report: Path) -> None:
        """Also counts what a server of its own writes there."""
        self._reports.setdefault(report, 0)

    def take(self) -> list[str]:
        """What was found since the last time."""
        found, self._found = self._found, []
        for report, read in self._reports.items():
            if report.exists():
                lines = report.read_text().splitlines()
                self._reports[report] = len(lines)
                found += [json.loads(line) for line in lines[read:]]
        return found

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Sees every frame for as long as this lasts."""
        from starlette.websockets import WebSocket

        from perhop.edges.webrtc.sctp import Channel

        send_message, send_text = WebSocket.send, Channel.send

        @wraps(send_message)
        async def to_socket(socket: WebSocket, message: MutableMapping[str, Any]) -> None:
            if message["type"] == "websocket.send" and _is_realtime(socket.scope["path"]):
                self.look(message.get("text") or message.get("bytes") or "")
            await send_message(socket, message)

        @wraps(send_text)
        def to_channel(channel: Channel, text: str) -> bool:
            if channel.label == _CHANNEL:
                self.look(text)
            return send_text(channel, text)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(WebSocket, "send", to_socket)
            patch.setattr(Channel, "send", to_channel)
            yield


class _Reporter(Inspector):
    """Writes each offence to a file at once: its process may be ended at any time."""

    def __init__(self, report: Path) -> None:
        super().__init__()
        self._report = report

    def look(self, text: str | bytes) -> None:
        super().look(text)
        with self._report.open("a") as file:
            file.writelines(json.dumps(found) + "\n" for found in self.take())


def _main() -> None:
    from perhop.cli import main

    with _Reporter(Path(os.environ[OFFENCES_FILE])).installed():
        main()


if __name__ == "__main__":
    sys.argv[0] = "perhop"
    _main()
