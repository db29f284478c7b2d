"""Random walks through a session, and the rules that hold on every one of them.

A walk is a client, a caller and a host who do whatever comes to their mind, in any order: legal, stale or refused. The
:class:`~tests.realtime.rules.Rules` watch what the server says and what it asks for. Which way a walk goes is decided
by a ``choose`` function, so that a seeded generator and hypothesis can both drive it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
from tests.realtime.helpers import counted_ids, pcm
from tests.realtime.rules import Rules

from perhop.realtime.effects import (
    McpCallDone,
    McpCallFailed,
    McpListFailed,
    McpToolsListed,
    OutputAudio,
    OutputDone,
    OutputFailed,
    OutputFunctionCall,
    OutputText,
    Transcript,
    TranscriptFailed,
    TurnHint,
    VoiceActivity,
)
from perhop.realtime.events import parse_client_event
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.mcp.effects import McpToolInfo
from perhop.realtime.rates import RateLimits
from perhop.realtime.server import Output, RealtimeServer, ServerLimits
from perhop.realtime.session import SessionConfig

Choose = Callable[[int], int]
"""``choose(n)`` is a number from 0 to n - 1."""

LIMITS = ServerLimits(
    max_items=40,
    max_item_audio=200_000,
    max_buffer_ms=20_000,
    max_parallel=3,
    max_input_tokens=200,
    rates=RateLimits(responses_per_minute=60, tokens_per_minute=100_000),
)

SEEK = McpToolInfo("seek")
MAPS = {"type": "mcp", "server_label": "maps", "server_url": "https://maps.example/"}

UPDATES: tuple[dict[str, Any], ...] = (
    {"audio": {"input": {"turn_detection": None}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 100}}}},
    {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}},
    {"audio": {"input": {"transcription": {"model": "any"}}}},
    {"audio": {"input": {"transcription": None}}},
    {"output_modalities": ["text"]},
    {"output_modalities": ["audio"]},
    {"audio": {"output": {"voice": "ash"}}},
    {"truncation": "auto"},
    {"truncation": "disabled"},
    {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 60}}},
    {"max_output_tokens": 4},
    {"max_output_tokens": "inf"},
    {"tools": [{**MAPS, "require_approval": "never"}]},
    {"tools": [{**MAPS, "require_approval": "always"}]},
    {"tools": []},
)


class Walk:
    """One walk."""

    def __init__(self, choose: Choose, *, official: bool = False) -> None:
        self.choose = choose
        self.rules = Rules(official=official)
        self.now = 0.0
        self.heard_ms = 0
        self.mcp = McpRules(
            hosts=frozenset({"*"}),
            follow_up=self.pick(("client", "server")),
            max_calls=6,
            max_rounds=2,
            list_wait_s=2.0,
        )
        tools = self.pick(([], [{**MAPS, "require_approval": "never"}], [{**MAPS, "require_approval": "always"}]))
        config = SessionConfig.default().merged({"type": "realtime", "tools": tools})
        self.server = RealtimeServer(config=config, now=0.0, new_id=counted_ids(), limits=LIMITS, mcp=self.mcp)
        self.watch(self.server.start(0.0))
        if self.choose(3):
            self.tools_listed()
        self.steps: tuple[Callable[[], None], ...] = (
            self.speak, self.speak, self.speak, self.pause, self.pause, self.pause, self.hint, self.whole_file,
            self.recognise, self.recognise, self.recognise, self.recognition_fails,
            self.host_speaks, self.host_speaks, self.host_speaks, self.host_plays, self.host_plays, self.host_calls,
            self.host_only_calls, self.host_only_calls, self.tools_listed, self.call_ends, self.call_ends,
            self.host_finishes, self.host_finishes, self.host_fails, self.host_is_confused, self.decide, self.decide,
            self.ask, self.ask, self.ask, self.ask_out_of_band, self.cancel, self.cancel_by_name,
            self.write, self.send_audio, self.output, self.delete, self.truncate, self.retrieve,
            self.commit, self.clear, self.update, self.update, self.wait,
        )  # fmt: skip

    def run(self, steps: int) -> None:
        """Takes steps, then lets everybody finish what they began."""
        for _ in range(steps):
            self.now += self.choose(50) / 100
            self.pick(self.steps)()
            assert self.server.live_response_id == self.rules.live
        self.finish()

    def finish(self) -> None:
        """Every answer that is due is given: nothing may be left open."""
        for _ in range(10):
            for item_id in sorted(self.rules.unheard):
                self.heard(Transcript(item_id, "words"))
            while self.rules.listings or self.rules.calls or self.rules.requests:
                self.tools_listed()
                self.call_ends()
                self.decide()
            for response_id in self.working:
                self.through(OutputDone(response_id))
        assert [seen for seen in self.rules.responses.values() if not seen.done] == [], "every response ends"
        assert self.server.live_response_id is None
        assert not self.rules.unfinished, "every item ends"

    def pick(self, options: Any) -> Any:
        return options[self.choose(len(options))]

    def watch(self, outputs: list[Output]) -> list[dict[str, Any]]:
        self.rules.now = self.now
        return self.rules.watch(outputs)

    def give(self, brain_input: Any) -> list[str]:
        """The host says something; an error can never come of it."""
        kinds = [frame["type"] for frame in self.watch(self.server.receive(brain_input, self.now))]
        assert "error" not in kinds
        return kinds

    def send(self, type_: str, **fields: Any) -> list[dict[str, Any]]:
        """The client sends something; it is refused as a whole or not at all."""
        event = parse_client_event(orjson.dumps({"type": type_, "event_id": "mine", **fields}))
        frames = self.watch(self.server.receive(event, self.now))
        errors = [frame["error"] for frame in frames if frame["type"] == "error"]
        if errors:
            assert len(frames) == 1, "a refused event has no other consequence"
            assert errors[0]["event_id"] == "mine"
        return frames

    @property
    def working(self) -> list[str]:
        """Responses the host is producing."""
        seen = self.rules.responses.items()
        return [name for name, r in seen if r.started and not (r.done or r.stopped or r.through)]

    # -- the caller ---------------------------------------------------------------------------------------------------

    def hear(self, probability: float, windows: int) -> list[str]:
        kinds: list[str] = []
        for _ in range(windows):
            self.heard_ms += 32
            self.watch(self.server.append_audio(pcm(32), self.now))
            kinds += self.give(VoiceActivity(probability, self.heard_ms))
        return kinds

    def speak(self) -> None:
        detection = self.server.config.audio.input.turn_detection
        before = self.rules.live
        kinds = self.hear(0.95, 2 + self.choose(8))
        if "input_audio_buffer.speech_started" in kinds and before is not None:
            interrupted = detection is not None and detection.interrupt_response
            assert ("response.done" in kinds) is interrupted, "speech interrupts when the session says so"

    def pause(self) -> None:
        self.hear(0.01, 1 + self.choose(30))

    def hint(self) -> None:
        if self.rules.speech:
            self.give(TurnHint(self.rules.speech, self.pick(("complete", "unknown", "incomplete"))))

    def whole_file(self) -> None:
        self.watch(self.server.append_audio(pcm(32 * 40), self.now))
        for probability in [0.01] * 5 + [0.95] * 10 + [0.01] * 10 + [0.95] * 5 + [0.01] * 10:
            self.heard_ms += 32
            self.give(VoiceActivity(probability, self.heard_ms))

    # -- the host -----------------------------------------------------------------------------------------------------

    def heard(self, transcript: Transcript | TranscriptFailed) -> None:
        self.rules.unheard.pop(transcript.item_id)
        self.give(transcript)

    def recognise(self) -> None:
        if self.rules.unheard:
            self.heard(Transcript(self.pick(sorted(self.rules.unheard)), self.pick(("", "yes", "two bedrooms"))))

    def recognition_fails(self) -> None:
        if self.rules.unheard:
            self.heard(TranscriptFailed(self.pick(sorted(self.rules.unheard)), "lost", "lost"))

    def host_speaks(self) -> None:
        if self.working:
            assert self.give(OutputText(self.pick(self.working), "some words ")), "what the host says is shown"

    def host_plays(self) -> None:
        if self.working:
            self.give(OutputAudio(self.pick(self.working), pcm(20 + self.choose(400))))

    def host_calls(self) -> None:
        if self.working:
            call = OutputFunctionCall(self.pick(self.working), self.pick(("find", "seek", "seek")), "{}")
            assert self.give(call), "a call is shown"

    def host_only_calls(self) -> None:
        """The whole answer is a call, which is what models mostly do."""
        if self.working:
            response_id = self.pick(self.working)
            self.give(OutputFunctionCall(response_id, "seek", "{}"))
            self.through(OutputDone(response_id))

    def tools_listed(self) -> None:
        if self.rules.listings:
            item_id = self.pick(sorted(self.rules.listings))
            self.rules.listings.discard(item_id)
            listed = McpToolsListed(item_id, (SEEK,))
            self.give(self.pick((listed, listed, listed, McpListFailed(item_id, "lost"))))

    def call_ends(self) -> None:
        if self.rules.calls:
            item_id = self.pick(sorted(self.rules.calls))
            response_id = self.rules.calls.pop(item_id)
            owner = self.rules.responses[response_id]
            rounds = owner.rounds
            kinds = self.give(self.pick((McpCallDone(item_id, "1"), McpCallFailed(item_id, "http_error", "lost", 500))))
            assert kinds[0] in ("response.mcp_call.completed", "response.mcp_call.failed")
            if owner.through and not owner.done:
                assert self.rules.waits_for(response_id), "a response whose calls are through ends or goes on"
            assert owner.rounds == rounds or self.mcp.follow_up == "server"

    def decide(self) -> None:
        """The client approves a call, or does not."""
        if self.rules.requests:
            request_id = self.pick(sorted(self.rules.requests))
            self.rules.requests.discard(request_id)
            item = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": self.choose(2) == 0}
            assert self.send("conversation.item.create", item=item)[0]["type"] == "conversation.item.added"

    def through(self, ending: OutputDone | OutputFailed) -> list[str]:
        seen = self.rules.responses[ending.response_id]
        seen.through = True
        rounds = seen.rounds
        kinds = self.give(ending)
        if isinstance(ending, OutputFailed) or not self.rules.waits_for(ending.response_id):
            assert seen.done or seen.rounds > rounds, "a response ends or goes on when its host is through"
        else:
            assert not seen.done, "a response waits for its calls"
        return kinds

    def host_finishes(self) -> None:
        if self.working:
            self.through(OutputDone(self.pick(self.working), self.pick((None, None, "content_filter"))))

    def host_fails(self) -> None:
        if self.working:
            self.through(OutputFailed(self.pick(self.working), "lost", "lost"))

    def host_is_confused(self) -> None:
        """It speaks of a response that is closed, or that it was not asked for yet."""
        seen = self.rules.responses.items()
        strangers = [name for name, r in seen if r.done or not r.started or r.through]
        if not strangers:
            return
        name = self.pick(strangers)
        said = self.pick(
            (
                OutputText(name, "late"),
                OutputAudio(name, pcm(20)),
                OutputFunctionCall(name, "late", "{}"),
                OutputDone(name),
                OutputFailed(name, "late", "late"),
            )
        )
        assert self.give(said) == [], "what nobody asked for goes nowhere"

    # -- the client ---------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        busy = self.rules.live is not None
        frames = self.send("response.create", response=self.pick(({}, {"max_output_tokens": 8})))
        if busy:
            assert frames[0]["error"]["code"] == "conversation_already_has_active_response"
        else:
            assert frames[0]["type"] == "response.created", "there is room for a response"

    def ask_out_of_band(self) -> None:
        given: list[dict[str, Any]] = [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
        ]
        given += [{"type": "item_reference", "id": item_id} for item_id in self.rules.order[-2:]]
        response: dict[str, Any] = {"conversation": "none", "output_modalities": ["text"]}
        if self.choose(2):
            response["input"] = given
        self.send("response.create", response=response)

    def cancel(self) -> None:
        live = self.rules.live
        frames = self.send("response.cancel")
        if live is None:
            assert frames[0]["error"]["code"] == "response_cancel_not_active"
        else:
            assert self.rules.responses[live].done, "a cancelled response ends at once"

    def cancel_by_name(self) -> None:
        if self.rules.responses:
            name = self.pick(sorted(self.rules.responses))
            was_live = not self.rules.responses[name].done
            frames = self.send("response.cancel", response_id=name)
            assert (frames[0]["type"] != "error") is was_live
            assert self.rules.responses[name].done

    def write(self) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        after = self.pick([None, "root", *self.rules.order[-3:]])
        self.send("conversation.item.create", item=item, previous_item_id=after)

    def send_audio(self) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA" * 600}]}
        self.send("conversation.item.create", item=item)

    def output(self) -> None:
        self.send("conversation.item.create", item={"type": "function_call_output", "call_id": "call_1", "output": "1"})

    def delete(self) -> None:
        if self.rules.order:
            item_id = self.pick(self.rules.order)
            self.send("conversation.item.delete", item_id=item_id)
            assert item_id not in self.rules.order

    def truncate(self) -> None:
        if self.rules.order:
            self.send(
                "conversation.item.truncate",
                item_id=self.pick(self.rules.order),
                content_index=0,
                audio_end_ms=self.choose(400),
            )

    def retrieve(self) -> None:
        if self.rules.order:
            self.send("conversation.item.retrieve", item_id=self.pick(self.rules.order))

    def commit(self) -> None:
        self.send("input_audio_buffer.commit")

    def clear(self) -> None:
        self.send("input_audio_buffer.clear")

    def update(self) -> None:
        detecting = self.server.config.audio.input.turn_detection is not None
        frames = self.send("session.update", session={"type": "realtime", **self.pick(UPDATES)})
        if detecting and self.server.config.audio.input.turn_detection is None and frames[0]["type"] != "error":
            self.rules.speech = None  # nobody will say that it stopped

    def wait(self) -> None:
        deadline = self.server.next_deadline()
        if deadline is not None:
            self.now = max(self.now, deadline)
            unheard = self.rules.unheard
            for item_id in [name for name, since in unheard.items() if since + LIMITS.transcript_wait_s <= self.now]:
                del unheard[item_id]  # waited for long enough
            self.watch(self.server.on_timer(self.now))
            assert self.server.next_deadline() != deadline, "what was due is done"


def random_walk(seed: int, steps: int, *, official: bool = False) -> None:
    """A walk that can be taken again."""
    generator = random.Random(seed)
    Walk(lambda n: generator.randrange(n), official=official).run(steps)
