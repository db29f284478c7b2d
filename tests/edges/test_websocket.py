"""The WebSocket leg: the hot path, errors that name the client's event, limits, and every way it can end."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.websockets import WebSocket
from tests.virtual_time import run_virtual

from perhop.call.legs import EndReason, Position
from perhop.edges.socket import WebSocketLimits
from perhop.edges.websocket import WebSocketLeg
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent, InputAudioBufferCleared, ServerEvent


class Wire:
    """The client's end of a connection, without a network."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.reads = asyncio.Event()
        self.reads.set()

    async def receive(self) -> dict[str, Any]:
        return await self.inbox.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        if message["type"] == "websocket.send":
            self.sent.append(json.loads(message["text"]))
        elif message["type"] == "websocket.close":
            self.closed = (message["code"], message["reason"])
            self.inbox.put_nowait({**message, "type": "websocket.disconnect"})

    def say(self, *messages: str | bytes | dict[str, Any]) -> None:
        for message in messages:
            if isinstance(message, bytes):
                self.inbox.put_nowait({"type": "websocket.receive", "bytes": message})
            else:
                text = message if isinstance(message, str) else json.dumps(message)
                self.inbox.put_nowait({"type": "websocket.receive", "text": text})

    def go(self, **how: Any) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000, **how})

    def errors(self) -> list[dict[str, Any]]:
        return [event["error"] for event in self.sent if event["type"] == "error"]


class Sink:
    """A call that only remembers."""

    def __init__(self) -> None:
        self.audio: list[bytes] = []
        self.events: list[ClientEvent] = []
        self.order: list[str] = []
        self.closed: list[EndReason] = []
        self.ready = 0

    def on_caller_event(self, event: ClientEvent) -> None:
        self.events.append(event)
        self.order.append(event.type)

    def on_caller_audio(self, pcm: bytes) -> None:
        self.audio.append(pcm)
        self.order.append("audio")

    def on_playout_started(self, response_id: str) -> None: ...
    def on_playout_stopped(self, response_id: str) -> None: ...

    def on_caller_ready(self) -> None:
        self.ready += 1

    def on_caller_closed(self, reason: EndReason) -> None:
        self.closed.append(reason)


class Line:
    """A leg with its client and its call."""

    def __init__(self, limits: WebSocketLimits) -> None:
        self.wire = Wire()
        self.sink = Sink()
        scope = {"type": "websocket", "path": "/v1/realtime", "headers": [], "subprotocols": []}
        self.socket = WebSocket(scope, self.wire.receive, self.wire.send)
        self.leg = WebSocketLeg(self.socket, limits=limits, clock=asyncio.get_running_loop().time)

    async def open(self) -> asyncio.Task[None]:
        self.wire.inbox.put_nowait({"type": "websocket.connect"})
        await self.socket.accept()
        self.wire.sent.clear()
        self.leg.attach(self.sink)
        return asyncio.create_task(self.leg.run())


def on_a_line(test: Callable[[Line], Awaitable[None]], limits: WebSocketLimits | None = None) -> Line:
    """Runs ``test`` beside a running leg on virtual time; the client then hangs up, and everything must end."""

    async def main() -> Line:
        line = Line(limits or WebSocketLimits())
        running = await line.open()
        await test(line)
        line.wire.go(reason="")
        async with asyncio.timeout(10):
            await running
        return line

    return run_virtual(main())


def said(*messages: str | bytes | dict[str, Any], limits: WebSocketLimits | None = None) -> Line:
    """What became of these messages."""

    async def test(line: Line) -> None:
        line.wire.say(*messages)
        await settle()

    return on_a_line(test, limits)


async def settle() -> None:
    await asyncio.sleep(0.5)


def append(audio: bytes | str, **more: Any) -> dict[str, Any]:
    encoded = audio if isinstance(audio, str) else base64.b64encode(audio).decode()
    return {"type": "input_audio_buffer.append", "audio": encoded, **more}


def chunk(ms: int, item: str = "item_1") -> AudioChunk:
    return AudioChunk("resp_1", item, 0, 0, bytes(48 * ms))


CLEARED = InputAudioBufferCleared(type="input_audio_buffer.cleared", event_id="event_1")


