"""Background work of the process: restarted with back-off, ended with the app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 30.0
T = TypeVar("T")

Worker = Callable[[], Awaitable[None]]


async def keep_running(name: str, worker: Worker) -> None:
    """Run a worker again whenever it fails or returns; the first failure of a row is logged."""
    pause_s = 0.5
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await worker()
        except Exception as error:  # noqa: BLE001 - supervised top
            lasted_s = asyncio.get_running_loop().time() - began
            pause_s = 0.5 if lasted_s > _LONGEST_PAUSE_S else pause_s
            level = logging.WARNING if pause_s == 0.5 else logging.DEBUG
            _log.log(level, "worker %s failed, starting it again", name, exc_info=error)
        await asyncio.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)


@asynccontextmanager
async def running(workers: Mapping[str, Worker]) -> AsyncIterator[None]:
    """Run the workers for the length of the block."""
    tasks = [
        asyncio.create_task(keep_running(name, worker), name=name)
        for name, worker in workers.items()
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Finish a piece of work even if the caller is cancelled meanwhile, then be cancelled.

    A database operation that is cut off in the middle costs its connection (and a thread of
    aiosqlite may answer to a loop that is gone): shutdown waits for the piece in hand instead.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled() and task.exception() is not None:
            _log.warning("failed while it was being cancelled", exc_info=task.exception())
        raise cancelled
    return task.result()
