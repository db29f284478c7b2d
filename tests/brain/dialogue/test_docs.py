"""The example of ``docs/agents.md`` talks as it says there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.brain.dialogue.talk import Talk

from perhop.tools import FunctionTool

PAGE = Path(__file__).parents[3] / "docs" / "agents.md"


async def test_the_example_talks_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    module = ModuleType("documented_example")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code.group(1).replace("from __future__", "#"), module.__dict__)
    tools = {name: value for name, value in vars(module).items() if isinstance(value, FunctionTool)}

    def run(name: str, arguments: dict[str, Any]) -> str:
        return json.dumps(tools[name](**tools[name].validate(arguments)), default=str)

    talk = Talk([tool.to_function() for tool in tools.values()], run)
    heard = [await talk.say(text) for text in ("I'd like to see a two bedroom in Oakland on Friday", "Book it", "Yes")]
    documented = " ".join(PAGE.read_text().rpartition("```")[2].replace(">", " ").split())
    said = re.findall(r"\*(.+?)\*", documented)
    assert len(said) == 3
    for sentence, reply in zip(said, heard, strict=True):
        assert reply.startswith(sentence)
