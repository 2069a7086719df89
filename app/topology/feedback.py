"""The tallying agent: predictions and labels of a partition into its ledger and counts, and on to `performance`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from app.errors import BrokerError
from app.features import Contract, Rejected, dead_letter
from app.feedback import (
    Contribution,
    CorruptStore,
    Kind,
    Ledger,
    RocksdictStore,
    decode_labels,
    decode_predictions,
    delete_store,
)
from app.performance import Changes, Retention, Tallies, performance_records
from app.records import OutRecord, Positions
from app.topology.count import count_outcomes
from app.topology.turns import Turns
from app.transport import Batch, BatchTable, acknowledged, live

if TYPE_CHECKING:
    from app.metrics import Metrics
    from app.settings import Settings
    from app.transport.consumer import Consumer
    from app.transport.producer import Producer

log = structlog.get_logger(__name__)

DEFERRED_MAX = 50_000
"""Records of a partition's topic held while a ledger that is read again waits for the other topic."""


class PartitionDesk:
    """The ledger and the counts of one partition, while this worker has it."""

    def __init__(self, ledger: Ledger, tallies: Tallies, committed: Mapping[str, int]) -> None:
        """committed: by topic, the offset below which bad records have become dead letters already."""
        self.ledger = ledger
        self.tallies = tallies
        self.committed = committed
        self.unpublished: Changes | None = tallies.everything()
        self.parked: set[str] = set()
        """Topics that wait for the other one."""

    def is_ahead(self, predictions: bool) -> bool:  # noqa: FBT001  one topic or the other
        """True when more of the topic was read than can be counted before the other one is read as far."""
        waiting = self.ledger.deferred_predictions if predictions else self.ledger.deferred_labels
        return waiting > DEFERRED_MAX

    def take_unpublished(self) -> Changes | None:
        """What changed since it was last asked for."""
        changes, self.unpublished = self.unpublished, None
        return changes


