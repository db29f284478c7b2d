"""The built-in mind: a form-filling dialogue over whatever tools a session declares."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import zip_longest
from typing import Any

from perhop.brain.dialogue import turns, wording
from perhop.brain.dialogue.conversation import Conversation
from perhop.brain.dialogue.expecting import Grammars
from perhop.brain.dialogue.forms import Scene, call, open_form
from perhop.brain.dialogue.judging import judge
from perhop.brain.dialogue.phrasing import sentences
from perhop.brain.dialogue.state import State
from perhop.brain.grammar.understand import Domain
from perhop.brain.providers import Expectation, FunctionCall, Said
from perhop.realtime.effects import Completeness, StartResponse
from perhop.realtime.items import Item, MessageItem

__all__ = ["DialogueMind", "DialogueProvider"]

_MAX_DOMAINS = 64
_WARM_UP = {
    "name": "warm_up",
    "parameters": {"properties": {"code": {"type": "string", "pattern": "^[a-z]$"}}, "x-samples": ["the {code}"]},
}
"""Compiled once at the start: the first pattern and the first grammar of a process take 20 ms, later ones one."""
_DIRECTIVE = re.compile(
    r"\b(?:greet|say|tell|begin|start|open|answer|reply|speak)\b[^\"“”\n]{0,80}[\"“](.{1,600}?)[\"”]\s*\.?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_NAME = re.compile(r"\bYou are ([A-Z][\w'-]*(?: [A-Z][\w'-]*){0,2})(?=[,.;])")


def _local_today() -> date:
    return datetime.now().astimezone().date()


class DialogueProvider:
    """Opens minds. What is compiled from tools (vocabulary, grammars) is shared between sessions with the same tools.

    Args:
        today: what relative dates stand on; the local date unless given.
    """

    def __init__(self, *, today: Callable[[], date] = _local_today) -> None:
        self._today = today
        self._domains: OrderedDict[str, tuple[Domain, Grammars]] = OrderedDict()
        self._compiled([_WARM_UP])

    def open(self) -> DialogueMind:
        """A mind for one session."""
        return DialogueMind(self._compiled, self._today)

    def _compiled(self, tools: Sequence[Mapping[str, Any]]) -> tuple[Domain, Grammars]:
        key = json.dumps(tools, sort_keys=True, default=str)
        found = self._domains.pop(key, None)
        if found is None:
            domain = Domain(tools)
            found = domain, Grammars(domain)
            while len(self._domains) >= _MAX_DOMAINS:
                self._domains.popitem(last=False)
        self._domains[key] = found
        return found


class DialogueMind:
    """The dialogue of one session; implements :class:`~perhop.brain.providers.Mind`.

    Its state is folded from the items it is shown. Nothing here raises on odd tools, items or arguments.
    """

    def __init__(
        self, compiled: Callable[[Sequence[Mapping[str, Any]]], tuple[Domain, Grammars]], today: Callable[[], date]
    ) -> None:
        self._compiled = compiled
        self._today = today
        self._instructions = ""
        self._tools: Sequence[dict[str, Any]] = ()
        self._domain, self._grammars = compiled(())
        self._conversation = Conversation(Scene(self._domain, today()))

    def configure(self, *, instructions: str, tools: Sequence[dict[str, Any]]) -> None:
        """Takes the session's instructions and tools. Instructions only matter for a greeting they spell out."""
        self._instructions = instructions
        if tools != self._tools:
            self._tools = list(tools)
            self._domain, self._grammars = self._compiled(self._tools)

    def expect(self, history: Sequence[Item]) -> Expectation:
        """A grammar of everything that makes sense now, or free speech when anything may be said."""
        return self._grammars.expectation(self._folded(self._domain).state(history))

    def judge(self, history: Sequence[Item], partial: str) -> Completeness:
        """Whether the words so far are a finished turn."""
        conversation = self._folded(self._domain)
        return judge(conversation.scene, conversation.state(history), partial)

    async def respond(self, request: StartResponse) -> AsyncGenerator[Said | FunctionCall, None]:
        """The reply, sentence by sentence; a space follows where another sentence does."""
        steps = self._reply(request)
        for step, following in zip_longest(steps, steps[1:]):
            yield Said(f"{step.text} ") if isinstance(step, Said) and isinstance(following, Said) else step

    # -- inside -------------------------------------------------------------------------------------------------------

    def _folded(self, domain: Domain) -> Conversation:
        scene = self._conversation.scene
        today = self._today()
        if scene.domain is not domain or scene.today != today:
            self._conversation = Conversation(Scene(domain, today))
        return self._conversation

    def _reply(self, request: StartResponse) -> Sequence[Said | FunctionCall]:
        domain = self._domain if request.tools == tuple(self._tools) else self._compiled(request.tools)[0]
        started = any(isinstance(item, MessageItem) and item.role != "system" for item in request.context)
        if (directive := _DIRECTIVE.search(request.instructions)) and (
            not started or request.instructions != self._instructions
        ):
            return [Said(text) for text in sentences(directive.group(1))]
        conversation = self._folded(domain)
        scene, state = conversation.scene, conversation.state(request.context)
        if not started and not state.reply:
            return self._greeting(domain)
        if not state.reply:
            state = turns.nudge(scene, state)
        return _obey(scene, state, request.tool_choice)

    def _greeting(self, domain: Domain) -> list[Said | FunctionCall]:
        name = _NAME.search(self._instructions)
        hello = f"Hello, this is {name.group(1)}." if name else "Hello!"
        if not domain.tools:
            return [Said(hello), *(Said(text) for text in wording.NO_TOOLS)]
        return [Said(hello), Said(f"I can {wording.capabilities(domain)}."), Said("What would you like?")]


def _obey(scene: Scene, state: State, choice: str | Mapping[str, Any]) -> Sequence[Said | FunctionCall]:
    """The reply as ``tool_choice`` allows it."""
    calls = [step for step in state.reply if isinstance(step, FunctionCall)]
    if choice == "none":
        if not calls:
            return state.reply
        said = [step for step in state.reply if isinstance(step, Said)]
        title = scene.domain.tools[calls[0].name].title
        return [*said, Said(f"I have all I need to {title}, but I may not do it in this reply.")]
    named = choice.get("name") if isinstance(choice, Mapping) else None
    forced = choice == "required" or named in scene.domain.tools
    if not forced or (calls and (named is None or any(step.name == named for step in calls))):
        return state.reply
    return _forced(scene, state, named)


def _forced(scene: Scene, state: State, named: str | None) -> Sequence[Said | FunctionCall]:
    """A call without confirmation, if what is known suffices; else the question for what is missing."""
    form = state.form
    if form is None or (named is not None and form.tool != named):
        name = named or (next(iter(scene.domain.tools)) if len(scene.domain.tools) == 1 else None)
        if name is None:
            return state.reply
        opened = open_form(scene, replace(state, reply=(), form=None), name)
        state, form = opened, opened.form
    if form is None or form.missing(scene.tool(form)) is not None:
        return state.reply
    return call(replace(state, reply=()), form).reply
