"""The one door of a call through which payloads leave it: to the model and to tools.

Whatever a call sends out passes here and nowhere else, so a privacy policy has one place to stand. Until one is set
everything passes unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perhop.call.line import Line, LineHost
from perhop.realtime.events import ClientEvent
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolResult, ToolRunner
from perhop.tools.tool import Tool, ToolContext

__all__ = ["Boundary"]


class Boundary:
    """The door of one call.

    Args:
        model: the model the call talks to, over all its sessions.
        runner: what runs tools.
    """

    def __init__(self, model: Line, runner: ToolRunner) -> None:
        self._model = model
        self._runner = runner

    def open_model(self, host: LineHost, session: SessionConfig) -> None:
        """Starts the first model session with this configuration."""
        self._model.start(host, session)

    def suspend_model(self) -> None:
        """Ends the model session until :meth:`resume_model`."""
        self._model.suspend()

    def resume_model(self) -> None:
        """Opens a further model session, which is told the conversation."""
        self._model.resume()

    def restart_model(self, changes: Mapping[str, Any]) -> None:
        """Goes on in a further model session with this configuration, which is told the conversation."""
        self._model.restart(changes)

    @property
    def epoch(self) -> int:
        """How many model sessions there were before the one in force."""
        return self._model.epoch

    @property
    def model(self) -> str:
        """The configured name of the model the conversation is with."""
        return self._model.model

    @property
    def sessions(self) -> int:
        """Model sessions open now."""
        return self._model.sessions

    def admit(self, event: ClientEvent) -> None:
        """Comes before :meth:`to_model` with an event of a client's.

        Raises:
            ProtocolError: too much waits for the model already.
        """
        self._model.admit(event)

    def to_model(self, event: ClientEvent) -> None:
        """Sends one event to the model."""
        self._model.send(event)

    def audio_to_model(self, pcm: bytes) -> None:
        """Sends caller audio (24 kHz mono s16le) to the model."""
        self._model.append(pcm)

    async def to_tool(self, tool: Tool, arguments: str, context: ToolContext) -> ToolResult:
        """Runs a tool with these arguments (JSON text)."""
        return await self._runner.run(tool, arguments, context)

    def close(self) -> None:
        """Ends the model session."""
        self._model.close()