class TestFromTheClient:
    """What the client says reaches the call, or comes back as an error."""

    def test_appended_audio_goes_to_the_call_as_samples(self) -> None:
        line = said(append(b"\1\0\2\0"), append(b"\3\0", event_id="mine"))
        assert line.sink.audio == [b"\1\0\2\0", b"\3\0"]
        assert line.wire.sent == []

    @pytest.mark.parametrize(
        "text",
        [
            '{"type":"input_audio_buffer.append","audio":"AQA="}',
            '{"audio":"AQA=","type":"input_audio_buffer.append"}',
            '  {\n"event_id" : "e1", "audio":"AQA\\u003d", "type" :\t"input_audio_buffer.append"} ',
        ],
    )
    def test_an_append_is_recognised_however_it_is_written(self, text: str) -> None:
        assert said(text).sink.audio == [b"\1\0"]

    def test_binary_frames_with_json_are_as_good(self) -> None:
        line = said(json.dumps(append(b"\1\0")).encode(), b'{"type":"input_audio_buffer.commit"}')
        assert line.sink.order == ["audio", "input_audio_buffer.commit"]

    def test_events_and_audio_keep_their_order(self) -> None:
        commit = {"type": "input_audio_buffer.commit"}
        line = said(append(b"\0\0"), commit, append(b"\0\0"), {"type": "response.create"})
        assert line.sink.order == ["audio", "input_audio_buffer.commit", "audio", "response.create"]

    def test_a_sample_cut_in_two_is_put_together(self) -> None:
        line = said(append(b"\1\2\3"), append(b"\4\5"), append(b"\6"))
        assert b"".join(line.sink.audio) == b"\1\2\3\4\5\6"
        assert all(len(piece) % 2 == 0 for piece in line.sink.audio)

    def test_half_a_sample_does_not_outlive_its_buffer(self) -> None:
        line = said(append(b"\1\2\3"), {"type": "input_audio_buffer.clear"}, append(b"\4\5"))
        assert line.sink.audio == [b"\1\2", b"\4\5"]

    @pytest.mark.parametrize(
        ("message", "code", "param", "event_id"),
        [
            (append("!!!!", event_id="e1"), "invalid_value", "audio", "e1"),
            (append("AQ=", event_id="e1"), "invalid_value", "audio", "e1"),
            (append("AQ A=", event_id="e1"), "invalid_value", "audio", "e1"),
            (append("é", event_id="e1"), "invalid_value", "audio", "e1"),
            ({"type": "input_audio_buffer.append", "event_id": "e1"}, "missing_required_parameter", "audio", "e1"),
            ({**append(""), "audio": 5, "event_id": "e1"}, "invalid_type", "audio", "e1"),
            (append("", event_id=5), "invalid_type", "event_id", None),
            ({"type": "response.creat", "event_id": "e1"}, "invalid_event", None, "e1"),
            ({"event_id": "e1"}, "invalid_event", None, "e1"),
            ({"type": "conversation.item.delete", "event_id": "e1"}, "missing_required_parameter", "item_id", "e1"),
            ("not json", "invalid_json", None, None),
            ("[]", "invalid_event", None, None),
            ("", "invalid_json", None, None),
            (b"\xff\xfe", "invalid_json", None, None),
            ('{"type": NaN}', "invalid_json", None, None),
            ("[" * 5000, "invalid_json", None, None),
        ],
    )
    def test_what_is_malformed_gets_an_error_with_the_clients_event_id(
        self, message: str | bytes | dict[str, Any], code: str, param: str | None, event_id: str | None
    ) -> None:
        line = said(message, append(b"\1\0"))
        (error,) = line.wire.errors()
        assert error["code"] == code
        assert error["event_id"] == event_id
        if param is not None:
            assert error["param"] == param
        assert line.sink.audio == [b"\1\0"], "the conversation goes on"

    def test_twenty_errors_in_a_row_end_nothing(self) -> None:
        line = said(*["nonsense"] * 20, append(b"\1\0"))
        assert len(line.wire.errors()) == 20
        assert line.sink.audio == [b"\1\0"]
        assert line.sink.closed == [EndReason.CALLER_HANGUP]

    def test_a_message_over_the_limit_gets_an_error_with_its_event_id(self) -> None:
        large = append(bytes(6000), event_id="big")
        line = said(
            json.dumps({"event_id": "big", **large}), append(b"\1\0"), limits=WebSocketLimits(max_message_bytes=5000)
        )
        (error,) = line.wire.errors()
        assert (error["code"], error["event_id"]) == ("message_too_large", "big")
        assert line.sink.audio == [b"\1\0"]

    def test_one_append_may_hold_fifteen_mebibytes(self) -> None:
        line = said(append(bytes(15 << 20)), append(bytes((15 << 20) + 3)), limits=WebSocketLimits(64 << 20))
        assert [len(audio) for audio in line.sink.audio] == [15 << 20]
        assert line.wire.errors()[0]["param"] == "audio"

    def test_six_minutes_at_once_are_taken_and_more_than_the_backlog_is_not(self) -> None:
        minute = bytes(60 * 48_000)
        line = said(*[append(minute)] * 12, limits=WebSocketLimits(audio_backlog_s=600))
        assert len(line.sink.audio) == 10
        assert [error["code"] for error in line.wire.errors()] == ["input_audio_backlog_exceeded"] * 2

    def test_the_backlog_is_worked_off_in_real_time(self) -> None:
        second = bytes(48_000)

        async def test(line: Line) -> None:
            line.wire.say(*[append(second)] * 11)
            await asyncio.sleep(5)
            assert len(line.sink.audio) == 10
            line.wire.say(*[append(second)] * 6)
            await settle()
            assert len(line.sink.audio) == 15

        on_a_line(test, WebSocketLimits(audio_backlog_s=10))

    def test_a_flood_of_messages_is_read_at_the_allowed_rate_and_nothing_is_lost(self) -> None:
        async def test(line: Line) -> None:
            line.wire.say(*[append(b"\0\0")] * 300)
            await asyncio.sleep(1.0)
            assert 195 <= len(line.sink.audio) <= 205
            await asyncio.sleep(1.1)
            assert len(line.sink.audio) == 300

        on_a_line(test, WebSocketLimits(messages_per_s=100, message_burst=100))

    @given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
    @example("\ud800")
    @example('{"type":"input_audio_buffer.append","audio":"\ud800"}')
    @example('{"type":"input_audio_buffer.append","audio":null,"audio":""}')
    @example('{"type":["input_audio_buffer.append"]}')
    def test_no_message_breaks_the_connection(self, message: str | bytes) -> None:
        line = said(message, append(b"\1\0"))
        assert line.sink.audio[-1] == b"\1\0"


