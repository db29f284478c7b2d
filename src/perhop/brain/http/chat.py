"""A mind that is a language model, by ``POST /chat/completions`` with streaming and tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from perhop.brain.http.endpoint import HttpEndpoint
from perhop.brain.http.messages import chat_messages, chat_tool_choice, chat_tools
from perhop.brain.http.sse import SseParser
from perhop.brain.providers import Expectation, FunctionCall, Mind, Said
from perhop.errors import LimitExceededError
from perhop.realtime.effects import Completeness, StartResponse
from perhop.realtime.items import Item
from perhop.text.words import vocabulary

__all__ = ["HttpMind", "HttpMindProvider"]

_DONE = "[DONE]"
_MAX_CALLS = 64
_MAX_ARGUMENTS = 1 << 18
_HANGING = frozenset(
    vocabulary(
        "a about an and are as at because but by can for from had has have if in into is my of on or our so than that "
        "the their then these this to um uh was were what when where which while who with would your"
    )
)
"""Words that nobody ends a turn with."""


class HttpMindProvider:
    """Minds on one endpoint.

    Args:
        model: as the server names it.
        language: BCP 47, of what callers say.
    """

    def __init__(self, endpoint: HttpEndpoint, *, model: str, language: str = "en") -> None:
        self._endpoint = endpoint
        self._model = model
        self._language = language

    def open(self) -> Mind:
        """A mind for one session."""
        return HttpMind(self._endpoint, model=self._model, language=self._language)


class HttpMind:
    """Shows the model the whole conversation for every reply, and keeps nothing of it."""

    def __init__(self, endpoint: HttpEndpoint, *, model: str, language: str) -> None:
        self._endpoint = endpoint
        self._model = model
        self._expectation = Expectation(language=language)

    def configure(self, *, instructions: str, tools: Sequence[dict[str, Any]]) -> None:
        """Nothing to prepare: every request brings instructions and tools along."""

    def expect(self, _: Sequence[Item]) -> Expectation:
        """Free speech."""
        return self._expectation

    def judge(self, _: Sequence[Item], partial: str) -> Completeness:
        """Incomplete after a word that something must follow; complete after a question or full stop."""
        words = partial.lower().split()
        if not words:
            return "unknown"
        if words[-1].strip(",.…") in _HANGING or words[-1].endswith((",", "…", "...")):
            return "incomplete"
        return "complete" if words[-1].endswith((".", "?", "!")) else "unknown"

    async def respond(self, request: StartResponse) -> AsyncGenerator[Said | FunctionCall, None]:
        """The reply's text as it comes, then its function calls.

        Raises:
            BrainError: see :class:`HttpEndpoint`.
        """
        body: dict[str, Any] = {
            "model": self._model,
            "messages": chat_messages(request.context, request.instructions),
            "stream": True,
        }
        if request.tools:
            body["tools"] = chat_tools(request.tools)
            body["tool_choice"] = chat_tool_choice(request.tool_choice)
            if not request.parallel_tool_calls:
                body["parallel_tool_calls"] = False
        if request.max_output_tokens is not None:
            body["max_tokens"] = request.max_output_tokens
        async with self._endpoint.post("/chat/completions", json=body) as response:
            answer = _Answer(self._endpoint)
            async for chunk in response.aiter_bytes():
                for text in answer.feed(chunk):
                    yield Said(text)
                if answer.complete:
                    break
            for call in answer.calls():
                yield call


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(BaseModel):
    index: int = 0
    function: _Function = _Function()


class _Delta(BaseModel):
    content: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Chunk(BaseModel):
    choices: list[_Choice] = []
    error: object = None


@dataclass(slots=True)
class _Call:
    name: str = ""
    arguments: str = ""


class _Answer:
    """One streamed completion on its way in."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        self._endpoint = endpoint
        self._parser = SseParser()
        self._calls: dict[int, _Call] = {}
        self._finished = False
        self.complete = False

    def feed(self, data: bytes) -> list[str]:
        """The pieces of text in a piece of the body; ``complete`` is set at the last."""
        try:
            events = self._parser.feed(data)
        except LimitExceededError as error:
            raise self._endpoint.invalid("with too long an event") from error
        texts: list[str] = []
        for event in events:
            if event.strip() == _DONE:
                self.complete = True
                break
            texts += self._read(event)
        return texts

    def calls(self) -> list[FunctionCall]:
        """The function calls of the whole answer, in order.

        Raises:
            BrainError: ``upstream_invalid``: the answer broke off.
        """
        if not (self.complete or self._finished):
            raise self._endpoint.invalid("with a stream that ends too early")
        return [FunctionCall(call.name, call.arguments or "{}") for _, call in sorted(self._calls.items())]

    def _read(self, event: str) -> list[str]:
        try:
            chunk = _Chunk.model_validate_json(event)
        except ValidationError:
            # Without the cause: it quotes the answer.
            raise self._endpoint.invalid("with something other than completion chunks") from None
        if chunk.error is not None:
            raise self._endpoint.invalid("with an error in the middle of a reply")
        texts = []
        for choice in chunk.choices[:1]:
            self._finished = self._finished or choice.finish_reason is not None
            if choice.delta.content:
                texts.append(choice.delta.content)
            for delta in choice.delta.tool_calls or ():
                self._extend(delta)
        return texts

    def _extend(self, delta: _CallDelta) -> None:
        call = self._calls.setdefault(delta.index, _Call())
        call.name += delta.function.name or ""
        call.arguments += delta.function.arguments or ""
        if len(self._calls) > _MAX_CALLS or len(call.arguments) > _MAX_ARGUMENTS:
            raise self._endpoint.invalid("with too many or too long function calls")
