"""Blocking functions beside the event loop, a bounded number of them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Threads"]

R = TypeVar("R")


class Threads:
    """Runs blocking functions in daemon threads, at most ``limit`` at once; the rest wait their turn.

    A thread cannot be stopped from outside. One whose caller gave up keeps its place until its function returns, so
    functions that hang use up places, never memory; and because the threads are daemons they never keep the process
    from exiting, which an executor's threads would.

    Args:
        limit: functions that may run at the same time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.busy = 0
        self._places = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], R]) -> R:
        """Runs ``function`` in a thread, in a copy of the current context, and returns or raises what it did.

        Cancelled while waiting, it never starts; cancelled later, its outcome is dropped.
        """
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[R] = loop.create_future()
        context = contextvars.copy_context()

        def finish(settle: Callable[[], None]) -> None:
            self._leave()
            if not outcome.done():
                settle()

        def work() -> None:
            try:
                result = context.run(function)
            except BaseException as error:  # noqa: BLE001 - handed over to whoever awaits the outcome
                settle = _raiser(outcome, _portable(error))
            else:
                settle = _returner(outcome, result)
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(finish, settle)

        self.busy += 1
        try:
            threading.Thread(target=work, name="perhop-tool", daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self._leave()
            raise
        return await outcome

    def _leave(self) -> None:
        self.busy -= 1
        self._places.release()


def _returner(outcome: asyncio.Future[R], result: R) -> Callable[[], None]:
    return lambda: outcome.set_result(result)


def _raiser(outcome: asyncio.Future[R], error: BaseException) -> Callable[[], None]:
    return lambda: outcome.set_exception(error)


def _portable(error: BaseException) -> Exception:
    """``error`` itself, unless its kind would mean something to the event loop that it does not mean in a thread."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    stand_in = RuntimeError(f"the function raised {type(error).__name__}")
    stand_in.__cause__ = error
    return stand_in.with_traceback(error.__traceback__)