class TestToTheClient:
    """What the call says reaches the client, in order and bounded."""

    def test_events_and_audio_go_out_in_order(self) -> None:
        async def test(line: Line) -> None:
            line.leg.send(CLEARED)
            line.leg.play(chunk(20))
            line.leg.send(CLEARED)
            await settle()

        line = on_a_line(test)
        kinds = [event["type"] for event in line.wire.sent]
        assert kinds == ["input_audio_buffer.cleared", "response.output_audio.delta", "input_audio_buffer.cleared"]
        assert base64.b64decode(line.wire.sent[1]["delta"]) == bytes(960)

    def test_what_was_said_before_it_runs_comes_first(self) -> None:
        async def main() -> Line:
            line = Line(WebSocketLimits())
            line.leg.attach(line.sink)
            line.leg.send(CLEARED)
            running = await line.open()
            line.leg.send(CLEARED)
            await settle()
            line.wire.go(reason="")
            await running
            return line

        line = run_virtual(main())
        assert len(line.wire.sent) == 2
        assert line.sink.ready == 1

    def test_the_position_counts_what_was_sent_and_estimates_what_was_heard(self) -> None:
        async def test(line: Line) -> None:
            line.leg.play(chunk(1000))
            await asyncio.sleep(0.4)
            assert line.leg.position("item_1") == Position(1000, 400)
            assert line.leg.position("item_2") == Position(0, 0)

        on_a_line(test)

    def test_who_interrupts_hears_what_comes_next_at_once(self) -> None:
        async def test(line: Line) -> None:
            line.leg.play(chunk(60_000))
            await asyncio.sleep(0.4)
            line.leg.stopped("item_1", 350)
            line.leg.play(chunk(1000, "item_2"))
            await asyncio.sleep(0.4)
            assert line.leg.position("item_1") == Position(60_000, 350)
            assert line.leg.position("item_2") == Position(1000, 400)

        on_a_line(test)

    def test_clearing_drops_the_audio_that_was_not_written_and_no_event(self) -> None:
        async def test(line: Line) -> None:
            line.wire.reads.clear()
            line.leg.play(chunk(100))
            await settle()  # the writer holds this one already
            line.leg.play(chunk(200))
            line.leg.send(CLEARED)
            assert line.leg.clear() is None
            assert line.leg.position("item_1").sent_ms == 100
            line.wire.reads.set()
            await settle()

        line = on_a_line(test)
        assert [event["type"] for event in line.wire.sent] == [
            "response.output_audio.delta",
            "input_audio_buffer.cleared",
        ]

    def test_a_client_that_does_not_read_is_closed_not_waited_for(self) -> None:
        async def test(line: Line) -> None:
            line.wire.reads.clear()
            line.leg.play(chunk(100))
            await settle()  # the writer holds this one already
            for _ in range(100):
                line.leg.play(chunk(100))
            await settle()
            assert line.sink.closed == [EndReason.CALLER_LOST]
            line.wire.reads.set()
            await settle()
            assert line.wire.closed == (1008, "slow_reader")
            line.leg.play(chunk(100))

        line = on_a_line(test, WebSocketLimits(send_queue_bytes=200_000))
        assert line.sink.closed == [EndReason.CALLER_LOST]
        assert len(line.wire.sent) == 1

    def test_one_that_never_reads_again_does_not_hold_the_close_up(self) -> None:
        async def main() -> Line:
            line = Line(WebSocketLimits(send_queue_bytes=100_000))
            running = await line.open()
            line.wire.reads.clear()
            for _ in range(50):
                line.leg.play(chunk(100))
            async with asyncio.timeout(5):
                await running
            return line

        line = run_virtual(main())
        assert line.sink.closed == [EndReason.CALLER_LOST]


