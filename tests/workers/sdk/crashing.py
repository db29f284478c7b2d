"""A worker that dies where it hurts: before its transaction is committed, after it, or while it is sending."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sqlalchemy import event
from tests.workers.sdk.ledger import make_worker

from perhop import WorkerContext
from perhop.workers.sdk import Effect

MOMENT = os.environ.get("CRASH", "")
SENT = Path(os.environ.get("SENT", "/dev/null"))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def before_commit(context: WorkerContext) -> None:
    context.effects.add("idempotent", {})
    context.effects.add("blind", {})
    if MOMENT == "before commit":
        die()
    if MOMENT == "after commit":
        event.listen(context.session.sync_session, "after_commit", lambda _: die())


worker = make_worker(before_commit)


def note(effect: Effect) -> None:
    with SENT.open("a") as file:
        file.write(f"{effect.channel} {effect.key}\n")


@worker.deliver("idempotent", idempotent=True, timeout_s=0.5)
async def send(effect: Effect) -> None:
    note(effect)
    if MOMENT == "sending idempotent":
        die()


@worker.deliver("blind", idempotent=False, timeout_s=0.5)
async def send_blindly(effect: Effect) -> None:
    note(effect)
    if MOMENT == "sending blind":
        die()
