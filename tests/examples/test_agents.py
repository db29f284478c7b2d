"""The agents in ``perhop.toml`` and in the folders of the examples: complete, alike, and speakable."""

from __future__ import annotations

import re
import string
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from perhop.config import AgentSettings, load_settings
from perhop.tools.base import Tool
from perhop.tools.registry import ToolRegistry

ROOT = Path(__file__).parents[2]
NAMES = ("oneroof", "reception")


def agents_of(file: Path) -> dict[str, AgentSettings]:
    return {agent.name: agent for agent in load_settings(file).agents}


def tools_of(file: Path, name: str) -> dict[str, Tool]:
    settings = load_settings(file)
    return ToolRegistry(folder=settings.base_dir).load_all(agents_of(file)[name].tools)


def all_tools() -> list[Any]:
    file = ROOT / "perhop.toml"
    return [pytest.param(tool, id=tool.name) for name in NAMES for tool in tools_of(file, name).values()]


def test_the_default_configuration_has_both_agents() -> None:
    assert tuple(agents_of(ROOT / "perhop.toml")) == NAMES


def test_names_of_tools_do_not_collide() -> None:
    settings = load_settings(ROOT / "perhop.toml")
    registry = ToolRegistry(folder=settings.base_dir)
    references = [reference for agent in settings.agents for reference in agent.tools]
    registry.load_all(references)
    assert len(registry.names()) == len(references)


@pytest.mark.parametrize("name", NAMES)
def test_an_agents_folder_runs_by_itself_as_the_same_agent(name: str) -> None:
    default = agents_of(ROOT / "perhop.toml")[name]
    own = agents_of(ROOT / "examples" / name / "perhop.toml")
    assert list(own) == [name]
    prefix = f"examples.{name}."
    assert default == own[name].model_copy(update={"tools": tuple(prefix + tool for tool in own[name].tools)})
    by_default, by_itself = (
        tools_of(ROOT / "perhop.toml", name),
        tools_of(ROOT / "examples" / name / "perhop.toml", name),
    )
    assert [tool.to_function() for tool in by_default.values()] == [tool.to_function() for tool in by_itself.values()]


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_introduces_itself(name: str) -> None:
    agent = agents_of(ROOT / "perhop.toml")[name]
    assert agent.title
    assert agent.description
    assert agent.instructions
    assert agent.greeting
    assert len(agent.samples) >= 3
    assert (ROOT / "examples" / name / "README.md").is_file()


@pytest.mark.parametrize("tool", all_tools())
def test_every_tool_is_ready_for_the_built_in_dialogue(tool: Tool) -> None:
    schema = tool.parameters
    assert len(schema["x-samples"]) >= 3
    assert schema["x-say"]
    for name, prop in schema["properties"].items():
        assert prop["description"], f"a model needs to know what {name} is"
        assert prop["x-prompt"].endswith(("?", "."))
    for name in schema.get("required", ()):
        assert any(f"{{{name}}}" in sample for sample in schema["x-samples"]) or name in ("message", "phone")


@pytest.mark.parametrize("tool", all_tools())
def test_what_callers_say_is_in_the_recognisers_dictionary(tool: Tool) -> None:
    said = [re.sub(r"\{\w+\}", "", sample) for sample in tool.parameters["x-samples"]]
    for prop in tool.parameters["properties"].values():
        known = prop.get("x-values", [])
        said += [text for texts in known.values() for text in texts] if isinstance(known, dict) else known
        said += prop.get("enum", [])
    words = {word.strip(string.punctuation).lower() for phrase in said for word in phrase.split()} - {""}
    assert words <= dictionary(), words - dictionary()


@cache
def dictionary() -> frozenset[str]:
    """The words of the CMU dictionary that the recogniser brings along."""
    spec = find_spec("pocketsphinx")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "model" / "en-us" / "cmudict-en-us.dict"
    with file.open(encoding="utf-8") as lines:
        return frozenset(line.split(maxsplit=1)[0] for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_phrases_to_try_are_in_the_dictionary_too(name: str) -> None:
    for phrase in agents_of(ROOT / "perhop.toml")[name].samples:
        words = {word.strip(string.punctuation).lower() for word in phrase.split()}
        assert words <= dictionary(), words - dictionary()


def test_the_tool_in_the_readme_works() -> None:
    readme = (ROOT / "examples" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), namespace)
    assert namespace["weather"]("Oakland") == {"city": "Oakland", "sky": "sunny"}
    assert namespace["weather"].effect == "none"
