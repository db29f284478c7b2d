"""A conversation on a terminal: lines of both sides as they grow, and how much of the recording was sent."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

__all__ = ["View"]

_SHOWN = 300


class View:
    """Writes transcripts and tool calls to ``out``, progress and notes to ``err``."""

    def __init__(self, out: Console, err: Console) -> None:
        self._out = out
        self._err = err
        self._line = ""
        self._progress = Progress(
            TextColumn("[dim]sending[/]"),
            BarColumn(bar_width=30),
            TextColumn("[dim]{task.completed:.1f} of {task.total:.1f} s[/]"),
            console=err,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.agent_done()
        self._progress.stop()

    def note(self, text: str) -> None:
        """Something about the run itself."""
        self._err.print(f"[dim]{escape(text)}[/]", soft_wrap=True)

    def sent(self, seconds: float, total: float) -> None:
        """How much of the recording is on its way."""
        if self._task is None:
            self._task = self._progress.add_task("sending", total=total)
        self._progress.update(self._task, completed=seconds)
        if seconds >= total:
            self._progress.remove_task(self._task)
            self._task = None

    def you(self, text: str) -> None:
        """What the server understood of the question."""
        self._out.print(f"[bold]you[/]    {escape(text) or '[dim](not understood)[/]'}", soft_wrap=True)

    def agent(self, delta: str) -> None:
        """A further piece of the answer's text."""
        self._line += delta

    def agent_done(self) -> None:
        """This part of the answer is complete."""
        if self._line:
            self._out.print(f"[bold cyan]agent[/]  {escape(self._line.strip())}", soft_wrap=True)
            self._line = ""

    def tool(self, name: str, arguments: str) -> None:
        """The agent calls a function."""
        self._out.print(f"[bold yellow]tool[/]   {escape(name)}({escape(_short(arguments))})", soft_wrap=True)

    def tool_result(self, output: str) -> None:
        """What the function returned."""
        self._out.print(f"       [dim]→ {escape(_short(output))}[/]", soft_wrap=True)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
