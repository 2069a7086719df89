"""From Kafka to plain logs: every topic read committed, from its first offset to the end that it had at the start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from verify.report import CannotCheck
from verify.transactions import OFFSETS_TOPIC, Unsettled, find_unsettled, offsets_partition

FETCH_BYTES = 8 << 20
FETCH_WAIT_MS = 10
CREATE_TIME = 0


class Record(NamedTuple):
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    create_time: bool = True
    """False where the broker stamped the record (LogAppendTime)."""

    @property
    def size(self) -> int:
        """Bytes of value and headers."""
        return len(self.value or b"") + sum(len(value or b"") for _, value in self.headers)

    @property
    def where(self) -> str:
        """The record's coordinates for a report."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Logs(Protocol):
    """The topics of a pipeline as they stood when the run began."""

    def partitions(self, topic: str) -> int:
        """How many partitions *topic* has; 0 if it does not exist."""

    def start(self, topic: str, partition: int) -> int:
        """The first offset that retention has left."""

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last committed record."""

    def committed(self, topic: str, partition: int) -> int:
        """The consumer group's next offset; 0 if it has committed none."""

    def records(self, topic: str, partition: int) -> Iterator[Record]:
        """The records from `start` to `end`, in order."""


class KafkaLogs:
    """The logs of a real broker; a context manager.

    topics: names in the order in which their ends are taken: what is derived comes before what it is derived from,
    so that a pipeline at work never shows an outcome without its source.
    group: the consumer group whose committed offsets `committed` answers; read before any end.
    also_settled: further topics, if they exist, in which no transaction may hang.
    offsets_of: a consumer group whose committed offsets no transaction may hold up.
    stall_s: seconds without progress after which a read is given up (CannotCheck).
    patience_s: how long a transaction that is open at the start may stay so; ends are taken after that.
    """

    def __init__(  # noqa: PLR0913 - what a run may be told
        self,
        broker: str,
        topics: list[str],
        *,
        group: str | None = None,
        also_settled: Iterable[str] = (),
        offsets_of: str | None = None,
        stall_s: float = 30.0,
        patience_s: float = 10.0,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._group = group
        self._also_settled = list(also_settled)
        self._offsets_of = offsets_of
        self._stall_s = stall_s
        self._patience_s = patience_s
        self._runner = asyncio.Runner()
        self._consumer: Any = None
        self._reading: set[TopicPartition] = set()
        self._starts: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._counts: dict[str, int] = {}
        self.looked_at = 0
        """Of how many partitions it was seen whether a transaction hangs."""
        self.unsettled: list[Unsettled] = []

    def __enter__(self) -> Self:
        self._runner.__enter__()
        try:
            self._runner.run(self._look())
        except (KafkaError, OSError) as error:
            self._close()
            raise CannotCheck(f"cannot read from the broker {self._broker}: {error!r}; is it up?") from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._consumer is not None:
            with suppress(KafkaError):
                self._runner.run(self._consumer.stop())
            self._consumer = None
        self._runner.close()

    def partitions(self, topic: str) -> int:
        """How many partitions *topic* has; 0 if it does not exist."""
        return self._counts.get(topic, 0)

    def start(self, topic: str, partition: int) -> int:
        """The first offset that retention has left."""
        return self._starts.get(TopicPartition(topic, partition), 0)

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last committed record, taken when the run began."""
        return self._ends.get(TopicPartition(topic, partition), 0)

    def committed(self, topic: str, partition: int) -> int:
        """The consumer group's next offset; 0 if it has committed none."""
        return self._committed.get(TopicPartition(topic, partition), 0)

    def records(self, topic: str, partition: int) -> Iterator[Record]:
        """The records from `start` to `end`, in order; one fetch is held in memory at a time."""
        tp = TopicPartition(topic, partition)
        start, end = self._starts.get(tp, 0), self._ends.get(tp, 0)
        if start >= end:
            return
        if tp in self._reading:
            raise RuntimeError(f"{topic}[{partition}] is being read already")
        self._reading.add(tp)
        try:
            self._runner.run(self._resume(tp, start))
            position = start
            while position < end:
                batch, position = self._runner.run(self._fetch(tp, position))
                for record in batch:
                    if record.offset >= end:
                        return
                    yield Record(
                        topic,
                        partition,
                        record.offset,
                        record.timestamp,
                        record.key,
                        record.value,
                        tuple(record.headers),
                        record.timestamp_type == CREATE_TIME,
                    )
        except KafkaError as error:
            raise CannotCheck(f"reading {topic}[{partition}] failed: {error!r}") from error
        finally:
            self._reading.discard(tp)
            if self._consumer is not None:
                self._runner.run(self._pause(tp))

    def committed_now(self, group: str) -> dict[int, int]:
        """The next offsets that *group* has committed by now on the last of the topics, by partition; 0 for none."""
        try:
            committed = self._runner.run(self._committed_offsets(group))
        except (KafkaError, OSError) as error:
            raise CannotCheck(f"cannot read the committed offsets of {group}: {error!r}") from error
        return {tp.partition: offset for tp, offset in committed.items()}

    async def _resume(self, tp: TopicPartition, start: int) -> None:
        self._consumer.seek(tp, start)
        self._consumer.resume(tp)

    async def _pause(self, tp: TopicPartition) -> None:
        self._consumer.pause(tp)

    async def _fetch(self, tp: TopicPartition, position: int) -> tuple[list[Any], int]:
        """The next records, perhaps none where only transaction markers lay, and the position after them."""
        deadline_s = time.monotonic() + self._stall_s
        while True:
            # A short wait: where only markers are left nothing is given, but the position moves on.
            batches = await self._consumer.getmany(tp, timeout_ms=20)
            after = await self._consumer.position(tp)
            if batches.get(tp) or after > position:
                return batches.get(tp, []), after
            if time.monotonic() > deadline_s:
                raise CannotCheck(
                    f"{tp.topic}[{tp.partition}] gives nothing after offset {position} for {self._stall_s:g} s"
                )

    async def _started(self, isolation: str, *, group: str | None = None) -> Any:
        """A started consumer that never joins a group and never commits."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._broker,
            group_id=group,
            isolation_level=isolation,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=2 * FETCH_BYTES,
            # A fetch at the end of one partition would keep the next partition waiting for so long.
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        try:
            await consumer.start()
        except BaseException:
            with suppress(KafkaError):
                await consumer.stop()
            raise
        return consumer

    async def _look(self) -> None:
        """Take partition counts, hanging transactions, committed offsets, end and first offsets, in this order."""
        settled = [*self._topics, *self._also_settled]
        await self._count_partitions({*settled, OFFSETS_TOPIC})
        tps = self._partitions_of(settled)
        if self._offsets_of is not None and (n_partitions := self.partitions(OFFSETS_TOPIC)):
            tps.append(TopicPartition(OFFSETS_TOPIC, offsets_partition(self._offsets_of, n_partitions)))
        everything, self._consumer = await asyncio.gather(
            self._started("read_uncommitted"), self._started("read_committed")
        )
        try:
            for consumer in (everything, self._consumer):
                _assign_paused(consumer, tps)
            self.unsettled = await find_unsettled(
                tps, self._consumer.end_offsets, everything.end_offsets, patience_s=self._patience_s
            )
            self.looked_at = len(tps)
        finally:
            await everything.stop()
        if self._group is not None:
            self._committed = await self._committed_offsets(self._group)
        for topic in self._topics:
            if of_topic := self._partitions_of([topic]):
                self._ends |= await self._consumer.end_offsets(of_topic)
        if of_topics := self._partitions_of(self._topics):
            self._starts = await self._consumer.beginning_offsets(of_topics)

    async def _committed_offsets(self, group: str) -> dict[TopicPartition, int]:
        """The group's next offsets on the last of the topics."""
        consumer = await self._started("read_committed", group=group)
        try:
            return {tp: await consumer.committed(tp) or 0 for tp in self._partitions_of(self._topics[-1:])}
        finally:
            await consumer.stop()

    async def _count_partitions(self, topics: set[str]) -> None:
        # Of all topics: to ask for one that does not exist might create it.
        client = AIOKafkaClient(bootstrap_servers=self._broker)
        try:
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
        finally:
            await client.close()
        for topic in topics & cluster.topics(exclude_internal_topics=False):
            self._counts[topic] = len(cluster.partitions_for_topic(topic) or ())

    def _partitions_of(self, topics: list[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in topics for number in range(self.partitions(topic))]


def _assign_paused(consumer: Any, tps: list[TopicPartition]) -> None:
    """Let *consumer* know the topics, which is slow one by one, and fetch nothing of them yet."""
    consumer.assign(tps)
    consumer.pause(*tps)