class TestEnds:
    """However it ends, the call hears of it once, unless it was the call that ended it."""

    @pytest.mark.parametrize(
        ("how", "reason"),
        [
            ({"reason": ""}, EndReason.CALLER_HANGUP),
            ({"code": 1005, "reason": ""}, EndReason.CALLER_HANGUP),
            ({"code": 1001, "reason": "bye"}, EndReason.CALLER_HANGUP),
            ({"code": 1005}, EndReason.CALLER_LOST),
            ({"code": 1009, "reason": "message too big"}, EndReason.CALLER_ABUSE),
        ],
    )
    def test_the_client_goes(self, how: dict[str, Any], reason: EndReason) -> None:
        async def test(line: Line) -> None:
            line.wire.go(**how)
            await settle()
            assert line.sink.closed == [reason]
            line.leg.send(CLEARED)
            line.leg.close(reason)

        line = on_a_line(test)
        assert line.sink.closed == [reason]
        assert line.wire.sent == []

    @pytest.mark.parametrize(
        ("reason", "code"),
        [
            (EndReason.API_HANGUP, 1000),
            (EndReason.SHUTDOWN, 1001),
            (EndReason.SESSION_EXPIRED, 1001),
            (EndReason.MODEL_FAILED, 1011),
            (EndReason.CALLER_ABUSE, 1008),
        ],
    )
    def test_the_call_closes_after_what_it_said_before(self, reason: EndReason, code: int) -> None:
        async def test(line: Line) -> None:
            line.leg.send(CLEARED)
            line.leg.close(reason)
            line.leg.close(EndReason.API_HANGUP)
            line.leg.send(CLEARED)
            line.wire.say(append(b"\0\0"))
            await settle()

        line = on_a_line(test)
        assert len(line.wire.sent) == 1
        assert line.wire.closed == (code, reason.value)
        assert line.sink.closed == []
        assert line.sink.audio == []

    def test_a_call_that_ended_before_the_upgrade_closes_at_once(self) -> None:
        async def main() -> Line:
            line = Line(WebSocketLimits())
            line.leg.attach(line.sink)
            line.leg.close(EndReason.MODEL_FAILED)
            await (await line.open())
            return line

        line = run_virtual(main())
        assert line.wire.closed == (1011, "model_failed")
        assert line.sink.ready == 0

    def test_a_bug_behind_it_ends_the_connection_and_the_call(self) -> None:
        async def main() -> Line:
            line = Line(WebSocketLimits())

            def fail(_: bytes) -> None:
                raise ZeroDivisionError

            line.sink.on_caller_audio = fail  # type: ignore[method-assign]
            running = await line.open()
            line.wire.say(append(b"\0\0"))
            with pytest.raises(ZeroDivisionError):
                await running
            return line

        line = run_virtual(main())
        assert line.sink.closed == [EndReason.MODEL_FAILED]
        assert line.wire.closed == (1011, "internal_error")

    def test_the_server_cancels_it(self) -> None:
        async def main() -> Line:
            line = Line(WebSocketLimits())
            running = await line.open()
            await settle()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            return line

        line = run_virtual(main())
        assert line.sink.closed == [EndReason.CALLER_LOST]


def test_it_is_a_caller_leg() -> None:
    assert WebSocketLeg.transport == "websocket"
    assert WebSocketLeg.clocked is False
    assert isinstance(CLEARED, ServerEvent)
