from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.brain.engines.listening import until
from tests.brain.grammars import YES_NO
from tests.brain.speech import say, silence

from perhop.brain.assembly import build
from perhop.brain.dialogue import DialogueProvider
from perhop.brain.espeak import EspeakSynthesiser
from perhop.brain.http import HttpMindProvider, HttpRecogniser, HttpSynthesiser
from perhop.brain.pocketsphinx import PocketsphinxRecogniser
from perhop.brain.providers import Expectation
from perhop.config import BrainSettings
from perhop.tools.registry import ToolRegistry


async def test_the_built_in_brain_hears_and_speaks_once_started() -> None:
    brain = build(BrainSettings())
    assert not brain.ready
    await brain.start()
    try:
        assert brain.ready
        assert [status.name for status in brain.status()] == ["pocketsphinx", "espeak"]
        spoken = [pcm async for pcm in brain.voice.speak("Maybe later.", voice="coral", speed=1.0)]
        speech = silence(300) + b"".join(spoken)
        assert max(brain.detector.open().feed(speech)) > 0.9
        utterance = brain.recogniser.open(Expectation(grammar=YES_NO), lambda _: None)
        utterance.feed(speech)
        assert (await utterance.finish()).text == "maybe later"
        pid = brain.status()[1].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not brain.ready)
        await until(lambda: brain.ready)
    finally:
        await brain.close()
    assert not brain.ready


async def test_each_engine_can_be_behind_a_url() -> None:
    url = "http://127.0.0.1:1/v1"
    local = build(BrainSettings())
    assert isinstance(local.recogniser, PocketsphinxRecogniser)
    assert isinstance(local.minds, DialogueProvider)
    assert isinstance(local.voice, EspeakSynthesiser)
    served = build(BrainSettings.model_validate({"stt_url": url, "llm_url": url, "tts_url": url, "llm_key": "sk-x"}))
    assert isinstance(served.recogniser, HttpRecogniser)
    assert isinstance(served.minds, HttpMindProvider)
    assert isinstance(served.voice, HttpSynthesiser)
    await served.start()
    assert served.ready
    assert served.status() == []
    await served.close()


async def test_an_engine_imports_neither_web_framework_nor_pydantic() -> None:
    program = (
        "import sys, perhop.brain.engines.worker, perhop.brain.engines.sphinx, perhop.brain.engines.dictation, "
        "perhop.brain.engines.speech; print(*sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    heavy = {"fastapi", "starlette", "pydantic", "uvicorn", "httpx", "structlog", "asyncio", "onnxruntime", "av"}
    assert not heavy & set(printed.decode().split())


@pytest.mark.parametrize("voice", ["en-us+f2", "en-us+adam"])
async def test_the_question_of_the_demo_page_is_understood_with_the_grammar_of_its_agent(voice: str) -> None:
    registry = ToolRegistry(folder=Path(__file__).parents[2])
    names = ("search_listings", "book_viewing", "send_details")
    tools = registry.load_all(f"examples.oneroof.tools:{name}" for name in names)
    mind = DialogueProvider().open()
    mind.configure(instructions="", tools=[tool.to_function() for tool in tools.values()])
    brain = build(BrainSettings())
    await brain.start()
    try:
        utterance = brain.recogniser.open(mind.expect([]), lambda _: None)
        utterance.feed(say("I'd like to see a two bedroom in Oakland on Friday", voice=voice))
        assert (await utterance.finish()).text == "I'd like to see a two bedroom in Oakland on Friday"
    finally:
        await brain.close()
