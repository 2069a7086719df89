"""Faust's consumer, made to deliver batches: one message carries everything fetched of a partition at once.

Stock Faust makes four asyncio tasks and a queue hop per record; here all of that happens once per batch.

    fetch -> deliver (in flight, bounded by bytes) -> agent -> done -> committable -> commit
                 ^                    |
                 +---- park: take back, pause, seek to where the stream stands
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from operator import attrgetter
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode import Service

from app.transport.batch import Batch
from app.transport.commits import CommitsWhenDone
from app.transport.deliveries import Deliveries
from app.transport.thread import ConsumerThread, Limits

_value_of = attrgetter("value")
_RECORD_OVERHEAD_BYTES = 100
_MANY_RECORDS = 1000
_IDLE_AFTER_S = 2.0
_CHECK_GROUP_EVERY_S = 1.0
_WAIT_FOR_ROOM_S = 0.005
"""How long a fetch of the others may block while a partition waits for room; room comes within milliseconds."""


class Consumer(CommitsWhenDone):
    """Faust's consumer for batched topics and table changelogs; ordinary topics behave as ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits: Limits = self.app.limits
        self._next: dict[TP, int] = {}
        """The offset from which each partition is to be delivered on; where it stands."""
        self._epochs: dict[TP, int] = {}
        """Raised whenever a partition is moved, so that records fetched before the move are known as stale."""
        self._astray: set[TP] = set()
        """Partitions whose client position is not where the stream stands; they are sought before the next fetch."""
        self._parked: set[TP] = set()
        self._stands = False
        """Whether the assigned partitions were sought; Faust resumes them before it seeks them."""
        self._in_force: int | None = None
        """Which assignment is in force, by their number; None from a revocation until the next."""
        self._assignments = 0
        self._seeking = asyncio.Lock()
        self._busy_until_s = 0.0
        self._fetch_wait_ms = self._limits.idle_fetch_wait_ms
        self._wake = asyncio.Event()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def comes_in_batches(self, tp: TP) -> bool:
        """True for partitions whose records are handed on as they are: of batched topics and table changelogs."""
        return self.is_batched(tp.topic) or self._is_changelog_tp(tp)

    # -- fetching

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once and yield a message per batch (batched topics, changelogs) or per record (all others)."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        await self._seek_astray()
        active = {tp for tp in self._get_active_partitions() if tp not in self._parked and self._is_open(tp)}
        wanted = {tp for tp in active if self._has_room(tp)}
        if not wanted:
            await self._wait_for_wake(0.2)
            return
        epochs = {tp: self._epochs.get(tp, 0) for tp in wanted}
        fetched = await self._getmany(wanted, timeout if len(wanted) == len(active) else _WAIT_FOR_ROOM_S)
        generation = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        self._suit_fetch_wait(came=bool(fetched))
        for aiokafka_tp, records in fetched.items():
            tp = TP(aiokafka_tp.topic, aiokafka_tp.partition)
            if not self._is_open(tp):
                continue  # it will be sought
            if not self._continues(tp, epochs[tp]):
                self._astray.add(tp)  # what was fetched does not continue the stream any more
                continue
            if self.comes_in_batches(tp):
                yield tp, self._batch_message(tp, records, generation)
                continue
            for record in records:
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    break
                yield tp, self._to_message(tp, record)
                self._next[tp] = record.offset + 1

    def _continues(self, tp: TP, epoch: int) -> bool:
        return self.flow_active and self._epochs.get(tp, 0) == epoch and tp not in self._parked

    def _is_open(self, tp: TP) -> bool:
        return self._stands or self._is_changelog_tp(tp)

    async def _getmany(self, active_partitions: set[TP], timeout: float) -> Any:
        return await self._thread.getmany(active_partitions, timeout)

    def _batch_message(self, tp: TP, records: list[Any], generation: int) -> ConsumerMessage:
        first, last = records[0], records[-1]
        self._next[tp] = last.offset + 1
        value: Any = records
        if self.is_batched(tp.topic):
            self._last_at_s[tp] = last.timestamp / 1000
            n_bytes = len(records) * _RECORD_OVERHEAD_BYTES + sum(map(len, filter(None, map(_value_of, records))))
            deliveries = self._deliveries.setdefault(tp, Deliveries())
            delivery = deliveries.deliver(first.offset, last.offset + 1, n_bytes)
            value = Batch(tp.topic, tp.partition, records, delivery, self._wake.set)
        # Faust looks for holes between messages; inside a batch and before it (compaction, markers) there is none.
        self._read_offset[tp] = last.offset - 1
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, last.timestamp_type,
            None, None, value, None, 0, 0, tp, generation_id=generation,
        )  # fmt: skip

    def _has_room(self, tp: TP) -> bool:
        deliveries = self._deliveries.get(tp)
        if deliveries is None or not len(deliveries):
            return True
        limits = self._limits
        if len(deliveries) >= limits.in_flight_batches and deliveries.in_flight_bytes >= limits.small_bytes:
            return False
        same_topic = (d.in_flight_bytes for other, d in self._deliveries.items() if other.topic == tp.topic)
        return sum(same_topic) < limits.in_flight_bytes

    def _suit_fetch_wait(self, *, came: bool) -> None:
        now_s = self.loop.time()
        if came:
            self._busy_until_s = now_s + _IDLE_AFTER_S
        wait_ms = self._limits.fetch_wait_ms if now_s < self._busy_until_s else self._limits.idle_fetch_wait_ms
        if wait_ms != self._fetch_wait_ms:
            self._fetch_wait_ms = wait_ms
            self._thread.set_fetch_wait(wait_ms)

    async def _wait_for_wake(self, timeout_s: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout_s)

    async def _seek_astray(self) -> None:
        if not self._astray:
            return
        assigned = self.assignment()
        for tp in list(self._astray):
            self._astray.discard(tp)
            if tp not in assigned or not self._is_open(tp):
                continue
            self._moved([tp])
            if (offset := self._next.get(tp)) is None:
                await self._thread.seek_to_beginning(TopicPartition(*tp))
            else:
                await self._seek_client(tp, offset)

    async def _seek_client(self, tp: TP, offset: int) -> None:
        # In the client's own thread: a seek wakes futures of its event loop.
        await self._thread.call_thread(self._thread._ensure_consumer().seek, tp, offset)  # noqa: SLF001

    def _moved(self, tps: Iterable[TP]) -> None:
        for tp in tps:
            self._epochs[tp] = self._epochs.get(tp, 0) + 1

    # -- holding back without holding records

    def park(self, batch: Batch) -> None:
        """Take *batch* and all later ones of its partition back and fetch no more of it until `unpark`.

        The records wait in Kafka, not in the worker: another worker may take the partition over meanwhile.
        """
        tp = TP(batch.topic, batch.partition)
        if batch.void or tp not in self._deliveries:
            return
        self._parked.add(tp)
        self._deliveries[tp].take_back(batch.delivery)
        self._next[tp] = batch.delivery.first_offset
        self._moved([tp])
        self._astray.add(tp)

    def unpark(self, topic: str, partition: int) -> None:
        """Fetch the partition again, from where its stream stands."""
        self._parked.discard(TP(topic, partition))
        self._wake.set()

    async def give_up(self, tps: Collection[TP]) -> None:
        """Void what was delivered of *tps*, fetch no more of them, and join the group anew.

        For partitions whose lane was fenced: either they are another worker's, or they come back and start over.
        """
        self._parked.update(tps)
        for tp in tps:
            if (deliveries := self._deliveries.get(tp)) is not None:
                deliveries.close()
        self._wake.set()
        await self._thread.rejoin()

    @property
    def parked(self) -> frozenset[TP]:
        """The partitions that are held back."""
        return frozenset(self._parked)

    # -- moving

    @property
    def is_opening(self) -> bool:
        """True while an assignment is in force whose partitions were not sought yet."""
        return self._in_force is not None and not self._stands

    async def perform_seek(self) -> None:
        """Seek every assigned partition to its committed offset, or to where `start_positions` of the app says.

        Once for each assignment: a recovery may come here again, and batches that are worked on by then would be
        delivered a second time. One that a rebalance overtook comes late, and opens nothing.
        """
        async with self._seeking:
            if self._in_force is not None and not self._stands:
                await self._seek_all(self._in_force)

    async def _seek_all(self, assignment: int) -> None:
        self._moved(self.assignment())
        await super().perform_seek()
        committed: dict[TP, int | None] = {tp: self._read_offset.get(tp) for tp in self.assignment()}
        starts: Mapping[TP, int] = await self.app.start_positions(committed)
        for tp, start in starts.items():
            await self._seek_client(tp, start)
        if assignment != self._in_force:
            return
        for tp in self.assignment():
            if self._is_changelog_tp(tp):
                continue
            offset = committed.get(tp) if tp not in starts else starts[tp]
            if self.is_batched(tp.topic):
                self._read_offset[tp] = None
            if offset is None:  # the client was sought nowhere, and may have fetched already what nobody got
                self._next.pop(tp, None)
                self._astray.add(tp)
            else:
                self._next[tp] = offset
                self._astray.discard(tp)
        self._moved(self.assignment())
        self._stands = True
        self._wake.set()

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek *partitions* and wait until the client stands there."""
        self._moved(partitions)
        await super().seek_wait(partitions)
        self._next.update(partitions)
        self._moved(partitions)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Not looked at: Faust asks for a position, which a partition that is being sought has not, and would end.

        Partitions that stand still are seen by what the app watches, its commits.
        """

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Resume fetching from partitions, at once."""
        super().resume_partitions(tps)
        self._wake.set()

    @Service.task
    async def _watch_group(self) -> None:
        while not self.should_stop:
            await self.sleep(_CHECK_GROUP_EVERY_S)
            if not self._thread.should_stop:
                await self._thread.check_group()

    # -- rebalancing

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin anew: nothing is delivered until the partitions were sought, and what was delivered is void.

        Not left to the revocation before: Kafka's client names no partitions there if it knows of no assignment.
        """
        self._assignments += 1
        self._in_force, self._stands = self._assignments, False
        self._forget(self._deliveries.keys() | self._parked)
        await self.app.begin_anew()
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done while Faust still knows of it, let agents finish, commit that, and forget the rest."""
        self._in_force, self._stands = None, False
        if not self._thread.should_stop:  # else all that was done is committed, and nobody is there to commit more
            await self.commit()
            if self.app.should_stop:
                await self.wait_empty()  # as Faust has an app do that goes on
        await super().on_partitions_revoked(revoked)
        self._forget(revoked)

    def _forget(self, tps: Collection[TP]) -> None:
        for tp in tps:
            if (deliveries := self._deliveries.pop(tp, None)) is not None:
                deliveries.close()
            for known in (self._next, self._unsaved, self._last_at_s):
                known.pop(tp, None)
        self._parked.difference_update(tps)
        self._astray.difference_update(tps)
        self._moved(tps)

    async def wait_empty(self) -> None:
        """Wait until the agents are through with what they have begun, within bounds, and commit it."""
        deadline = self.loop.time() + self._limits.settle_s
        while any(d.started for d in self._deliveries.values()) and self.loop.time() < deadline:
            await self._wait_for_wake(0.1)
        for deliveries in self._deliveries.values():
            deliveries.take_back_queued()
        # Faust waits for what it knows of, and of batches it knows no end.
        self._unacked_messages -= {message for message in self._unacked_messages if self.is_batched(message.topic)}
        await super().wait_empty()

    def is_waiting(self, topics: Collection[str]) -> bool:
        """True while batches of any of *topics* wait for their agent, or many records wait in Kafka to be fetched."""
        if not self.flow_active:
            return False  # a rebalance: what waits in Kafka is not this worker's to fetch
        for tp, deliveries in self._deliveries.items():
            if tp.topic not in topics or tp in self._parked:
                continue
            if deliveries.waiting or (self.highwater(tp) or 0) - self._next.get(tp, 0) > _MANY_RECORDS:
                return True
        return False
