"""What the bus is told of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from tests.call.helpers import Caller, PuppetModel, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason
from perhop.call.manager import CallManager
from perhop.call.observers.bus import BusObserver, TranscriptTap
from perhop.realtime.effects import StartResponse
from perhop.realtime.events import (
    ConversationItemAdded,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemTruncated,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputTextDone,
    ServerEvent,
    SessionUpdate,
)
from perhop.realtime.items import MessageItem
from perhop.tools.runner import ToolRunner

OF_A_RESPONSE = {"event_id": "e", "response_id": "r", "output_index": 0, "item_id": "item_2", "content_index": 0}


def transcript(*events: ServerEvent) -> list[Mapping[str, Any]]:
    told: list[Mapping[str, Any]] = []
    tap = TranscriptTap(told.append)
    for event in events:
        tap.on_event(event)
    tap.on_ended(EndReason.CALLER_HANGUP)
    return told


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            ConversationItemInputAudioTranscriptionCompleted(
                event_id="e", item_id="item_1", content_index=0, transcript="hello"
            ),
            {"type": "said", "role": "caller", "item_id": "item_1", "text": "hello", "spoken": True},
        ),
        (
            ConversationItemAdded(
                event_id="e",
                item=MessageItem.model_validate(
                    {"id": "item_1", "role": "user", "content": [{"type": "input_text", "text": "typed"}]}
                ),
            ),
            {"type": "said", "role": "caller", "item_id": "item_1", "text": "typed", "spoken": False},
        ),
        (
            ResponseOutputAudioTranscriptDone(**OF_A_RESPONSE, transcript="good day"),
            {"type": "said", "role": "agent", "item_id": "item_2", "text": "good day", "spoken": True},
        ),
        (
            ResponseOutputTextDone(**OF_A_RESPONSE, text="written"),
            {"type": "said", "role": "agent", "item_id": "item_2", "text": "written", "spoken": False},
        ),
        (
            ConversationItemTruncated(event_id="e", item_id="item_2", content_index=0, audio_end_ms=400),
            {"type": "cut", "item_id": "item_2", "heard_ms": 400},
        ),
    ],
)
def test_what_was_said_is_told_once_it_is_known(event: ServerEvent, said: Mapping[str, Any]) -> None:
    assert transcript(event) == [said]


def test_silence_and_what_the_application_inserts_are_not_told() -> None:
    nothing = ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id="item_1", content_index=0, transcript="  "
    )
    inserted = ConversationItemAdded(
        event_id="e",
        item=MessageItem.model_validate(
            {"id": "item_1", "role": "system", "content": [{"type": "input_text", "text": "be brief"}]}
        ),
    )
    assert transcript(nothing, inserted) == []


def test_a_call_is_told_from_its_start_to_its_end_with_statistics_in_between() -> None:
    told: list[tuple[str, str, str, Mapping[str, Any]]] = []

    def emit(tenant: str, call_id: str, kind: str, data: Mapping[str, Any]) -> None:
        told.append((tenant, call_id, kind, data))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ids = counting_ids()

        def answer(model: PuppetModel, request: StartResponse) -> None:
            model.say(request.response_id, 40)

        manager = CallManager(
            {"local": ModelKind(lambda: PuppetModel(answer, clock=loop.time, new_id=ids))},
            ToolRunner(),
            observer=BusObserver(emit, stats_s=10.0),
            clock=loop.time,
            new_id=ids,
        )
        call = manager.start(Caller(), agent=None, session={}, tenant="acme")
        call.on_caller_ready()
        await asyncio.sleep(25)
        call.hang_up(EndReason.API_HANGUP)
        await asyncio.sleep(60)

    run_virtual(main())
    assert {(tenant, call_id) for tenant, call_id, _, _ in told} == {("acme", told[0][1])}
    assert [(kind, data.get("type")) for _, _, kind, data in told] == [
        ("lifecycle", "started"),
        ("stats", None),
        ("stats", None),
        ("lifecycle", "ended"),
    ]
    assert told[-1][3]["reason"] == "api_hangup"
    assert orjson.dumps([data for *_, data in told])


@pytest.mark.parametrize("remote", [False, True])
def test_a_caller_does_not_take_its_own_words_out_of_the_transcript(*, remote: bool) -> None:
    told: list[Mapping[str, Any]] = []

    def emit(_tenant: str, _call_id: str, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "transcript":
            told.append(data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ids = counting_ids()
        model = PuppetModel(lambda model, request: model.say(request.response_id, 40), clock=loop.time, new_id=ids)
        manager = CallManager(
            {"local": ModelKind(lambda: model, remote=remote)},
            ToolRunner(),
            observer=BusObserver(emit),
            clock=loop.time,
            new_id=ids,
        )
        caller = Caller()
        call = manager.start(caller, agent=Agent("desk", model="local"), session={}, tenant="acme")
        call.on_caller_ready()
        await asyncio.sleep(0.1)
        off = {"type": "realtime", "audio": {"input": {"transcription": None}}}
        call.on_caller_event(SessionUpdate(session=off))
        for speech in (0.95, 0.01):
            for _ in range(20):
                model.voice(speech)
        await asyncio.sleep(1)
        assert not [kind for kind in caller.types() if "input_audio_transcription" in kind]
        call.hang_up(EndReason.API_HANGUP)

    run_virtual(main())
    assert [(data["role"], data["text"]) for data in told] == [("caller", "words"), ("agent", "words")]
