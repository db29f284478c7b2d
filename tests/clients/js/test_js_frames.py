"""What the tests beside this one rest on: the check of every frame can fail and says why; the packages are pinned."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.clients.js.run import in_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_frame_the_package_would_not_understand_is_named_with_what_is_wrong() -> None:
    voice = {"type": "response.created", "event_id": "e", "response": {"audio": {"output": {"voice": {"id": "v"}}}}}
    part = {
        "type": "response.content_part.added",
        "event_id": "e",
        "item_id": "i",
        "content_index": 0,
        "output_index": 0,
        "response_id": "r",
        "part": {"type": "output_audio"},
    }
    wrong = await in_node("judged", "offences", frames=[voice, part, {"type": "response.invented"}, {"no": "type"}, 7])
    assert [(one["type"], one["issues"][0].split(":")[0]) for one in wrong] == [
        ("response.created", "response.audio.output.voice"),
        ("response.content_part.added", "part.type"),
        ("response.invented", "no event the package knows"),
        (None, "neither JSON nor an object with a type"),
        (None, "neither JSON nor an object with a type"),
    ]


async def test_frames_it_understands_and_the_five_kinds_it_hands_on_pass() -> None:
    known = {"type": "input_audio_buffer.cleared", "event_id": "e"}
    handed_on = {"type": "response.mcp_call.failed", "event_id": "e"}
    assert await in_node("judged", "offences", frames=[known, handed_on]) == []


async def test_the_list_of_kinds_it_hands_on_holds_none_that_it_has_learnt() -> None:
    assert await in_node("judged", "learnt") == []


async def test_the_lock_file_names_every_package_with_version_and_checksum_and_no_registry() -> None:
    lock = json.loads(Path(__file__).with_name("package-lock.json").read_text())
    wanted = json.loads(Path(__file__).with_name("package.json").read_text())["dependencies"]
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [version for version in wanted.values() if not re.fullmatch(r"\d+\.\d+\.\d+", version)]
