"""Who works next: predictions are waited for, counts are not.

While feature batches wait, feedback gets a share of the time and catches up when they are done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

FEEDBACK_SHARE = 0.05
"""Share of the time that feedback gets while feature batches wait; the rest of it comes when they do not."""
REBUILDING_SHARE = 0.5
"""The same while a ledger is rebuilt, before which nothing new is counted at all."""
_LOOK_EVERY_S = 0.002


class Turns:
    """Lets feedback wait while feature batches do, so long that it keeps to its share."""

    def __init__(self, features_wait: Callable[[], bool], *, clock: Callable[[], float] = time.perf_counter) -> None:
        """features_wait: whether feature records wait to be scored."""
        self._features_wait = features_wait
        self._clock = clock
        self._next_turn_s = 0.0
        self._pause_s = 0.0
        """How long features went first after the last turn."""

    async def wait(self) -> None:
        """Return when feedback may go on; of several who wait - one for each partition - one at a time."""
        while self._features_wait() and self._clock() < self._next_turn_s:  # noqa: ASYNC110  no event is worth it here
            await asyncio.sleep(_LOOK_EVERY_S)
        # What this turn takes is told when it is over: until then the others wait as long as after the last one.
        self._next_turn_s = self._clock() + self._pause_s

    def took(self, seconds: float, *, share: float = FEEDBACK_SHARE) -> None:
        """Note what the last turn of feedback took; *share* is how much of the time it may have."""
        self._pause_s = seconds * (1 / share - 1)
        self._next_turn_s = self._clock() + self._pause_s
