"""From Kafka to plain logs: every topic read committed, from its first offset to the end that it had at the start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from verify.report import CannotCheck

FETCH_BYTES = 8 << 20
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
    stall_s: seconds without progress after which a read is given up (CannotCheck).
    """

    def __init__(self, broker: str, topics: list[str], *, group: str | None = None, stall_s: float = 30.0) -> None:
        self._broker = broker
        self._topics = topics
        self._group = group
        self._stall_s = stall_s
        self._runner = asyncio.Runner()
        self._starts: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._runner.__enter__()
        try:
            self._runner.run(self._look())
        except (KafkaError, OSError) as error:
            self._runner.close()
            raise CannotCheck(f"cannot read from the broker {self._broker}: {error!r}; is it up?") from error
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
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
        consumer = self._runner.run(self._consumer())
        try:
            self._runner.run(_seek(consumer, tp, start))
            position = start
            while position < end:
                batch, position = self._runner.run(self._fetch(consumer, tp, position))
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
            self._runner.run(consumer.stop())

    async def _fetch(self, consumer: Any, tp: TopicPartition, position: int) -> tuple[list[Any], int]:
        """The next records, perhaps none where only transaction markers lay, and the position after them."""
        deadline_s = time.monotonic() + self._stall_s
        while True:
            # A short wait: where only markers are left nothing is given, but the position moves on.
            batches = await consumer.getmany(tp, timeout_ms=20)
            after = await consumer.position(tp)
            if batches.get(tp) or after > position:
                return batches.get(tp, []), after
            if time.monotonic() > deadline_s:
                raise CannotCheck(
                    f"{tp.topic}[{tp.partition}] gives nothing after offset {position} for {self._stall_s:g} s"
                )

    async def _consumer(self, group: str | None = None) -> Any:
        """A started consumer that never joins a group and never commits."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._broker,
            group_id=group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=2 * FETCH_BYTES,
        )
        try:
            await consumer.start()
        except BaseException:
            with suppress(KafkaError):
                await consumer.stop()
            raise
        return consumer

    async def _look(self) -> None:
        """Take committed offsets, partition counts, first and end offsets."""
        consumer = await self._consumer(self._group)
        try:
            # Only of topics that exist: to ask for another one might create it.
            self._counts = await self._count_partitions(sorted(await consumer.topics() & set(self._topics)))
            if self._group is not None:
                for tp in self._partitions_of(self._topics[-1:]):
                    self._committed[tp] = await consumer.committed(tp) or 0
            for topic in self._topics:
                tps = self._partitions_of([topic])
                if tps:
                    self._ends |= await consumer.end_offsets(tps)
            for topic in self._topics:
                tps = self._partitions_of([topic])
                if tps:
                    self._starts |= await consumer.beginning_offsets(tps)
        finally:
            await consumer.stop()

    async def _count_partitions(self, topics: list[str]) -> dict[str, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._broker)
        try:
            await admin.start()
            described = await admin.describe_topics(topics) if topics else []
        finally:
            await admin.close()
        return {topic["topic"]: len(topic["partitions"]) for topic in described}

    def _partitions_of(self, topics: list[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in topics for number in range(self.partitions(topic))]


async def _seek(consumer: Any, tp: TopicPartition, offset: int) -> None:
    consumer.assign([tp])
    consumer.seek(tp, offset)
