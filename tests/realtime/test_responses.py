"""What a response is given, what it may change, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.realtime.helpers import MANUAL, TEXT_ONLY, Session, error_of, pcm, types

from perhop.realtime.effects import OutputAudio, OutputDone, OutputFunctionCall, OutputText, Transcript
from perhop.realtime.events import OutputAudioBufferClear, UnknownClientEvent
from perhop.realtime.server import ServerLimits

FIND = {"type": "function", "name": "find", "description": "Finds.", "parameters": {"type": "object"}}
OTHER = {"type": "function", "name": "other"}


def text(words: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}


def test_the_host_is_given_the_session() -> None:
    mcp = {"type": "mcp", "server_label": "maps"}
    session = Session(
        {
            "instructions": "be kind",
            "tools": [FIND, mcp],
            "tool_choice": {"type": "function", "name": "find"},
            "max_output_tokens": 100,
            "audio": {"output": {"voice": "ash", "speed": 1.2}},
        }
    )
    session.send("response.create")
    [start] = session.started
    assert (start.instructions, start.voice, start.speed, start.modality) == ("be kind", "ash", 1.2, "audio")
    assert (start.tools, start.tool_choice, start.max_output_tokens) == (
        (FIND,),
        {"type": "function", "name": "find"},
        100,
    )


def test_a_response_can_override_the_session_for_itself_alone() -> None:
    session = Session({"instructions": "be kind", "tools": [FIND]})
    override = {
        "instructions": "be brief",
        "tools": [OTHER],
        "tool_choice": "required",
        "max_output_tokens": 7,
        "output_modalities": ["text"],
        "audio": {"output": {"voice": {"id": "voice_9"}, "format": {"type": "audio/pcmu"}}},
        "metadata": {"k": "v"},
    }
    [created] = session.send("response.create", response=override)
    shown = created["response"]
    assert shown["output_modalities"] == ["text"]
    assert shown["max_output_tokens"] == 7
    assert shown["metadata"] == {"k": "v"}
    assert shown["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "voice": "voice_9"}
    session.give(OutputDone(session.live))
    session.send("response.create")
    first, second = session.started
    assert (first.instructions, first.tools, first.tool_choice, first.modality, first.voice) == (
        "be brief",
        (OTHER,),
        "required",
        "text",
        "voice_9",
    )
    assert (second.instructions, second.tools, second.tool_choice, second.modality) == (
        "be kind",
        (FIND,),
        "auto",
        "audio",
    )


def test_null_overrides_are_no_overrides() -> None:
    session = Session({"instructions": "be kind"})
    nothing = dict.fromkeys(["instructions", "tools", "audio", "max_output_tokens", "conversation", "input"])
    session.send("response.create", response=nothing)
    assert session.started[0].instructions == "be kind"


def test_input_replaces_the_conversation() -> None:
    session = Session()
    session.send("conversation.item.create", item=text("before"))
    session.send("response.create", response={"input": [text("instead")]})
    assert [item.text() for item in session.started[0].context] == ["instead"]
    assert [item.text() for item in session.server.items] == ["before"]


def test_input_that_refers_to_nothing_is_refused() -> None:
    session = Session()
    given = [text("x"), {"type": "item_reference", "id": "nobody"}]
    error = error_of(session.send("response.create", event_id="e1", response={"input": given}))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "response.input[1].id", "e1")
    assert session.effects == []


def test_a_copy_of_an_item_in_the_input_is_not_the_item() -> None:
    session = Session()
    session.send("conversation.item.create", item={**text("mine"), "id": "a"})
    session.send("response.create", response={"input": [{**text("yours"), "id": "a"}]})
    assert [item.text() for item in session.started[0].context] == ["yours"]
    assert [item.text() for item in session.server.items] == ["mine"]


def test_an_item_still_being_produced_is_not_context() -> None:
    session = Session()
    session.send("conversation.item.create", item=text("hi"))
    session.send("response.create")
    session.answer("Once", done=False)
    session.send("response.create", response={"conversation": "none"})
    assert [item.text() for item in session.started[-1].context] == ["hi"]
    reference = [{"type": "item_reference", "id": "item_2"}]
    error = error_of(session.send("response.create", response={"conversation": "none", "input": reference}))
    assert error["param"] == "response.input[0].id"


def test_one_response_at_a_time_in_the_default_conversation() -> None:
    session = Session()
    session.send("response.create")
    error = error_of(session.send("response.create", event_id="e1"))
    assert (error["code"], error["param"], error["event_id"]) == (
        "conversation_already_has_active_response",
        None,
        "e1",
    )
    assert len(session.started) == 1


def test_out_of_band_responses_are_bounded() -> None:
    session = Session(limits=ServerLimits(max_parallel=2))
    session.send("response.create")
    for _ in range(2):
        assert types(session.send("response.create", response={"conversation": "none"})) == ["response.created"]
    error = error_of(session.send("response.create", response={"conversation": "none"}))
    assert error["param"] == "response.conversation"


@pytest.mark.parametrize("response_id", [None, "resp_9"])
def test_there_must_be_something_to_cancel(response_id: str | None) -> None:
    session = Session()
    if response_id:
        session.send("response.create")
    fields = {"response_id": response_id} if response_id else {}
    error = error_of(session.send("response.cancel", event_id="e1", **fields))
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "e1")


# -- the voice --------------------------------------------------------------------------------------------------------


def voice(name: str) -> dict[str, Any]:
    return {"type": "realtime", "instructions": "new", "audio": {"output": {"voice": name}}}


def test_the_voice_is_fixed_once_it_was_heard() -> None:
    session = Session()
    assert types(session.send("session.update", session=voice("ash"))) == ["session.updated"]
    session.send("response.create")
    session.answer()
    error = error_of(session.send("session.update", event_id="e1", session=voice("sage")))
    assert (error["code"], error["param"]) == ("cannot_update_voice", "session.audio.output.voice")
    assert session.server.config.instructions == "new"
    assert session.server.config.audio.output.voice == "ash"
    assert types(session.send("session.update", session=voice("ash"))) == ["session.updated"]
    override = {"audio": {"output": {"voice": "sage"}}}
    error = error_of(session.send("response.create", response=override))
    assert (error["code"], error["param"]) == ("cannot_update_voice", "response.audio.output.voice")


def test_a_refused_voice_refuses_the_whole_update() -> None:
    session = Session()
    session.send("response.create")
    session.answer()
    before = session.server.config
    session.send("session.update", session=voice("sage"))
    assert session.server.config is before


def test_a_text_answer_does_not_fix_the_voice() -> None:
    session = Session(TEXT_ONLY)
    session.send("response.create")
    session.answer("hi", 0)
    assert types(session.send("session.update", session=voice("ash"))) == ["session.updated"]


# -- output -----------------------------------------------------------------------------------------------------------


def test_a_response_may_be_empty() -> None:
    session = Session()
    session.send("response.create")
    [done] = session.give(OutputDone(session.live))
    assert (done["response"]["status"], done["response"]["output"]) == ("completed", [])


def test_a_text_response_has_no_audio() -> None:
    session = Session(TEXT_ONLY)
    session.send("response.create")
    assert session.give(OutputAudio(session.live, pcm(20))) == []


@pytest.mark.parametrize("nothing", [OutputText("resp_1", ""), OutputAudio("resp_1", b"")])
def test_nothing_said_is_nothing_sent(nothing: OutputText | OutputAudio) -> None:
    session = Session()
    session.send("response.create")
    assert session.give(nothing) == []


def test_audio_is_timed_in_the_format_of_its_response() -> None:
    session = Session({"audio": {"output": {"format": {"type": "audio/pcma"}}}})
    session.send("response.create")
    response_id = session.live
    pcm_again = {"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcm"}}}}
    session.send("session.update", session=pcm_again)
    session.give(OutputAudio(response_id, bytes(8 * 500)))
    session.give(OutputDone(response_id))
    assert session.last("response.done")["response"]["usage"]["output_token_details"]["audio_tokens"] == 10


def test_audio_in_pieces_counts_once_however_often_it_is_truncated() -> None:
    session = Session()
    session.send("response.create")
    response_id = session.live
    for _ in range(100):
        session.give(OutputAudio(response_id, pcm(20)[:-1]))
        session.send("conversation.item.truncate", item_id="item_1", content_index=0, audio_end_ms=5)
    session.give(OutputDone(response_id))
    whole_ms = 100 * (20 * 48 - 1) // 48
    usage = session.last("response.done")["response"]["usage"]
    assert usage["output_token_details"]["audio_tokens"] == -(-whole_ms // 50)


# -- usage ------------------------------------------------------------------------------------------------------------


def test_usage_counts_by_the_documented_rates() -> None:
    session = Session({"instructions": "x" * 40, "tools": [], **MANUAL})
    session.append(pcm(950))
    session.send("input_audio_buffer.commit")
    session.send("conversation.item.delete", item_id="item_1")
    session.append(pcm(1_050))
    session.send("input_audio_buffer.commit")
    session.send("conversation.item.create", item=text("12345678"))
    session.send("conversation.item.create", item={"type": "function_call_output", "call_id": "c", "output": "1234"})
    session.send("response.create")
    session.give(Transcript("item_2", "hello"))
    session.answer("Hi there", 990, done=False)
    session.give(OutputFunctionCall(session.live, "find", '{"a":1}!'))
    session.give(OutputDone(session.live))
    usage = session.last("response.done")["response"]["usage"]
    assert usage == {
        "total_tokens": 49,
        "input_tokens": 24,
        "output_tokens": 25,
        "input_token_details": {
            "text_tokens": (40 + 8 + 4) // 4,
            "audio_tokens": 11,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": (8 + 4 + 8) // 4, "audio_tokens": 20},
    }


def test_usage_of_a_conversation_with_every_kind_of_item() -> None:
    session = Session({"instructions": "", "tools": [], **TEXT_ONLY})
    session.send("conversation.item.create", item=text("1234"))
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    session.send("conversation.item.create", item={"type": "message", "role": "user", "content": [image]})
    call = {"type": "function_call", "name": "find", "call_id": "c", "arguments": "{}{}"}
    session.send("conversation.item.create", item=call)
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "1234"}]}
    session.send("conversation.item.create", item=said)
    session.send("response.create")
    session.give(OutputDone(session.live))
    details = session.last("response.done")["response"]["usage"]["input_token_details"]
    assert (details["text_tokens"], details["audio_tokens"], details["image_tokens"]) == (4, 0, 258)


def test_a_response_that_never_started_cost_nothing() -> None:
    session = Session(MANUAL)
    session.append(pcm(500))
    session.send("input_audio_buffer.commit")
    session.send("response.create")
    [done] = session.send("response.cancel")
    assert done["response"]["usage"]["total_tokens"] == 0


# -- events that are not for this server ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", [OutputAudioBufferClear(event_id="e1"), UnknownClientEvent.of({"type": "x", "event_id": "e1"})]
)
def test_events_of_other_transports_and_versions_are_refused(
    event: OutputAudioBufferClear | UnknownClientEvent,
) -> None:
    error = error_of(Session().give(event))
    assert (error["code"], error["event_id"]) == ("invalid_event", "e1")


def test_the_conversation_goes_on_after_twenty_errors() -> None:
    session = Session()
    for _ in range(20):
        assert error_of(session.send("response.cancel"))
    session.say()
    assert types(session.answer())[-1] == "response.done"


def test_what_is_typed_before_the_first_word_of_an_answer_stands_behind_it_and_is_answered() -> None:
    session = Session({**TEXT_ONLY, **MANUAL})
    session.send("response.create", response={"instructions": "Greet the caller."})
    greeting = session.live
    [added, _] = session.send("conversation.item.create", item={**text("what is free?"), "id": "typed"})
    assert added["previous_item_id"] is None, "there was nothing yet"
    said = session.give(OutputText(greeting, "Hello."))
    [spoken] = [event for event in said if event["type"] == "conversation.item.added"]
    assert spoken["previous_item_id"] is None, "the greeting does not know of it"
    session.give(OutputFunctionCall(greeting, "find", "{}"))
    session.give(OutputDone(greeting))
    session.send("response.create")
    kinds = [item.type for item in session.started[-1].context]
    assert kinds == ["message", "function_call", "message"]
    assert session.started[-1].context[-1].id == "typed", "it is what is to be answered"


def test_an_answer_stands_behind_what_is_left_of_what_it_answers() -> None:
    session = Session({**TEXT_ONLY, **MANUAL})
    for name in ("one", "two"):
        session.send("conversation.item.create", item={**text(name), "id": name})
    session.send("response.create")
    session.send("conversation.item.delete", item_id="two")
    session.send("conversation.item.create", item={**text("three"), "id": "three"})
    said = session.give(OutputText(session.live, "Hello."))
    [spoken] = [event for event in said if event["type"] == "conversation.item.added"]
    assert spoken["previous_item_id"] == "one"
