"""When each row is due, in seconds after the replay's start, and the time that its event gets; files keep their order.

#   --rate 2     row 0 ---- 0.5 s ---- row 1 ---- 0.5 s ---- row 2
#   --speed 60   12:00 ---- 1 s ------ 12:01   11:30 (late: due at once)   12:05
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.replay.plan import Plan


class Pace:
    """Tells of consecutive rows when they are due."""

    def __init__(self, plan: Plan) -> None:
        self._rate, self._speed = plan.rate, plan.speed
        self._n = 0
        self.first_s = math.nan
        """The earliest known beginning: the time of the first row that has one."""
        self._latest_s = -math.inf

    def due_s(self, times_s: Sequence[float | None]) -> list[float]:
        """Seconds after the start at which the next rows are due, ascending; 0 where nothing paces them.

        times_s: the rows' own times in epoch seconds, None where there is none; such a row follows its predecessor.

        >>> from app.replay.plan import Plan
        >>> Pace(Plan(rate=2)).due_s([None, None, None])
        [0.0, 0.5, 1.0]
        >>> Pace(Plan(speed=60)).due_s([7200, 7260, 5400, None, 7500])
        [0.0, 1.0, 1.0, 1.0, 5.0]
        """
        if self._rate is not None:
            first, self._n = self._n, self._n + len(times_s)
            return [number / self._rate for number in range(first, self._n)]
        if self._speed is None:
            return [0.0] * len(times_s)
        found = []
        for time_s in times_s:
            if time_s is not None:
                if math.isnan(self.first_s):
                    self.first_s = time_s
                self._latest_s = max(self._latest_s, time_s)
            elapsed_s = self._latest_s - self.first_s
            found.append(elapsed_s / self._speed if math.isfinite(elapsed_s) else 0.0)
        return found

    def new_times_s(
        self,
        times_s: Sequence[float | None],
        due_s: Sequence[float],
        *,
        start_s: float,
        now_s: float,
        has_column: bool = True,
    ) -> list[float | None]:
        """The times, in epoch seconds, of events that happen as they are sent; None for a row whose own time is none.

        times_s, due_s: of rows that `due_s` was asked about. With a speed the intervals of the file remain, divided by
        it: a row that lies before its predecessor still does. has_column: without one in the file no row's time is bad.

        >>> from app.replay.plan import Plan
        >>> pace = Pace(Plan(speed=10))
        >>> pace.new_times_s([60, 0, None], pace.due_s([60, 0, None]), start_s=9.0, now_s=9.5)
        [9.0, 3.0, None]
        """
        if self._speed is not None and has_column:
            return [None if old is None else start_s + (old - self.first_s) / self._speed for old in times_s]
        new_s = [now_s] * len(times_s) if self._rate is None else [start_s + due for due in due_s]
        return [None if has_column and old is None else new for old, new in zip(times_s, new_s, strict=True)]
