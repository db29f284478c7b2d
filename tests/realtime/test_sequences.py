"""The exact order of events, scenario by scenario."""

from __future__ import annotations

import pybase64
import pytest
from tests.realtime.helpers import LOUD, MANUAL, QUIET, TEXT_ONLY, Session, error_of, pcm, types

from perhop.realtime.effects import (
    CancelResponse,
    CloseUtterance,
    OpenUtterance,
    OutputAudio,
    OutputDone,
    OutputFailed,
    OutputFunctionCall,
    OutputText,
    Transcribe,
    Transcript,
    TranscriptDelta,
    TranscriptFailed,
)

TRANSCRIBED = {"audio": {"input": {"transcription": {"model": "any"}}}}

SPOKEN_ANSWER = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]

WRITTEN_ANSWER = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]

CLOSED_SPEECH = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]

TURN = [
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]


# -- session start ----------------------------------------------------------------------------------------------------


def test_a_session_opens_with_its_full_configuration() -> None:
    session = Session()
    frames = session.take(session.server.start(session.now))
    assert types(frames) == ["session.created"]
    shown = frames[0]["session"]
    assert shown["id"] == "sess_1"
    assert shown["object"] == "realtime.session"
    assert shown["audio"]["input"]["turn_detection"]["interrupt_response"] is True
    assert shown["audio"]["output"]["voice"] == "alloy"


