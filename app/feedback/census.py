"""How many ids of which age are remembered, so that the oldest can be dropped when they are too many.

Ages are counted in buckets, so dropping is a matter of raising a floor: an entry older than the floor counts as
absent wherever it is met, and the sweep removes it when it comes by.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

BUCKETS = 64
"""Per horizon of time and per `most` entries: how finely the oldest can be told from the others."""


class Census:
    """Counts per bucket of ages of [entries, predictions without a label, labels without a prediction].

    most: entries to be remembered; `drop_oldest` goes back to it.
    """

    def __init__(self, horizon_s: float, most: int, state: list[Any] | None = None) -> None:
        """state: what `dump` gave, to go on from."""
        self._width_s = horizon_s / BUCKETS
        self._most = most
        self._room = max(most // BUCKETS, 1)
        self.floor: float
        """Entries of this age and younger alone are remembered; an age is the later of event time and E on arrival."""
        self._starts: list[float]
        """Ascending: the lowest age of each bucket."""
        self._counts: list[list[int]]
        self.floor, self._starts, self._counts = state or (-math.inf, [], [])
        self.remembered: int = sum(counts[0] for counts in self._counts)

    def dump(self) -> list[Any]:
        """The state as plain values."""
        return [self.floor, self._starts, self._counts]

    def change(self, age: float, entries: int, predictions: int, labels: int) -> None:
        """Entries of that *age*, and those among them that wait, became more or fewer."""
        starts = self._starts
        # Nearly all are of the youngest bucket.
        position = len(starts) - 1 if starts and age >= starts[-1] else bisect_right(starts, age) - 1
        if entries > 0 and self._is_new(position, age):
            position += 1
            self._starts.insert(position, age)
            self._counts.insert(position, [0, 0, 0])
        if position < 0 or age < self.floor:
            return  # its bucket was dropped or has expired
        counts = self._counts[position]
        counts[0] += entries
        counts[1] += predictions
        counts[2] += labels
        self.remembered += entries

    def expire(self, before: float) -> bool:
        """Buckets wholly before that age are forgotten by age, and count as dropped for nobody.

        Whether there may be any entry before that age.
        """
        any_before = bool(self._starts) and self._starts[0] < before
        gone = max(bisect_right(self._starts, before) - 1, 0)
        self.remembered -= sum(counts[0] for counts in self._counts[:gone])
        del self._starts[:gone], self._counts[:gone]
        return any_before

    def drop_oldest(self) -> tuple[int, int]:
        """Raise the floor until no more than `most` are left: (dropped that waited, how many of them are labels).

        The youngest bucket stays, whatever its size.
        """
        predictions = labels = gone = 0
        while self.remembered > self._most and gone < len(self._counts) - 1:
            counts = self._counts[gone]
            self.remembered -= counts[0]
            predictions += counts[1]
            labels += counts[2]
            gone += 1
        if gone:
            self.floor = self._starts[gone]
            del self._starts[:gone], self._counts[:gone]
        return predictions + labels, labels

    def _is_new(self, position: int, age: float) -> bool:
        """Whether *age* begins a bucket: before all others, or after a youngest one that is full or wide enough."""
        if age < self.floor:
            return False
        if position < 0:
            return True
        if position < len(self._starts) - 1:
            return False
        start = self._starts[position]
        return age >= start + self._width_s or (age > start and self._counts[position][0] >= self._room)
