"""Where models run: short runs in place, long ones in a thread, so that the event loop goes on meanwhile.

A hop to a thread and back takes a tenth of a millisecond, and more where the interpreter is busy; a run that is shorter
is not worth it. What a run will take is told by those before it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.scoring import PreparedBatch, Scores

LONG_S = 0.001
_WEIGHT = 0.2
"""Of the latest run in the mean over all."""


class Runs:
    """Runs the models of one pipeline, one batch at a time, and knows how long each version takes for a row."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """clock: seconds that only go forward."""
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._row_s: dict[int, float] = {}

    def is_long(self, prepared: PreparedBatch) -> bool:
        """Whether *prepared* will take long: by the slowest of its versions, and yes for one that never ran."""
        if not len(prepared):
            return False
        slowest_s = max(self._row_s.get(version, LONG_S) for version in prepared.versions)
        return len(prepared) * slowest_s >= LONG_S

    async def run(self, prepared: PreparedBatch) -> tuple[list[Scores], float]:
        """What `prepared.run()` gives, and the seconds that it took."""
        if not self.is_long(prepared):
            return self._timed(prepared)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, prepared)

    def _timed(self, prepared: PreparedBatch) -> tuple[list[Scores], float]:
        began_s = self._clock()
        answers = prepared.run()
        took_s = self._clock() - began_s
        if n_rows := len(prepared):
            for version in prepared.versions:
                known_s = self._row_s.get(version, took_s / n_rows)
                self._row_s[version] = known_s + _WEIGHT * (took_s / n_rows - known_s)
        return answers, took_s

    def close(self) -> None:
        """Let go of the thread once it is idle."""
        self._thread.shutdown(wait=False, cancel_futures=True)
