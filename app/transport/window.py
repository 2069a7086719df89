"""How many bytes of transactions may be under way at once: as many as the line to the brokers carries in good time.

All lanes of a worker share one line. If all of them write at once on a slow one, all of them run out of time together:
of their requests, and of the minute after which Kafka aborts a transaction. They would write the same bytes again for
ever. So they take turns there, with smaller requests; where the line is fast nobody waits.

    a transaction that ran out of time, or took long    half of what was under way with it
    one that was quick                                  twice as much again, up to MOST_BYTES
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

MOST_BYTES = 4 << 20
LEAST_BYTES = 16 << 10
_QUICK = 0.25
"""Of what is long: twice as much would not take long either."""


class Window:
    """What may be under way, shared by all who write over one line."""

    def __init__(self, *, long_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        """long_s: what a transaction should not take; clock: seconds that only go forward."""
        self.bytes = MOST_BYTES
        self._long_s = long_s
        self._clock = clock
        self._under_way = 0
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    @contextlib.asynccontextmanager
    async def room_for(self, n_bytes: int) -> AsyncIterator[None]:
        """Wait in line until *n_bytes* may be under way too, or nothing else is; they are until the block ends."""
        async with self._turn:
            while self._under_way and self._under_way + n_bytes > self.bytes:
                self._left.clear()
                await self._left.wait()
            self._under_way += n_bytes
        with_it, began_s = self._under_way, self._clock()
        try:
            yield
        except Exception:
            self._judge(with_it, self._clock() - began_s, done=False)
            raise
        else:
            self._judge(with_it, self._clock() - began_s, done=True)
        finally:
            self._under_way -= n_bytes
            self._left.set()

    def _judge(self, n_bytes: int, took_s: float, *, done: bool) -> None:
        """Whatever fails early, for want of a coordinator or of an epoch, says nothing of the line."""
        if took_s >= self._long_s:
            self.bytes = min(self.bytes, max(LEAST_BYTES, n_bytes // 2))
        elif done and took_s < _QUICK * self._long_s:
            self.bytes = min(MOST_BYTES, self.bytes * 2)
