"""The records of one topic that a replay has written, by their coordinates: what else is there is somebody else's."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class SentRecords:
    """Ranges of offsets by partition; one for each partition unless others write there too."""

    def __init__(self, begins: Mapping[int, int]) -> None:
        """begins: the end of each partition before the replay wrote anything."""
        self._begins = dict(begins)
        self._firsts: dict[int, list[int]] = {partition: [] for partition in begins}
        self._ends: dict[int, list[int]] = {partition: [] for partition in begins}
        self.n = 0
        self.is_complete = False
        """Whether every record that was sent has been acknowledged, and nothing more is sent."""

    def add(self, partition: int, first: int, n: int) -> None:
        """Take note of *n* records from offset *first* on; those of a partition come in order."""
        firsts, ends = self._firsts[partition], self._ends[partition]
        if ends and ends[-1] == first:
            ends[-1] = first + n
        else:
            firsts.append(first)
            ends.append(first + n)
        self.n += n

    def has(self, partition: int, offset: int) -> bool | None:
        """Whether the record there is the replay's; None while that may become known by an acknowledgement.

        >>> sent = SentRecords({0: 5})
        >>> sent.add(0, 7, 2)
        >>> [sent.has(0, offset) for offset in (4, 6, 7, 8, 9)]
        [False, False, True, True, None]
        """
        ends = self._ends.get(partition)
        if ends is None or offset < self._begins[partition]:
            return False
        if not ends or offset >= ends[-1]:
            return False if self.is_complete else None
        at = bisect_right(self._firsts[partition], offset) - 1
        return at >= 0 and offset < ends[at]

    def end(self, partition: int) -> int:
        """The offset after the last of the replay's records in *partition*; 0 if there is none."""
        ends = self._ends[partition]
        return ends[-1] if ends else 0

    @property
    def is_alone(self) -> bool:
        """Whether nobody else has written between the replay's records, or before them since it began."""
        return all(
            len(firsts) <= 1 and (not firsts or firsts[0] == self._begins[partition])
            for partition, firsts in self._firsts.items()
        )
