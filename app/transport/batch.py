"""A batch: all that was fetched of one partition at once, as agents see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from app.records import Record
from app.transport.deliveries import Delivery


@dataclass(eq=False, slots=True)
class Batch:
    """The records of one partition, in offset order; offsets may have gaps (compaction, transaction markers)."""

    topic: str
    partition: int
    records: Sequence[Record]
    delivery: Delivery
    _on_done: Callable[[], None] = field(repr=False)

    @property
    def void(self) -> bool:
        """True when the batch was taken back: leave it alone, it comes again or belongs to another worker."""
        return self.delivery.void

    def done(self) -> None:
        """Say that all that follows from the batch is durable; only now may its offsets be committed."""
        self.delivery.finish()
        self._on_done()


async def live(batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """The batches that were not taken back while they waited in the queue, each marked as started."""
    async for batch in batches:
        if not batch.void:
            batch.delivery.start()
            yield batch
