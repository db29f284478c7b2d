"""A conversation for tests: words in, the words of the reply and function calls out, items kept as on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from perhop.brain.dialogue import DialogueProvider
from perhop.brain.dialogue.state import State
from perhop.brain.providers import FunctionCall, Said
from perhop.realtime.effects import StartResponse
from perhop.realtime.items import ContentPart, FunctionCallItem, FunctionCallOutputItem, Item, MessageItem

__all__ = ["MONDAY", "Talk", "user"]

MONDAY = date(2026, 11, 23)


def user(text: str | None) -> MessageItem:
    """Something the caller said."""
    return MessageItem(role="user", content=[ContentPart(type="input_audio", transcript=text)])


def assistant(text: str) -> MessageItem:
    """Something that was said to the caller."""
    return MessageItem(role="assistant", content=[ContentPart(type="output_audio", transcript=text)])


class Talk:
    """One caller and one mind.

    Args:
        tools: ``session.tools``.
        run: what a tool returns; without it calls stay unanswered.
    """

    def __init__(
        self,
        tools: Sequence[dict[str, Any]] = (),
        run: Callable[[str, dict[str, Any]], str] | None = None,
        *,
        instructions: str = "",
        today: date = MONDAY,
    ) -> None:
        self.tools = list(tools)
        self.run = run
        self.mind = DialogueProvider(today=lambda: today).open()
        self.mind.configure(instructions=instructions, tools=self.tools)
        self.instructions = instructions
        self.items: list[Item] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def respond(self, *, choice: str | dict[str, Any] = "auto", instructions: str | None = None) -> str:
        """One response, and those that follow from its function calls; returns all that was said."""
        request = StartResponse(
            response_id="resp_1",
            context=tuple(self.items),
            instructions=self.instructions if instructions is None else instructions,
            modality="audio",
            voice="",
            speed=1.0,
            tools=tuple(self.tools),
            tool_choice=choice,
            max_output_tokens=None,
        )
        said, called = [], []
        async for step in self.mind.respond(request):
            if isinstance(step, Said):
                said.append(step.text.removesuffix(" "))
            else:
                called.append(step)
        if said:
            self.items.append(assistant(" ".join(said)))
        for step in called:
            self._call(step)
        if called and self.run is not None:
            said.append(await self.respond())
        return " ".join(said)

    def _call(self, step: FunctionCall) -> None:
        arguments = json.loads(step.arguments)
        self.calls.append((step.name, arguments))
        call_id = f"call_{len(self.calls)}"
        self.items.append(FunctionCallItem(call_id=call_id, name=step.name, arguments=step.arguments))
        if self.run is not None:
            self.items.append(FunctionCallOutputItem(call_id=call_id, output=self.run(step.name, arguments)))

    async def say(self, text: str | None) -> str:
        """The caller says something; returns what they hear."""
        self.items.append(user(text))
        return await self.respond()

    def state_after(self, items: Sequence[Item]) -> State:
        """What the mind makes of a conversation."""
        return self.mind._folded(self.mind._domain).state(items)
