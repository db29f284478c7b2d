"""What observers of calls are told, as metrics and as traces; and that nothing said is in either."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.call.helpers import Caller, PuppetModel, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason
from perhop.call.manager import CallManager
from perhop.call.observer import Observers, Usage
from perhop.call.observers.hops import HopObserver
from perhop.call.observers.metrics import MetricsObserver
from perhop.call.observers.traces import TraceObserver
from perhop.realtime.effects import StartResponse
from perhop.realtime.events import ConversationItemDelete
from perhop.telemetry.metrics import Metrics
from perhop.tools.runner import ToolRunner
from perhop.tools.tool import tool

CANARY = "canary-word"


class Watched:
    """A call with a tool, and all that is told of it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.spans = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.hops = HopObserver()
        self.now = 0.0
        self.observers = Observers(
            MetricsObserver(self.metrics),
            self.hops,
            TraceObserver(provider.get_tracer("test"), clock=lambda: self.now, wall=lambda: 1_000_000 + self.now),
        )
        self.caller = Caller()
        ids = counting_ids()
        self.model = PuppetModel(self.answer, clock=lambda: self.now, new_id=ids)

        @tool
        def find(where: str) -> str:
            """Finds homes.

            Args:
                where: in which town.
            """
            return f"{CANARY} in {where}"

        manager = CallManager(
            {"local": ModelKind(lambda: self.model)},
            ToolRunner(),
            observer=self.observers,
            clock=lambda: self.now,
            new_id=ids,
        )
        self.hops.watch(manager.live, self.metrics.registry)
        agent = Agent(name="homes", tools={"find": find})
        self.call: Call = manager.start(self.caller, agent=agent, session={}, tenant="acme")
        self.call.on_caller_ready()

    def answer(self, model: PuppetModel, request: StartResponse) -> None:
        if len(model.asked) == 1:
            model.call_function(request.response_id, "find", f'{{"where":"{CANARY}"}}')
        else:
            model.say(request.response_id, 40)

    def speak(self) -> None:
        for probability in [0.95] * 12 + [0.01] * 20:
            self.now += 0.032
            self.model.voice(probability)

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def span(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.spans.get_finished_spans() if span.name == name)
        return found


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """A call in which a tool was run, an error made, and the caller hung up."""
    whole: list[Watched] = []

    async def main() -> None:
        import asyncio

        it = Watched()
        it.speak()
        await asyncio.sleep(1)  # the tool
        it.caller.tick(5)
        assert it.figure("perhop_model_legs_live", model="local") == 1
        it.now += 1
        it.call.on_caller_event(ConversationItemDelete(item_id=CANARY))
        it.observers.used(it.call, Usage("priced", {"input_text": 5, "output_audio": 0}, 0.25))
        it.observers.renewed(it.call, forced=True, gap_s=0.02)
        it.observers.reconnected(it.call, seconds=0.4, attempts=2)
        it.observers.failed_over(it.call, "other")
        it.observers.resumed(it.call, seconds=3.0)
        it.observers.audio_lost(it.call, seconds=1.5)
        it.call.hang_up(EndReason.API_HANGUP)
        whole.append(it)

    run_virtual(main())
    yield whole[0]


def test_calls_and_what_happens_in_them_are_counted(watched: Watched) -> None:
    assert watched.figure("perhop_calls_started_total", transport="webrtc", agent="homes") == 1
    assert watched.figure("perhop_calls_ended_total", transport="webrtc", reason="api_hangup") == 1
    assert watched.figure("perhop_turns_total", outcome="completed") == 1
    assert watched.figure("perhop_tools_total", tool="find", code="ok") == 1
    assert watched.figure("perhop_renewals_total", forced="yes") == 1
    assert watched.figure("perhop_reconnects_total") == 1
    assert watched.figure("perhop_failovers_total", model="other") == 1
    assert watched.figure("perhop_resumes_total") == 1
    assert watched.figure("perhop_caller_audio_lost_seconds_total") == 1.5
    assert watched.figure("perhop_tokens_total", model="priced", kind="input_text") == 5
    assert watched.figure("perhop_cost_total", model="priced") == 0.25
    assert watched.figure("perhop_first_audio_seconds_count") == 1
    assert watched.figure("perhop_added_delay_ms", of="worst") == 0


def test_a_code_that_is_not_ours_is_counted_as_other(watched: Watched) -> None:
    before = watched.figure("perhop_errors_total", code="other", side="model") or 0
    watched.observers.error(watched.call, CANARY, "model")
    assert watched.figure("perhop_errors_total", code="other", side="model") == before + 1


def test_a_call_is_a_span_and_so_are_its_turns_and_tools(watched: Watched) -> None:
    call, turn, ran = watched.span("call"), watched.span("turn"), watched.span("tool")
    assert call.attributes is not None
    assert turn.attributes is not None
    assert ran.attributes is not None
    assert call.parent is None
    for child in (turn, ran):
        assert child.parent is not None
        assert child.parent.span_id == call.context.span_id
    assert call.attributes["perhop.tenant"] == "acme"
    assert call.attributes["perhop.end_reason"] == "api_hangup"
    assert turn.attributes["perhop.turn.function_calls"] == 1
    assert [event.name for event in turn.events] == ["speech_stopped", "first_audio"]
    assert turn.start_time is not None
    assert turn.end_time is not None
    assert 0 < turn.end_time - turn.start_time < 10e9
    assert ran.attributes["perhop.tool"] == "find"
    happened = {event.name for event in call.events}
    assert {"renewed", "reconnected", "failed_over", "resumed", "audio_lost", "used", "error"} <= happened


def test_nothing_that_was_said_is_counted_or_traced(watched: Watched) -> None:
    assert CANARY not in watched.metrics.render().decode()
    for span in watched.spans.get_finished_spans():
        assert CANARY not in span.to_json()