class FeedbackDesk:
    """What the tallying agent of one pipeline works with: a desk for each partition that is assigned."""

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        table: BatchTable,
        producer: Callable[[], Producer],
        consumer: Callable[[], Consumer],
        metrics: Metrics,
        store_path: Callable[[int], Path],
        turns: Turns,
    ) -> None:
        """store_path: where the ledger of a partition lies on disk; turns: when to let scoring go first."""
        self.contract = contract
        self._settings = settings
        self._table = table
        self._producer = producer
        self._consumer = consumer
        self._metrics = metrics
        self._store_path = store_path
        self._turns = turns
        self._retention = Retention(
            settings.keep_panes_under_1h_s, settings.keep_panes_under_1d_s, settings.keep_panes_other_s
        )
        self._desks: dict[int, PartitionDesk] = {}

    # -- partitions come and go

    async def open(self, committed: Mapping[TP, int | None], consumer: Consumer) -> dict[TP, int]:
        """Open the ledgers of the partitions in *committed*; the offsets from which to read their topics on.

        A ledger stands at its own checkpoint, which may be behind the committed offsets: what it reads again it does
        not count again.
        """
        topics = self.contract.topics
        starts: dict[TP, int] = {}
        for tp in sorted(committed):
            if tp.topic != topics.predictions or tp.partition in self._desks:
                continue
            pair = TP(topics.predictions, tp.partition), TP(topics.labels, tp.partition)
            desk = self._open(tp.partition, {each.topic: committed.get(each) or 0 for each in pair})
            first = await consumer.earliest_offsets(*pair)
            ends = await consumer.highwaters(*pair)
            positions = desk.ledger.positions
            counted = max(desk.tallies.waypoints(), key=lambda at: (at.predictions, at.labels))
            for each, position, reached in (
                (pair[0], positions.predictions, counted.predictions),
                (pair[1], positions.labels, counted.labels),
            ):
                self._check(each, position, reached, first[each] or 0, ends[each] or 0)
                starts[each] = max(position, first[each] or 0)
            desk.ledger.begin_at(Positions(*(first[each] or 0 for each in pair)))
            self._desks[tp.partition] = desk
        return starts

    def _open(self, partition: int, committed: Mapping[str, int]) -> PartitionDesk:
        tallies = Tallies(self._table, self.contract, partition, retention=self._retention)
        path = self._store_path(partition)
        try:
            ledger = self._ledger(path, tallies)
        except CorruptStore as error:
            log.warning("ledger is rebuilt from its topics", partition=partition, error=str(error))
            delete_store(path)
            ledger = self._ledger(path, tallies)
        return PartitionDesk(ledger, tallies, committed)

    def _ledger(self, path: Path, tallies: Tallies) -> Ledger:
        store = RocksdictStore(path)
        try:
            return Ledger(store, self.contract, waypoints=tallies.waypoints(), pending_max=self._settings.pending_max)
        except BaseException:
            store.close()
            raise

    def _check(self, tp: TP, position: int, reached: int, first: int, end: int) -> None:
        if max(position, reached) > end:
            raise BrokerError(
                f"{tp.topic}-{tp.partition} ends at offset {end}, but was counted up to {max(position, reached)}: "
                "the topic was made anew or has lost records. Take another FAUST_ONNX_APP_ID to count from the start"
            )
        if 0 < position < first:
            log.warning("records were removed before they were counted", topic=tp.topic, partition=tp.partition,
                        from_offset=position, to_offset=first)  # fmt: skip

    async def close(self, revoked: set[TP]) -> None:
        """Publish what is left to be published of *revoked* and close their ledgers."""
        partitions = {tp.partition for tp in revoked if tp.topic == self.contract.topics.predictions}
        await self.publish(partitions)
        for partition in partitions:
            if (desk := self._desks.pop(partition, None)) is not None:
                desk.ledger.close()

    async def close_all(self) -> None:
        """The same for every partition."""
        await self.close({TP(self.contract.topics.predictions, partition) for partition in self._desks})

    # -- records

    async def take(self, batch: Batch) -> None:
        """Add *batch* to its partition's ledger and counts; done when all of it is durable."""
        await self._turns.wait()
        if batch.void:
            return
        began = time.perf_counter()
        desk = self._desks[batch.partition]
        if desk.is_ahead(batch.topic == self.contract.topics.predictions):
            desk.parked.add(batch.topic)
            self._consumer().park(batch)
            return
        limit = self._settings.max_record_bytes
        next_offset = batch.delivery.next_offset
        if batch.topic == self.contract.topics.predictions:
            predictions, rejected = decode_predictions(batch.records, self.contract, max_record_bytes=limit)
            contributions = desk.ledger.add_predictions(predictions, next_offset)
        else:
            labels, rejected = decode_labels(batch.records, self.contract, max_record_bytes=limit)
            contributions = desk.ledger.add_labels(labels, next_offset)
        before = desk.tallies.ledger
        changes = desk.tallies.apply(contributions, desk.ledger.positions, event_time_s=desk.ledger.event_time_s)
        refused = await self._refuse(batch, rejected, desk.committed.get(batch.topic, 0))
        await self._table.save(batch.partition, timestamp_ms=int(time.time() * 1000))
        await acknowledged(refused)
        if batch.delivery.void:
            return  # the partition was lost meanwhile; its next owner counts the batch again, and the rows only once
        desk.ledger.checkpoint()
        batch.done()
        self._unpark(desk, batch.partition)
        desk.unpublished = changes if desk.unpublished is None else desk.unpublished.then(changes)
        self._count(batch, contributions, changes)
        count_outcomes(self._metrics, self.contract, before, changes.ledger)
        self._turns.took(time.perf_counter() - began)

    def _unpark(self, desk: PartitionDesk, partition: int) -> None:
        for topic in list(desk.parked):
            if not desk.is_ahead(topic == self.contract.topics.predictions):
                desk.parked.discard(topic)
                self._consumer().unpark(topic, partition)

    async def _refuse(self, batch: Batch, rejected: list[Rejected], committed: int) -> list[asyncio.Future[Any]]:
        """Dead letters of the records that no one has refused before: a ledger may read records again."""
        new = [each for each in rejected if batch.records[each.position].offset >= committed]
        if not new:
            return []
        now_s = time.time()
        letters = [dead_letter(batch.records[at], reason, error, failed_at_s=now_s) for at, reason, error in new]
        source = "labels" if batch.topic == self.contract.topics.labels else "predictions"
        self._metrics.dead_letters(self.contract.name, source, Counter(each.reason for each in new))
        log.warning("records refused", topic=batch.topic, partition=batch.partition, n=len(new), first=new[0].error)
        return await self._producer().publish(self.contract.topics.dead_letters, batch.partition, letters)

    def _count(self, batch: Batch, contributions: list[Contribution], changes: Changes) -> None:
        delays_s = [each.at - each.event_at for each in contributions if each.kind is Kind.JOINED]
        self._metrics.label_delays(self.contract.name, delays_s)
        self._metrics.pending(self.contract.name, batch.partition, changes.ledger.pending)

    # -- what is told of it

    async def publish(self, partitions: set[int] | None = None) -> None:
        """Write what changed since the last time to the `performance` topic."""
        rows: list[OutRecord] = []
        now_ms = int(time.time() * 1000)
        for partition, desk in self._desks.items():
            if partitions is not None and partition not in partitions:
                continue
            if (changes := desk.take_unpublished()) is not None:
                records = performance_records(changes, self.contract, partition)
                rows += [OutRecord(key, value, now_ms, []) for key, value in records]
        if rows:
            await acknowledged(await self._producer().publish(self.contract.topics.performance, 0, rows))

    def status(self) -> dict[str, Any]:
        """Per partition how far its topics were counted, for /api/status."""
        return {
            str(partition): {
                "positions": _shown(desk.ledger.positions),
                "remembered": desk.ledger.remembered,
                "pending": desk.tallies.ledger.pending,
            }
            for partition, desk in sorted(self._desks.items())
        }


def _shown(positions: Positions) -> dict[str, int]:
    return {"predictions": positions.predictions, "labels": positions.labels}


async def tally(batches: AsyncIterator[Batch], *, desk: FeedbackDesk) -> None:
    """Add every batch of predictions or labels to the counts of its partition."""
    async for batch in live(batches):
        await desk.take(batch)
