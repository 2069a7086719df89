"""What becomes of scored batches: written and acknowledged, or written and committed in one transaction.

at least once   records -> acknowledged by the broker -> batch done -> offset committed in its time
exactly once    records and offset -> one transaction of the partition's lane -> batch done
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog
from faust.types import TP

from app.transport import Batch, Fenced, Lane, Output, Transactions, acknowledged

if TYPE_CHECKING:
    from app.transport.consumer import Consumer
    from app.transport.producer import Producer

log = structlog.get_logger(__name__)

OnFailure = Callable[[BaseException], None]


class Outbox(Protocol):
    """Takes what follows from a batch and says that the batch is done once all of it is durable."""

    async def send(self, batch: Batch, outputs: Sequence[Output]) -> None:
        """Hand *outputs* over; returns before they are durable. Batches of a partition in their order."""

    async def open(self, partitions: Iterable[int]) -> None:
        """Fence whoever had the *partitions* of the input topic before."""

    async def close(self, partitions: Iterable[int]) -> None:
        """Let go of the *partitions*."""


class AcknowledgedOutbox:
    """At least once: by the idempotent producer; a batch is done when the broker has acknowledged all of it."""

    def __init__(self, producer: Callable[[], Producer], on_failure: OnFailure) -> None:
        """on_failure: told of what the broker refused for good; the batch is not done then."""
        self._producer = producer
        self._on_failure = on_failure
        self._finishing: set[asyncio.Task[None]] = set()

    async def send(self, batch: Batch, outputs: Sequence[Output]) -> None:
        """Hand *outputs* to the producer; the next batch need not wait for the broker."""
        producer, sent = self._producer(), []
        for topic, partition, records in outputs:
            if records:
                sent += await producer.publish(topic, partition, records)
        task = asyncio.ensure_future(self._finish(batch, sent))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _finish(self, batch: Batch, sent: Iterable[asyncio.Future[object]]) -> None:
        try:
            await acknowledged(sent)
        except Exception as error:  # noqa: BLE001  whatever it is, the batch is not done and the worker must not go on
            self._on_failure(error)
        else:
            batch.done()

    async def open(self, partitions: Iterable[int]) -> None:
        """Nobody is fenced: a copy does no harm."""

    async def close(self, partitions: Iterable[int]) -> None:
        """Nothing is held."""


class _Open:
    """An open lane, what waits for its next transaction, and the task that writes it."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.waiting: list[tuple[Batch, Sequence[Output]]] = []
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class LaneOutbox:
    """Exactly once: a lane for each partition of *topic*; what waits while it writes goes into its next transaction."""

    def __init__(
        self,
        topic: str,
        transactions: Callable[[], Transactions],
        consumer: Callable[[], Consumer],
        on_failure: OnFailure,
        *,
        suffix: str = "",
    ) -> None:
        """suffix: of the transactional ids, where a partition has a lane of another kind too."""
        self._topic = topic
        self._transactions = transactions
        self._consumer = consumer
        self._on_failure = on_failure
        self._suffix = suffix
        self._open: dict[int, _Open] = {}

    def _name(self, partition: int) -> str:
        return self._transactions().lane_of(self._topic, partition, self._suffix)

    async def open(self, partitions: Iterable[int]) -> None:
        """Open the lanes of the *partitions* anew."""
        await self.close(list(self._open))
        await asyncio.gather(*map(self._open_one, partitions))

    async def _open_one(self, partition: int) -> None:
        lane = await self._transactions().open(self._name(partition), [TP(self._topic, partition)])
        self._open[partition] = opened = _Open(lane)
        opened.task = asyncio.ensure_future(self._write(partition, opened))

    async def close(self, partitions: Iterable[int]) -> None:
        """End the writing of the *partitions*; what was not committed never happened."""
        for partition in list(partitions):
            if (closing := self._open.pop(partition, None)) is None:
                continue
            await ended(closing.task)
            await self._transactions().close(self._name(partition))

    async def send(self, batch: Batch, outputs: Sequence[Output]) -> None:
        """Have *outputs* written in the next transaction of the batch's partition."""
        if (opened := self._open.get(batch.partition)) is not None:
            opened.waiting.append((batch, outputs))
            opened.wake.set()

    async def _write(self, partition: int, opened: _Open) -> None:
        tp = TP(self._topic, partition)
        try:
            while True:
                await opened.wake.wait()
                opened.wake.clear()
                taken, opened.waiting = opened.waiting, []
                taken = [(batch, outputs) for batch, outputs in taken if not batch.void]
                if not taken:
                    continue
                offsets = {tp: taken[-1][0].delivery.next_offset}
                await opened.lane.commit([output for _, outputs in taken for output in outputs], offsets)
                self._consumer().committed_in_lane(offsets)
                for batch, _ in taken:
                    batch.done()
        except Fenced as fenced:
            await give_up(self._consumer(), [tp], fenced)
        except Exception as error:  # noqa: BLE001  whatever it is, the batches are not done and the worker must not go on
            self._on_failure(error)


async def give_up(consumer: Consumer, tps: Sequence[TP], fenced: Fenced) -> None:
    """Leave *tps* to whoever fenced their lane, and ask the group who has them now."""
    log.warning("lane fenced: joining the group anew", partitions=[f"{topic}-{p}" for topic, p in tps], why=str(fenced))
    await consumer.give_up(tps)


async def ended(task: asyncio.Task[None] | None) -> None:
    """Cancel *task* and wait until it has ended."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
