"""How far the predictions of a partition were read when a label was, from the records that `performance` had in time.

    ledger record  (predictions p1, labels l1)   (p2, l2)   (p3, l3)
    labels                                    |-- read here, with at most p2 predictions --|

Each ledger record holds the positions that it has counted, and how many labels were too late until then. A label
between two of them was read when no more predictions had been than the second one says, and was too late only if that
number rose. Compaction may take records away: then less is known, and nothing wrong.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple


class Waypoint(NamedTuple):
    """What a ledger record says of its partition."""

    predictions: int
    """Positions: next offsets."""
    labels: int
    too_late: int
    """Labels in that state so far."""


class Reading(NamedTuple):
    """What is known of the moment at which a label was read."""

    predictions: float = math.inf
    """No prediction of this offset or beyond had been read; infinite if that is not known."""
    may_be_late: bool = True
    """Whether some label that was read about then is counted as too late."""


class Course:
    """The waypoints of a partition, in their order."""

    def __init__(self, waypoints: Iterable[Waypoint] = ()) -> None:
        """Without any nothing is known."""
        self._waypoints = [Waypoint(0, 0, 0), *waypoints]

    def of_label(self, offset: int) -> Reading:
        """When the label at *offset* was read."""
        after = bisect_right(self._waypoints, offset, key=attrgetter("labels"))
        if after == len(self._waypoints):
            return Reading()
        before, until = self._waypoints[after - 1], self._waypoints[after]
        return Reading(until.predictions, until.too_late > before.too_late)
