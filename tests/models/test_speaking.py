"""A reply is spoken sentence by sentence while it is still being thought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.virtual_time import run_virtual

from perhop.brain.providers import BrainError, Expectation, FunctionCall, Said
from perhop.models.speaking import Speaking, split_sentences
from perhop.realtime.effects import (
    BrainInput,
    Completeness,
    OutputAudio,
    OutputDone,
    OutputFailed,
    OutputFunctionCall,
    OutputText,
    StartResponse,
)
from perhop.realtime.items import Item


def request(modality: Any = "audio") -> StartResponse:
    return StartResponse(
        response_id="r1",
        context=(),
        instructions="",
        modality=modality,
        voice="alloy",
        speed=1.0,
        tools=(),
        tool_choice="auto",
        max_output_tokens=None,
    )


class Thinker:
    """A mind that says what it was given, piece by piece."""

    def __init__(self, pieces: Sequence[Said | FunctionCall | BrainError], *, pause_s: float = 0.0) -> None:
        self._pieces = pieces
        self._pause_s = pause_s

    def configure(self, *, instructions: str, tools: Sequence[dict[str, Any]]) -> None: ...

    def expect(self, history: Sequence[Item]) -> Expectation:
        return Expectation()

    def judge(self, history: Sequence[Item], partial: str) -> Completeness:
        return "unknown"

    async def respond(self, request: StartResponse) -> AsyncGenerator[Said | FunctionCall, None]:
        for piece in self._pieces:
            await asyncio.sleep(self._pause_s)
            if isinstance(piece, BrainError):
                raise piece
            yield piece


class Voice:
    """Speaks each sentence as two chunks naming it."""

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncGenerator[bytes, None]:
        for part in (b"1", b"2"):
            await asyncio.sleep(0)
            yield text.strip().encode() + part


def produce(thinker: Thinker, modality: Any = "audio") -> list[BrainInput]:
    fed: list[BrainInput] = []
    run_virtual(Speaking(thinker, Voice(), fed.append).run(request(modality)))
    return fed


def test_each_sentence_is_announced_before_it_is_heard() -> None:
    assert produce(Thinker([Said("One. Tw"), Said("o.")])) == [
        OutputText("r1", "One. "),
        OutputAudio("r1", b"One.1"),
        OutputAudio("r1", b"One.2"),
        OutputText("r1", "Two."),
        OutputAudio("r1", b"Two.1"),
        OutputAudio("r1", b"Two.2"),
        OutputDone("r1"),
    ]


def test_a_function_call_comes_after_what_was_said_before_it() -> None:
    fed = produce(Thinker([Said("Let me look"), FunctionCall("search", "{}")]))
    assert fed[0] == OutputText("r1", "Let me look")
    assert fed[-2:] == [OutputFunctionCall("r1", "search", "{}"), OutputDone("r1")]


def test_text_is_passed_on_unspoken_and_uncut() -> None:
    assert produce(Thinker([Said("One. Tw"), Said("o.")]), "text") == [
        OutputText("r1", "One. Tw"),
        OutputText("r1", "o."),
        OutputDone("r1"),
    ]


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_a_failing_mind_fails_the_response_and_nothing_else(modality: str) -> None:
    fed = produce(Thinker([Said("One. "), BrainError("engine_lost", "gone")]), modality)
    assert fed[-1] == OutputFailed("r1", "engine_lost", "gone")
    assert OutputDone("r1") not in fed


def test_cancelling_stops_the_mind_and_says_nothing_more() -> None:
    async def scenario() -> list[BrainInput]:
        fed: list[BrainInput] = []
        task = asyncio.create_task(
            Speaking(Thinker([Said("One. ")] * 9, pause_s=1), Voice(), fed.append).run(request())
        )
        await asyncio.sleep(2.5)
        task.cancel()
        await asyncio.sleep(20)
        return fed

    assert len([entry for entry in run_virtual(scenario()) if isinstance(entry, OutputText)]) == 2


@given(st.text(alphabet="ab .,!?\n", max_size=600))
def test_no_character_is_lost_in_cutting(text: str) -> None:
    sentences, rest = split_sentences(text)
    assert "".join(sentences) + rest == text
    assert len(rest) <= 240
