"""What workers are made with: ``from perhop import Worker`` and the names below.

A worker is an ordinary process with tools, tables of its own, and a guarantee: what a tool with an effect writes
through its session happens once for a function call, however often the call arrives.
"""

from __future__ import annotations

from perhop.workers.sdk.context import Outbox, WorkerContext
from perhop.workers.sdk.delivery import Effect, NotSentError, RefusedError, Settled
from perhop.workers.sdk.host import WorkerHost
from perhop.workers.sdk.metrics import WorkerMetrics
from perhop.workers.sdk.worker import Background, Site, Worker

__all__ = [
    "Background",
    "Effect",
    "NotSentError",
    "Outbox",
    "RefusedError",
    "Settled",
    "Site",
    "Worker",
    "WorkerContext",
    "WorkerHost",
    "WorkerMetrics",
]
