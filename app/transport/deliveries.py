"""What of one partition was handed to the agents, in order, and up to where all of it is done.

delivered   [100..149] [150..180] [181..260]
done           yes         no        yes
committable            ^ 150: an offset is committed only when everything before it is done
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto


class Progress(Enum):
    """Where a delivery stands."""

    QUEUED = auto()
    STARTED = auto()
    DONE = auto()
    VOID = auto()
    """Taken back: it will be delivered again, or belongs to another worker now. Finishing it does nothing."""


class Delivery:
    """One batch that was handed out: its offsets, its size, and where it stands."""

    __slots__ = ("_owner", "first_offset", "n_bytes", "next_offset", "progress")

    def __init__(self, owner: Deliveries, first_offset: int, next_offset: int, n_bytes: int) -> None:
        self._owner = owner
        self.first_offset = first_offset
        self.next_offset = next_offset
        self.n_bytes = n_bytes
        self.progress = Progress.QUEUED

    @property
    def void(self) -> bool:
        """True when the delivery was taken back and must not be worked on."""
        return self.progress is Progress.VOID

    def start(self) -> None:
        """Note that an agent has begun to work on it."""
        if self.progress is Progress.QUEUED:
            self.progress = Progress.STARTED

    def finish(self) -> None:
        """Note that everything that follows from it is durable; its offsets may be committed in their turn."""
        if not self.void:
            self.progress = Progress.DONE
            self._owner.advance()


class Deliveries:
    """The outstanding deliveries of one partition, oldest first.

    >>> deliveries = Deliveries()
    >>> a, b = deliveries.deliver(100, 150, 10), deliveries.deliver(150, 181, 10)
    >>> b.finish(); deliveries.committable
    >>> a.finish(); deliveries.committable
    181
    """

    def __init__(self) -> None:
        self._outstanding: deque[Delivery] = deque()
        self.committable: int | None = None
        """The offset that may be committed: the one after the longest prefix that is done; None before any."""
        self.in_flight_bytes = 0

    def __len__(self) -> int:
        return len(self._outstanding)

    def deliver(self, first_offset: int, next_offset: int, n_bytes: int) -> Delivery:
        """A new delivery of the offsets [first_offset, next_offset), after all earlier ones."""
        delivery = Delivery(self, first_offset, next_offset, n_bytes)
        self._outstanding.append(delivery)
        self.in_flight_bytes += n_bytes
        return delivery

    def advance(self) -> None:
        """Move `committable` over the deliveries that are done at the front."""
        while self._outstanding and self._outstanding[0].progress is Progress.DONE:
            delivery = self._outstanding.popleft()
            self.in_flight_bytes -= delivery.n_bytes
            self.committable = delivery.next_offset

    def take_back(self, delivery: Delivery) -> None:
        """Void *delivery* and all that came after it; they will be delivered again."""
        while self._outstanding and self._outstanding[-1].first_offset >= delivery.first_offset:
            last = self._outstanding.pop()
            last.progress = Progress.VOID
            self.in_flight_bytes -= last.n_bytes

    def take_back_queued(self) -> None:
        """Void what no agent has begun to work on."""
        for delivery in self._outstanding:
            if delivery.progress is Progress.QUEUED:
                self.take_back(delivery)
                break

    def close(self) -> None:
        """Void everything outstanding: the partition belongs to another generation from now on."""
        for delivery in self._outstanding:
            delivery.progress = Progress.VOID
        self._outstanding.clear()
        self.in_flight_bytes = 0

    @property
    def oldest(self) -> int | None:
        """First offset of the oldest that is outstanding."""
        return self._outstanding[0].first_offset if self._outstanding else None

    @property
    def waiting(self) -> bool:
        """True while no agent has begun to work on the latest of it."""
        return bool(self._outstanding) and self._outstanding[-1].progress is Progress.QUEUED

    @property
    def started(self) -> bool:
        """True while an agent works on any of it."""
        return any(delivery.progress is Progress.STARTED for delivery in self._outstanding)
