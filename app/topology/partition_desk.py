"""The counting of one partition, while this worker has it: what has come is counted in turns, each in one transaction.

    batches -> ledger -> counts -> [table rows, dead letters, performance, offsets] in one transaction -> checkpoint

Whatever has come while a turn was written goes into the next one. A checkpoint of the ledger is written only once the
counts are durable, so it never knows of more than they do. A ledger that is rebuilt reads what was counted again in
silence: nothing follows from it but its own state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from faust.types import TP

from app.feedback import Contribution, Kind, Ledger, decode_labels, decode_ledger, decode_predictions
from app.performance import Changes, Tallies, performance_records
from app.records import OutRecord
from app.topology.count import count_outcomes
from app.topology.outbox import ended
from app.topology.refusal import refuse
from app.topology.turns import FEEDBACK_SHARE, REBUILDING_SHARE
from app.transport import Batch, BatchTable, Fenced, Lane, Output

if TYPE_CHECKING:
    from app.features import Contract, Rejected
    from app.metrics import Metrics
    from app.topology.turns import Turns
    from app.transport.consumer import Consumer

DEFERRED_MAX = 50_000
"""Records of a partition's topic held while a ledger that is read again waits for the other topic."""
TURN_S = 0.05
"""Turns of a partition begin no more often: a transaction costs as much as counting a few hundred records."""
LAST_WORDS_S = 2.0
"""How long letting go of a partition waits to publish what changed last; the next owner publishes it else."""


class Counting(NamedTuple):
    """What all partitions of a pipeline count with."""

    contract: Contract
    max_record_bytes: int
    table: BatchTable
    consumer: Callable[[], Consumer]
    metrics: Metrics
    turns: Turns
    on_fenced: Callable[[int, Fenced], Awaitable[None]]
    """Told of the partition that another worker has taken over."""
    on_failure: Callable[[BaseException], None]