def test_an_update_shows_the_effective_configuration() -> None:
    session = Session()
    frames = session.send(
        "session.update",
        session={
            "type": "realtime",
            "model": "another-model",
            "tracing": "auto",
            "instructions": "be brief",
            "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}},
        },
    )
    assert types(frames) == ["session.updated"]
    shown = frames[0]["session"]
    assert shown["instructions"] == "be brief"
    assert shown["model"] == "gpt-realtime"
    assert shown["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


# -- spoken turns -----------------------------------------------------------------------------------------------------


def test_a_spoken_turn_and_its_spoken_answer() -> None:
    session = Session()
    session.hear(QUIET, 640)
    session.hear(LOUD, 640)
    session.hear(QUIET, 256)
    session.give(Transcript("item_1", "hello"))
    session.answer("Hi there.", 500)
    assert types(session.frames) == [
        "input_audio_buffer.speech_started",
        *TURN,
        "response.created",
        *SPOKEN_ANSWER,
    ]
    started, stopped, committed, added, done, created, *_ = session.frames
    assert (started["audio_start_ms"], started["item_id"]) == (340, "item_1")
    assert (stopped["audio_end_ms"], stopped["item_id"]) == (640 + 640 + 224, "item_1")
    assert (committed["item_id"], committed["previous_item_id"]) == ("item_1", None)
    assert added["item"] == done["item"]
    assert added["item"] == {
        "type": "message",
        "id": "item_1",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    assert created["response"]["status"] == "in_progress"
    assert created["response"]["output"] == []
    assert created["response"]["audio"]["output"]["voice"] == "alloy"


def test_the_answers_items_are_shown_as_clients_need_them() -> None:
    session = Session()
    session.say()
    session.answer("Hi there.", 500)
    added = session.last("response.output_item.added")["item"]
    assert added == {"type": "message", "id": "item_2", "status": "in_progress", "role": "assistant", "content": []}
    assert session.last("conversation.item.added")["previous_item_id"] == "item_1"
    assert session.last("response.content_part.added")["part"] == {"type": "audio", "transcript": ""}
    assert session.last("response.content_part.done")["part"] == {"type": "audio", "transcript": "Hi there."}
    done = session.last("response.done")["response"]
    assert done["output"] == [
        {
            "type": "message",
            "id": "item_2",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_audio", "transcript": "Hi there."}],
        }
    ]
    assert done["status"] == "completed"
    assert done["status_details"] is None
    assert done["usage"]["output_token_details"] == {"text_tokens": 3, "audio_tokens": 10}


def test_transcription_is_told_to_the_client_only_when_it_asked_for_it() -> None:
    silent, told = Session(), Session(TRANSCRIBED)
    for session in (silent, told):
        session.hear(LOUD, 640)
        session.hear(QUIET, 256)
        session.give(TranscriptDelta("item_1", "hel"))
        session.give(Transcript("item_1", "hello", seconds=0.6))
    assert not [f for f in silent.frames if "transcription" in f["type"]]
    assert types(told.frames)[-4:] == [
        "response.created",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert [frame["delta"] for frame in told.frames[-3:-1]] == ["hel", "lo"]
    assert told.frames[-1]["transcript"] == "hello"
    assert told.frames[-1]["usage"] == {"type": "duration", "seconds": 0.6}
    for session in (silent, told):
        assert [item.text() for item in session.started[0].context] == ["hello"]


def test_the_host_recognises_while_the_caller_speaks_and_thinks_once_the_words_are_there() -> None:
    session = Session()
    session.hear(LOUD, 640)
    session.hear(QUIET, 256)
    assert session.order == [
        "input_audio_buffer.speech_started",
        "OpenUtterance",
        *TURN,
        "CloseUtterance",
        "response.created",
    ]
    session.give(Transcript("item_1", "hello"))
    assert session.order[-1] == "StartResponse"
    opened = session.effects[0]
    assert isinstance(opened, OpenUtterance)
    assert len(opened.audio) == len(pcm(64))  # speech from the first window on: there was nothing before it
    assert isinstance(session.effects[1], CloseUtterance)


def test_a_response_goes_on_without_words_that_could_not_be_recognised() -> None:
    session = Session(TRANSCRIBED)
    session.hear(LOUD, 640)
    session.hear(QUIET, 256)
    frames = session.give(TranscriptFailed("item_1", "engine_lost", "the recogniser died"))
    assert types(frames) == ["conversation.item.input_audio_transcription.failed"]
    assert frames[0]["error"] == {
        "type": "transcription_error",
        "code": "engine_lost",
        "message": "the recogniser died",
    }
    assert len(session.started) == 1


def test_without_create_response_a_spoken_turn_only_becomes_an_item() -> None:
    session = Session({"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}})
    session.say()
    assert types(session.frames) == ["input_audio_buffer.speech_started", *TURN]
    assert types(session.send("response.create")) == ["response.created"]


# -- manual turns -----------------------------------------------------------------------------------------------------


def test_push_to_talk() -> None:
    session = Session()
    assert types(session.send("session.update", session={"type": "realtime", **MANUAL})) == ["session.updated"]
    assert types(session.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert session.append(pcm(1000)) == []
    assert types(session.send("input_audio_buffer.commit")) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert session.effects == [Transcribe("item_1", pcm(1000))]
    assert types(session.send("response.create")) == ["response.created"]
    assert session.started == []
    session.give(Transcript("item_1", "hello"))
    assert types(session.answer()) == SPOKEN_ANSWER


def test_a_commit_needs_a_tenth_of_a_second() -> None:
    session = Session(MANUAL)
    session.append(pcm(99))
    error = error_of(session.send("input_audio_buffer.commit", event_id="e1"))
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "e1")
    session.append(pcm(1))
    assert types(session.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


# -- text turns -------------------------------------------------------------------------------------------------------


def test_a_text_turn() -> None:
    session = Session()
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    frames = session.send("conversation.item.create", item=item)
    assert types(frames) == ["conversation.item.added", "conversation.item.done"]
    assert frames[0]["item"] == {**item, "id": "item_1", "status": "completed"}
    assert types(session.send("response.create", response=TEXT_ONLY)) == ["response.created"]
    assert types(session.answer("Hello!", 0)) == WRITTEN_ANSWER
    assert session.last("response.content_part.added")["part"] == {"type": "text", "text": ""}
    assert session.last("response.done")["response"]["output"][0]["content"] == [
        {"type": "output_text", "text": "Hello!"}
    ]


# -- function calls ---------------------------------------------------------------------------------------------------

CALL = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
]


def test_a_function_call_and_its_output() -> None:
    session = Session(TEXT_ONLY)
    session.send("response.create")
    response_id = session.live
    frames = session.give(OutputFunctionCall(response_id, "find", '{"city":"Oakland"}'))
    assert types(frames) == CALL
    assert frames[0]["item"] == {
        "type": "function_call",
        "id": "item_1",
        "status": "in_progress",
        "call_id": "call_1",
        "name": "find",
        "arguments": "",
    }
    assert frames[3]["name"] == "find"
    assert frames[-1]["item"]["status"] == "completed"
    assert frames[-1]["item"]["arguments"] == '{"city":"Oakland"}'
    assert types(session.give(OutputDone(response_id))) == ["response.done"]
    output = {"type": "function_call_output", "call_id": "call_1", "output": "[]"}
    assert types(session.send("conversation.item.create", item=output)) == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert types(session.send("response.create")) == ["response.created"]
    assert [item.type for item in session.started[-1].context] == ["function_call", "function_call_output"]


def test_a_message_then_several_calls_in_one_response() -> None:
    session = Session()
    session.send("response.create")
    response_id = session.live
    session.answer("One moment.", 300, done=False)
    session.give(OutputFunctionCall(response_id, "a", "{}"))
    session.give(OutputFunctionCall(response_id, "b", "{}"))
    session.give(OutputDone(response_id))
    assert types(session.frames) == ["response.created", *SPOKEN_ANSWER[:-1], *CALL, *CALL, "response.done"]
    done = session.last("response.done")["response"]["output"]
    assert [(item["type"], item["status"]) for item in done] == [
        ("message", "completed"),
        ("function_call", "completed"),
        ("function_call", "completed"),
    ]
    indices = [f["output_index"] for f in session.frames if f["type"] == "response.output_item.added"]
    assert indices == [0, 1, 2]


def test_words_after_a_call_are_a_message_of_their_own() -> None:
    session = Session(TEXT_ONLY)
    session.send("response.create")
    session.give(OutputFunctionCall(session.live, "a", "{}"))
    session.answer("Done.", 0)
    assert [item["type"] for item in session.last("response.done")["response"]["output"]] == [
        "function_call",
        "message",
    ]


def test_an_output_is_accepted_while_the_response_is_still_open() -> None:
    session = Session(TEXT_ONLY)
    session.send("response.create")
    response_id = session.live
    session.give(OutputFunctionCall(response_id, "a", "{}"))
    output = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    assert types(session.send("conversation.item.create", item=output)) == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert types(session.give(OutputDone(response_id))) == ["response.done"]


# -- barge-in ---------------------------------------------------------------------------------------------------------


def test_the_caller_interrupts() -> None:
    session = Session()
    session.say()
    session.answer("Once upon a time", 2_000, done=False)
    session.forget()
    frames = session.hear(LOUD, 64)
    assert session.order == [
        "input_audio_buffer.speech_started",
        "OpenUtterance",
        "CancelResponse",
        *CLOSED_SPEECH,
    ]
    assert frames[-3]["item"]["status"] == "incomplete"
    assert frames[-2]["item"]["status"] == "incomplete"
    done = frames[-1]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["usage"]["output_token_details"]["audio_tokens"] == 40
    truncated = session.send("conversation.item.truncate", item_id="item_2", content_index=0, audio_end_ms=700)
    assert types(truncated) == ["conversation.item.truncated"]
    retrieved = session.send("conversation.item.retrieve", item_id="item_2")
    assert types(retrieved) == ["conversation.item.retrieved"]
    [part] = retrieved[0]["item"]["content"]
    assert part == {"type": "output_audio", "audio": pybase64.b64encode_as_string(pcm(700))}, "what was heard"
    session.hear(LOUD, 320)
    assert types(session.hear(QUIET, 256)) == [*TURN, "response.created"]


def test_what_a_stopped_host_still_says_goes_nowhere() -> None:
    session = Session()
    session.say()
    response_id = session.live
    session.answer("Once", 100, done=False)
    session.hear(LOUD, 64)
    for late in (
        OutputText(response_id, "more"),
        OutputAudio(response_id, pcm(20)),
        OutputFunctionCall(response_id, "f", "{}"),
        OutputDone(response_id),
        OutputFailed(response_id, "c", "m"),
    ):
        assert session.give(late) == []


def test_an_interruption_before_the_model_began_leaves_nothing_to_stop() -> None:
    session = Session()
    session.hear(LOUD, 640)
    session.hear(QUIET, 256)
    session.forget()
    frames = session.hear(LOUD, 64)
    assert types(frames) == ["input_audio_buffer.speech_started", "response.done"]
    assert frames[-1]["response"]["status_details"]["reason"] == "turn_detected"
    assert not [effect for effect in session.effects if isinstance(effect, CancelResponse)]


def test_without_interrupt_response_the_model_finishes_and_then_answers_the_new_turn() -> None:
    session = Session({"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}})
    session.say()
    first = session.live
    session.answer("Once", 100, done=False)
    session.forget()
    session.say("stop")
    assert types(session.frames) == ["input_audio_buffer.speech_started", *TURN]
    assert types(session.give(OutputDone(first))) == [*CLOSED_SPEECH, "response.created"]
    assert session.live != first
    assert [item.text() for item in session.started[-1].context] == ["hello", "Once", "stop"]


def test_the_client_stops_the_response() -> None:
    session = Session()
    session.say()
    session.answer("Once", 100, done=False)
    session.forget()
    frames = session.send("response.cancel")
    assert session.order == ["CancelResponse", *CLOSED_SPEECH]
    assert frames[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}


# -- endings ----------------------------------------------------------------------------------------------------------


def test_a_failed_response_says_why_without_an_error_event() -> None:
    session = Session()
    session.say()
    session.answer("Once", 100, done=False)
    frames = session.give(OutputFailed(session.live, "engine_lost", "the synthesiser died"))
    assert types(frames) == CLOSED_SPEECH
    assert frames[-1]["response"]["status"] == "failed"
    assert frames[-1]["response"]["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "engine_lost", "message": "the synthesiser died"},
    }


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_a_response_cut_short_is_incomplete(reason: str) -> None:
    session = Session()
    session.say()
    session.answer("Once", 100, done=False)
    frames = session.give(OutputDone(session.live, reason))  # type: ignore[arg-type]
    assert frames[-1]["response"]["status"] == "incomplete"
    assert frames[-1]["response"]["status_details"] == {"type": "incomplete", "reason": reason}
    assert frames[-1]["response"]["output"][0]["status"] == "incomplete"


def test_a_response_stops_at_its_token_limit() -> None:
    session = Session()
    session.send("response.create", response={"max_output_tokens": 10})
    response_id = session.live
    assert session.give(OutputAudio(response_id, pcm(450)))[-1]["type"] == "response.output_audio.delta"
    session.forget()
    frames = session.give(OutputAudio(response_id, pcm(70)))
    assert session.order == ["response.output_audio.delta", "CancelResponse", *CLOSED_SPEECH]
    assert frames[-1]["response"]["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}


# -- out of band ------------------------------------------------------------------------------------------------------


def test_an_out_of_band_response_leaves_the_conversation_alone() -> None:
    session = Session()
    session.say()
    default = session.live
    session.forget()
    frames = session.send(
        "response.create",
        response={
            "conversation": "none",
            "metadata": {"topic": "x"},
            "output_modalities": ["text"],
            "instructions": "classify",
            "input": [
                {"type": "item_reference", "id": "item_1"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "and this"}]},
            ],
        },
    )
    created = frames[0]["response"]
    assert (created["conversation_id"], created["metadata"]) == (None, {"topic": "x"})
    assert [item.text() for item in session.started[-1].context] == ["hello", "and this"]
    assert session.started[-1].instructions == "classify"
    session.give(OutputText(created["id"], "sales"))
    session.give(OutputDone(created["id"]))
    assert types(session.frames) == ["response.created", *[t for t in WRITTEN_ANSWER if "conversation" not in t]]
    assert session.frames[-1]["response"]["metadata"] == {"topic": "x"}
    assert session.live == default
    assert [item.id for item in session.server.items] == ["item_1"]


def test_out_of_band_responses_run_in_parallel_and_are_cancelled_by_name() -> None:
    session = Session()
    bands = [
        session.send("response.create", response={"conversation": "none", "input": []})[0]["response"]["id"]
        for _ in range(2)
    ]
    assert error_of(session.send("response.cancel"))["code"] == "response_cancel_not_active"
    assert session.send("response.cancel", response_id=bands[0])[-1]["response"]["id"] == bands[0]
    assert types(session.give(OutputText(bands[1], "x")))[-1] == "response.output_audio_transcript.delta"
    assert session.started[0].context == ()


def test_a_caller_who_speaks_does_not_stop_an_out_of_band_response() -> None:
    session = Session()
    band = session.send("response.create", response={"conversation": "none"})[0]["response"]["id"]
    assert types(session.hear(LOUD, 640)) == ["input_audio_buffer.speech_started"]
    assert session.give(OutputDone(band))[-1]["response"]["status"] == "completed"


# -- silence ----------------------------------------------------------------------------------------------------------

IDLE = {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 6_000}}}}


def test_the_model_speaks_first_after_a_long_silence() -> None:
    session = Session(IDLE)
    session.say()
    session.answer("Hi.", 2_000)
    session.forget()
    session.hear(QUIET, 7_968)
    assert session.wait(0.0) == []
    session.hear(QUIET, 64)
    frames = session.wait(0.0)
    assert types(frames) == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert frames[0]["audio_end_ms"] - frames[0]["audio_start_ms"] == 6_000
    assert frames[0]["audio_end_ms"] == session.heard_ms
    assert frames[0]["item_id"] == frames[1]["item_id"]
    assert len(session.started) == 1


def test_the_silence_never_reaches_into_the_turn_before() -> None:
    session = Session(IDLE)
    session.say()
    committed_ms = session.last("input_audio_buffer.speech_stopped")["audio_end_ms"]
    session.answer("Hi.", 100)
    frames = session.wait(10.0)
    assert frames[0]["audio_start_ms"] == committed_ms
    assert frames[0]["audio_end_ms"] == session.heard_ms


def test_a_commit_ends_the_watch_over_silence() -> None:
    session = Session(IDLE)
    session.say()
    session.answer("Hi.", 100)
    session.hear(QUIET, 320)
    session.send("input_audio_buffer.commit")
    session.give(Transcript(session.last("input_audio_buffer.committed")["item_id"], ""))
    assert session.server.next_deadline() is None


def test_speech_ends_the_watch_over_silence() -> None:
    session = Session(IDLE)
    session.say()
    session.answer("Hi.", 100)
    session.hear(QUIET, 4_000)
    session.hear(LOUD, 64)
    assert session.wait(60.0) == []


@pytest.mark.parametrize(
    "change",
    [
        {"audio": {"input": {"turn_detection": {"idle_timeout_ms": None}}}},
        {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
        {"output_modalities": ["text"]},
    ],
)
def test_the_watch_over_silence_ends_when_the_session_no_longer_asks_for_it(change: dict[str, object]) -> None:
    session = Session(IDLE)
    session.say()
    session.answer("Hi.", 100)
    assert session.server.next_deadline() is not None
    session.send("session.update", session={"type": "realtime", **change})
    assert session.server.next_deadline() is None
