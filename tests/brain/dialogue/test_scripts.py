"""Whole conversations, kept as text: ``>`` is said, ``!`` is called, ``<`` is part of what is heard in return."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.brain.dialogue.agents import ONEROOF, PLAIN, RECEPTION, run_oneroof, run_plain, run_reception
from tests.brain.dialogue.talk import Talk

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))
AGENTS = {"oneroof": (ONEROOF, run_oneroof), "reception": (RECEPTION, run_reception), "plain": (PLAIN, run_plain)}


@dataclass
class Turn:
    said: str
    calls: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)


def conversations(path: Path) -> list[tuple[str, list[Turn]]]:
    """The conversations of a script, each with its agent."""
    found: list[tuple[str, list[Turn]]] = []
    for line in path.read_text().splitlines():
        mark, _, rest = line.partition(" ")
        match mark:
            case "agent":
                found.append((rest, []))
            case ">":
                found[-1][1].append(Turn(rest))
            case "!":
                found[-1][1][-1].calls.append(rest)
            case "<":
                found[-1][1][-1].heard.append(rest)
            case "#" | "":
                pass
            case _:
                raise ValueError(f"{path.name}: {line!r}")
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
async def test_conversation(path: Path) -> None:
    for agent, turns in conversations(path):
        talk = Talk(*AGENTS[agent])
        previous = ""
        for turn in turns:
            before = len(talk.calls)
            heard = await talk.say(turn.said)
            where = f"{path.stem}: {turn.said!r} → {heard!r}, {talk.calls[before:]}"
            called = [f"{name} {json.dumps(arguments, sort_keys=True)}" for name, arguments in talk.calls[before:]]
            expected = [
                f"{c.split(' ', 1)[0]} {json.dumps(json.loads(c.split(' ', 1)[1]), sort_keys=True)}" for c in turn.calls
            ]
            assert called == expected, where
            for part in turn.heard:
                assert part in heard, where
            assert heard != previous or called or turn.said.startswith("repeat"), where
            previous = heard


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
async def test_the_state_is_a_function_of_the_items(path: Path) -> None:
    """A mind that sees the whole conversation at once is where the one is that went through it."""
    for agent, turns in conversations(path):
        talk = Talk(*AGENTS[agent])
        for turn in turns:
            await talk.say(turn.said)
            fresh = Talk(*AGENTS[agent])
            assert fresh.state_after(talk.items) == talk.state_after(talk.items)
            assert fresh.mind.expect(talk.items) == talk.mind.expect(talk.items)
            assert fresh.mind.judge(talk.items, "on friday") == talk.mind.judge(talk.items, "on friday")
