"""The tallying agent: predictions and labels of a partition into its ledger and counts, and on to `performance`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from app.errors import BrokerError
from app.features import Contract
from app.feedback import CorruptStore, Ledger, RocksdictStore, delete_store
from app.performance import Retention, Tallies
from app.records import Positions
from app.topology.outbox import give_up
from app.topology.partition_desk import Counting, PartitionDesk
from app.topology.placement import PlacementWatch
from app.topology.turns import Turns
from app.transport import Batch, BatchTable, Fenced, Lane, Transactions, live

if TYPE_CHECKING:
    from app.metrics import Metrics
    from app.settings import Settings
    from app.transport.consumer import Consumer

log = structlog.get_logger(__name__)


class FeedbackDesk:
    """What the tallying agent of one pipeline works with: a desk for each partition that is assigned."""

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        table: BatchTable,
        transactions: Callable[[], Transactions],
        consumer: Callable[[], Consumer],
        metrics: Metrics,
        store_path: Callable[[int], Path],
        turns: Turns,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """store_path: where the ledger of a partition lies on disk; turns: when to let scoring go first."""
        self.contract = contract
        topics = contract.topics
        self.sources = (topics.ledger,) if contract.is_by_id else (topics.predictions, topics.labels)
        """The topics that are counted: predictions and labels, or the one that has both by id."""
        self._settings = settings
        self._table = table
        self._transactions = transactions
        self._store_path = store_path
        self._counting = Counting(
            contract, settings.max_record_bytes, table, consumer, metrics, turns, self._fenced, on_failure
        )
        self._retention = Retention(
            settings.keep_panes_under_1h_s, settings.keep_panes_under_1d_s, settings.keep_panes_other_s
        )
        self._lanes: dict[int, Lane] = {}
        self._desks: dict[int, PartitionDesk] = {}

    # -- partitions come and go

    async def fence(self, partitions: Iterable[int]) -> None:
        """Take the lanes of *partitions*: nobody else can add to their rows and offsets from now on."""
        await asyncio.gather(*map(self._take_lane, partitions))

    async def _take_lane(self, partition: int) -> None:
        tps = [TP(topic, partition) for topic in self.sources]
        self._lanes[partition] = await self._transactions().open(self._lane_name(partition), tps)

    def _lane_name(self, partition: int) -> str:
        return self._transactions().lane_of(self.sources[0], partition)

    async def open(self, committed: Mapping[TP, int | None], consumer: Consumer) -> dict[TP, int]:
        """Open the ledgers of the partitions in *committed*; the offsets from which to read their topics on.

        A ledger stands at its own checkpoint, which may be behind the committed offsets: what it reads again it does
        not count again.
        """
        starts: dict[TP, int] = {}
        for tp in sorted(committed):
            if tp.topic != self.sources[0] or tp.partition in self._desks:
                continue
            # By id both kinds have their positions in one topic.
            pair = TP(self.sources[0], tp.partition), TP(self.sources[-1], tp.partition)
            first = await consumer.earliest_offsets(*pair)
            ends = await consumer.highwaters(*pair)
            if (lane := self._lanes.get(tp.partition)) is None:
                continue  # it was revoked meanwhile
            # Nothing is awaited from here on: a ledger that is open is known, and will be closed.
            ledger, tallies = self._open(tp.partition)
            positions = ledger.positions
            counted = max(tallies.waypoints(), key=lambda at: (at.predictions, at.labels))
            if counted == Positions():
                self._tell_of_lost_counts(lane, first)
            for each, position, reached in (
                (pair[0], positions.predictions, counted.predictions),
                (pair[1], positions.labels, counted.labels),
            ):
                self._check(each, position, reached, first[each] or 0, ends[each] or 0)
                starts[each] = max(position, first[each] or 0)
            ledger.begin_at(Positions(*(first[each] or 0 for each in pair)))
            done = {each.topic: committed.get(each) or 0 for each in pair}
            self._desks[tp.partition] = PartitionDesk(tp.partition, self._counting, ledger, tallies, lane, done)
        return starts

    def _open(self, partition: int) -> tuple[Ledger, Tallies]:
        tallies = Tallies(self._table.rows(partition), self.contract, partition, retention=self._retention)
        path = self._store_path(partition)
        try:
            return self._ledger(path, tallies), tallies
        except CorruptStore as error:
            log.warning("ledger is rebuilt from its topics", partition=partition, error=str(error))
            delete_store(path)
            return self._ledger(path, tallies), tallies

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
            self._counting.metrics.skipped(self.contract.name, tp.topic, first - position)

    def _tell_of_lost_counts(self, lane: Lane, first: Mapping[TP, int | None]) -> None:
        """Offsets are committed together with the counts: if there are offsets and no counts, the counts were lost."""
        for tp, offset in lane.committed.items():
            if not offset:
                continue
            earliest = first.get(tp) or 0
            log.error(
                "the counts of a partition are gone with their changelog: they are counted again from what is left",
                topic=tp.topic,
                partition=tp.partition,
                counted_to_offset=offset,
                from_offset=earliest,
            )
            if earliest:
                self._counting.metrics.skipped(self.contract.name, tp.topic, earliest)

    async def close(self, revoked: AbstractSet[TP]) -> None:
        """Publish what is left to be published of *revoked* and close their ledgers and lanes."""
        await asyncio.gather(*(self._close(tp.partition) for tp in revoked if tp.topic == self.sources[0]))

    async def _close(self, partition: int) -> None:
        if (desk := self._desks.pop(partition, None)) is not None:
            await desk.close()
        if self._lanes.pop(partition, None) is not None:
            await self._transactions().close(self._lane_name(partition))

    async def drop(self) -> None:
        """Close what is open without a word: who has it now is not known, and what was not committed never happened."""
        desks, self._desks = self._desks, {}
        lanes, self._lanes = self._lanes, {}
        await asyncio.gather(*(desk.drop() for desk in desks.values()))
        await asyncio.gather(*(self._transactions().close(self._lane_name(partition)) for partition in lanes))

    async def close_all(self) -> None:
        """The same for every partition."""
        await self.close({TP(self.sources[0], partition) for partition in self._lanes})

    async def _fenced(self, partition: int, fenced: Fenced) -> None:
        tps = [TP(topic, partition) for topic in self.sources]
        await give_up(self._counting.consumer(), tps, fenced)

    # -- records

    def take(self, batch: Batch) -> None:
        """Have *batch* added to its partition's ledger and counts; it is done when all of it is durable."""
        if (desk := self._desks.get(batch.partition)) is not None:
            desk.put(batch)

    # -- what is told of it

    async def publish(self) -> None:
        """Have what changed since the last time written to the `performance` topic."""
        for desk in self._desks.values():
            desk.publish()

    def partitions(self) -> list[int]:
        """Those whose ledger is open."""
        return list(self._desks)

    def reasons(self) -> list[str]:
        """Why not everything that comes is counted at once; empty when it is."""
        return [
            f"the ledger of {self.contract.topics.predictions}-{partition} is being rebuilt: "
            f"{missing.predictions} predictions and {missing.labels} labels are still to be read"
            for partition, desk in sorted(self._desks.items())
            if (missing := desk.ledger.to_rebuild) != Positions()
        ]

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


async def tally(batches: AsyncIterator[Batch], *, desk: FeedbackDesk, placement: PlacementWatch) -> None:
    """Add every batch of predictions or labels to the counts of its partition."""
    async for batch in live(batches):
        placement.look(batch)
        desk.take(batch)
