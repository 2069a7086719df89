"""Which records may be judged now: after a crash the ledger goes through the positions that the counts stand at.

labels      ^
counted - - + - - - - -o=====>     The counts hold all up to o, and a checkpoint is somewhere before it. Going
            |        /             from the checkpoint to o first, and beyond it only then, every change before
checkpoint -x - - -'               o is one that the counts hold, and every change after it is new.
            +-----------------> predictions
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from app.records import Positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.feedback.seen import SeenLabel, SeenPrediction

UNBOUNDED = sys.maxsize

_Seen = TypeVar("_Seen", "SeenPrediction", "SeenLabel")


class Backlog(Generic[_Seen]):
    """Records of one topic in order of their offsets, up to `next_offset`."""

    def __init__(self, next_offset: int) -> None:
        self.next_offset = next_offset
        self._records: deque[_Seen] = deque()

    def __len__(self) -> int:
        return len(self._records)

    def put(self, records: Sequence[_Seen], next_offset: int) -> None:
        """*records* and all that were passed over up to *next_offset*; those that were put before are ignored."""
        if records and records[0].offset < self.next_offset:
            records = [record for record in records if record.offset >= self.next_offset]
        self._records.extend(records)
        self.next_offset = max(self.next_offset, next_offset)

    def take(self, limit: int) -> tuple[list[_Seen], int]:
        """The records before the offset *limit*, and the position after them."""
        records = self._records
        if self.next_offset <= limit:
            taken = list(records)
            records.clear()
            return taken, self.next_offset
        taken = []
        while records and records[0].offset < limit:
            taken.append(records.popleft())
        return taken, limit


class Waypoints:
    """Positions to be reached one after the other, each in full before anything beyond it."""

    def __init__(self, waypoints: Iterable[Positions]) -> None:
        self._waypoints = deque(sorted(waypoints, key=lambda point: (point.predictions, point.labels)))

    def last(self) -> Positions:
        """The one that comes last of those not reached yet; (0, 0) if all are."""
        return self._waypoints[-1] if self._waypoints else Positions()

    def limits(self, positions: Positions) -> tuple[int, int]:
        """The offsets of predictions and labels before which records may be judged, *positions* being reached."""
        while self._waypoints:
            point = self._waypoints[0]
            if point.predictions > positions.predictions or point.labels > positions.labels:
                return max(point.predictions, positions.predictions), max(point.labels, positions.labels)
            self._waypoints.popleft()
        return UNBOUNDED, UNBOUNDED
