"""The model of ``soak.py``, in a process of its own: it speaks, calls a tool now and then, and its sessions end soon.

Prints the port it listens on, and serves until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.models.upstream import Upstream

from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Step, call, say
from perhop.realtime.effects import StartResponse
from perhop.realtime.items import FunctionCallOutputItem

KEY = "sk-soak"
TOOL_EVERY = 3
SPEECH_MS = 2_500
FORGET_S = 5.0


class Answers:
    """Answers with speech; every third turn of a session asks a tool first."""

    def __init__(self) -> None:
        self._turns = itertools.count(1)

    def __call__(self, request: StartResponse) -> list[Step]:
        answered = bool(request.context) and isinstance(request.context[-1], FunctionCallOutputItem)
        if not answered and next(self._turns) % TOOL_EVERY == 0:
            return [call("look_up", {"what": "the time"})]
        return [say("This is what I found for you.", ms=SPEECH_MS)]


async def serve(cap_s: float) -> None:
    """Serves until the process ends."""
    upstream = Upstream(lambda: ScriptedModel(Answers(), session_cap_s=cap_s), key=KEY)
    await upstream.listen()
    sys.stdout.write(f"{upstream.port}\n")
    sys.stdout.flush()
    while True:
        await asyncio.sleep(FORGET_S)
        upstream.sessions[:] = upstream.live()  # a session remembers all the audio it was sent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cap", type=float, default=120.0, help="seconds until a session ends")
    asyncio.run(serve(parser.parse_args().cap))
