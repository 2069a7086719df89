"""What a worker does again and again beside the stream, from its start until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple


class Job(NamedTuple):
    """*work*, again and again, with *every_s* between the end of one and the begin of the next."""

    work: Callable[[], Awaitable[None]]
    every_s: float


class Jobs:
    """Jobs, each in a task of its own; one that fails is told of, unless the worker has begun to stop.

    From then on jobs are overtaken by what they ask: the consumer ends before them, and its answer would be an error.
    """

    def __init__(self, on_failure: Callable[[BaseException], None], is_stopping: Callable[[], bool]) -> None:
        self._on_failure = on_failure
        self._is_stopping = is_stopping
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, jobs: Iterable[Job]) -> None:
        """Begin with *jobs*."""
        for job in jobs:
            task = asyncio.ensure_future(_repeat(job))
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        """End them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._is_stopping():
            self._on_failure(error)


async def _repeat(job: Job) -> None:
    while True:
        await job.work()
        await asyncio.sleep(job.every_s)