class PartitionDesk:
    """The ledger, the counts and the lane of one partition."""

    def __init__(
        self,
        partition: int,
        counting: Counting,
        ledger: Ledger,
        tallies: Tallies,
        lane: Lane,
        committed: Mapping[str, int],
    ) -> None:
        """committed: by topic, the offset below which bad records have become dead letters already."""
        self.partition = partition
        self.ledger = ledger
        self.tallies = tallies
        self._with = counting
        self._lane = lane
        self._committed = committed
        self._unpublished: Changes | None = tallies.everything()
        self._publish = False
        self._parked: set[str] = set()
        """Topics that wait for the other one."""
        self._waiting: list[Batch] = []
        self._wake = asyncio.Event()
        self._is_dirty = False
        """Whether memory is ahead of what is durable."""
        self._task = asyncio.ensure_future(self._work())

    # -- what is handed in

    def put(self, batch: Batch) -> None:
        """Have *batch* counted in the next turn; it is done when all that follows from it is durable."""
        self._waiting.append(batch)
        self._wake.set()

    def publish(self) -> None:
        """Have what changed written to `performance` in the next turn."""
        if self._unpublished is not None:
            self._publish = True
            self._wake.set()

    async def close(self) -> None:
        """End the turns and publish what changed last; what was not committed never happened."""
        await ended(self._task)
        if self._is_dirty:
            self._with.table.forget(self.partition)
        else:
            self._publish = True
            with suppress(Fenced, TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._lane.commit(self._performance(), {})
        self.ledger.close()

    async def drop(self) -> None:
        """End the turns and leave everything as it is durable."""
        await ended(self._task)
        if self._is_dirty:
            self._with.table.forget(self.partition)
        self.ledger.close()

    # -- turns

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._with.turns.wait()
                began_s = loop.time()
                await self._turn()
                turn_s = 0.0 if self.ledger.is_rebuilding else TURN_S
                await asyncio.sleep(max(0.0, began_s + turn_s - loop.time()))
        except Fenced as fenced:
            await self._with.on_fenced(self.partition, fenced)
        except Exception as error:  # noqa: BLE001  whatever it is, nothing more may be counted or committed
            self._with.on_failure(error)

    async def _turn(self) -> None:
        began = time.perf_counter()
        batches, self._waiting = self._waiting, []
        contributions: list[Contribution] = []
        letters: list[OutRecord] = []
        counted: list[Batch] = []
        for batch in batches:
            if batch.void:
                continue
            if self._is_ahead(batch.topic):
                self._parked.add(batch.topic)
                self._with.consumer().park(batch)
                continue
            self._is_dirty = True
            new, rejected = self._add(batch)
            contributions += new
            letters += self._refuse(batch, rejected)
            counted.append(batch)
        before = self.tallies.ledger
        outputs = [Output(self._with.contract.topics.dead_letters, self.partition, letters)]
        if counted and not self.ledger.is_rebuilding:  # until it is rebuilt, the counts hold all that it judges
            changes = self.tallies.apply(contributions, self.ledger.positions, event_time_s=self.ledger.event_time_s)
            self._unpublished = changes if self._unpublished is None else self._unpublished.then(changes)
            outputs.append(self._with.table.take_changes(self.partition, timestamp_ms=int(time.time() * 1000)))
        if self._publish:
            outputs += self._performance()
        took_s = time.perf_counter() - began
        offsets = self._new_offsets(counted)
        await self._lane.commit(outputs, offsets)
        began = time.perf_counter()
        if offsets:
            self._with.consumer().committed_in_lane(offsets)
        if counted:
            self.ledger.checkpoint()
            self._is_dirty = False
            for batch in counted:
                batch.done()
            self._unpark()
            self._count(contributions)
            count_outcomes(self._with.metrics, self._with.contract, before, self.tallies.ledger)
        share = REBUILDING_SHARE if self.ledger.is_rebuilding else FEEDBACK_SHARE
        self._with.turns.took(took_s + time.perf_counter() - began, share=share)

    def _add(self, batch: Batch) -> tuple[list[Contribution], list[Rejected]]:
        contract, limit = self._with.contract, self._with.max_record_bytes
        next_offset = batch.delivery.next_offset
        if contract.is_by_id:
            both = decode_ledger(batch.records, contract)
            contributions = self.ledger.add_predictions(both.predictions, next_offset)
            return contributions + self.ledger.add_labels(both.labels, next_offset), both.rejected
        if batch.topic == contract.topics.predictions:
            predictions, rejected = decode_predictions(batch.records, contract, max_record_bytes=limit)
            return self.ledger.add_predictions(predictions, next_offset), rejected
        labels, rejected = decode_labels(batch.records, contract, max_record_bytes=limit)
        return self.ledger.add_labels(labels, next_offset), rejected

    def _new_offsets(self, counted: list[Batch]) -> dict[TP, int]:
        """Offsets to commit: of what is read again, nothing is taken back."""
        offsets: dict[TP, int] = {}
        for batch in counted:
            tp, next_offset = TP(batch.topic, batch.partition), batch.delivery.next_offset
            if next_offset > (self._lane.committed.get(tp) or 0):
                offsets[tp] = next_offset
        return offsets

    def _is_ahead(self, topic: str) -> bool:
        """True when more of *topic* was read than can be counted before the other one is read as far."""
        is_predictions = topic == self._with.contract.topics.predictions
        waiting = self.ledger.deferred_predictions if is_predictions else self.ledger.deferred_labels
        return waiting > DEFERRED_MAX

    def _unpark(self) -> None:
        for topic in list(self._parked):
            if not self._is_ahead(topic):
                self._parked.discard(topic)
                self._with.consumer().unpark(topic, self.partition)

    def _refuse(self, batch: Batch, rejected: list[Rejected]) -> list[OutRecord]:
        """Dead letters of the records that no one has refused before: a ledger may read records again."""
        committed = self._committed.get(batch.topic, 0)
        new = [each for each in rejected if batch.records[each.position].offset >= committed]
        return refuse(batch, new, self._with.contract, self._with.metrics)

    def _performance(self) -> list[Output]:
        """What changed since it was last asked for."""
        self._publish = False
        changes, self._unpublished = self._unpublished, None
        if changes is None:
            return []
        contract, now_ms = self._with.contract, int(time.time() * 1000)
        records = performance_records(changes, contract, self.partition)
        return [Output(contract.topics.performance, 0, [OutRecord(key, value, now_ms, []) for key, value in records])]

    def _count(self, contributions: list[Contribution]) -> None:
        contract, metrics = self._with.contract, self._with.metrics
        delays_s = [each.at - each.event_at for each in contributions if each.kind is Kind.JOINED]
        metrics.label_delays(contract.name, delays_s)
        metrics.pending(contract.name, self.partition, self.tallies.ledger.pending)
