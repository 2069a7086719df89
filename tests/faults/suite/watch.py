"""What Kafka says of a pipeline from outside: how far its group has come, and whether a transaction hangs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

ANSWER_S = 10.0
TAIL = 500
"""Records looked through from a topic's end for the last that is no transaction marker."""

At = tuple[str, int]


class Watch:
    """A pipeline's topics and its group, read with clients of its own; every method blocks."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._bootstrap, self._group = bootstrap, group
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 10_000})
        self._performance: Consumer | None = None
        self._asker: Consumer | None = None
        self._followed = 0
        """How far `performance` was read."""
        self.positions: dict[int, tuple[int, int]] = {}
        """By partition, how far the predictions and the labels were counted (next offsets)."""
        self.ledgers: dict[int, dict[str, Any]] = {}
        """By partition, the newest ledger record of `performance`."""
        self.told: dict[bytes, dict[str, Any] | None] = {}
        """The newest record of `performance` under each key; None is a tombstone."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 if there is none."""
        found = self._admin.list_topics(timeout=ANSWER_S).topics.get(topic)
        return 0 if found is None else len(found.partitions)

    def topics_with(self, name: str) -> list[str]:
        """The topics whose names hold *name*."""
        return [topic for topic in self._admin.list_topics(timeout=ANSWER_S).topics if name in topic]

    def ends(self, topics: Iterable[str], *, committed: bool = True, first: bool = False) -> dict[At, int]:
        """End offsets (or the first ones): of what is committed, or of everything that was written."""
        spec = OffsetSpec.earliest() if first else OffsetSpec.latest()
        wanted = {TopicPartition(topic, number): spec for topic in topics for number in range(self.partitions(topic))}
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        found = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=ANSWER_S)
        return {(at.topic, at.partition): future.result(ANSWER_S).offset for at, future in found.items()}

    def committed(self, topic: str) -> dict[At, int]:
        """The group's committed offsets, 0 where there is none.

        Asked by a client of the group that never joins it: the admin client ends the process where a coordinator
        moves or is away while it is asked (librdkafka issue 5315).
        """
        if self._asker is None:
            self._asker = self._consumer(self._group)
        wanted = [TopicPartition(topic, n) for n in range(self.partitions(topic))]
        return {(at.topic, at.partition): max(0, at.offset) for at in self._asker.committed(wanted, timeout=ANSWER_S)}

    def last_records(self, topic: str) -> dict[At, int]:
        """The offset after the last record of each partition that is no transaction marker."""
        ends, firsts = self.ends([topic]), self.ends([topic], first=True)
        last: dict[At, int] = {}
        consumer = self._consumer()
        try:
            for at, end in ends.items():
                back = TAIL
                while at not in last:
                    start = max(firsts[at], end - back)
                    last.update(self._last_record(consumer, at, start, end))
                    if start == firsts[at]:
                        last.setdefault(at, 0)
                    back *= 10
        finally:
            consumer.close()
        return last

    def _last_record(self, consumer: Consumer, at: At, start: int, end: int) -> dict[At, int]:
        found: dict[At, int] = {}
        consumer.assign([TopicPartition(*at, start)])
        while True:
            message = consumer.poll(ANSWER_S)
            if message is None or message.error() or message.offset() >= end:
                return found
            found[at] = message.offset() + 1

    def follow_performance(self, topic: str) -> None:
        """Bring `positions`, `ledgers` and `told` up to date."""
        if self._performance is None:
            self._performance = self._consumer()
            self._performance.assign([TopicPartition(topic, 0, 0)])
        (end,) = self.ends([topic]).values()
        while self._followed < end:
            message = self._performance.poll(ANSWER_S)
            if message is None:
                raise TimeoutError(f"{topic} gives nothing from offset {self._followed} to {end}")
            if not message.error():
                self._followed = message.offset() + 1
                self._take(message.key() or b"", message.value())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                # Told once for each end that was reached; it may lie beyond the last record, where markers are.
                self._followed = max(self._followed, message.offset())
            else:
                raise KafkaException(message.error())

    def _take(self, key: bytes, value: bytes | None) -> None:
        told = self.told[key] = json.loads(value) if value else None
        if key.startswith(b"ledger/") and told is not None:
            self.ledgers[told["partition"]] = told
            at = told["positions"]
            self.positions[told["partition"]] = (at["predictions"], at["labels"])

    def read(self, topic: str) -> list[Any]:
        """All committed records of a topic."""
        ends = self.ends([topic])
        consumer = self._consumer()
        found = []
        try:
            for at in ends:
                consumer.assign([TopicPartition(*at, 0)])
                while (message := consumer.poll(ANSWER_S)) is not None and not message.error():
                    found.append(message)
        finally:
            consumer.close()
        return found

    def _consumer(self, group: str = "fault-suite") -> Consumer:
        return Consumer({
            "bootstrap.servers": self._bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 0,
        })  # fmt: skip

    # -- changes that an operator might make

    def admin(self, work: Callable[[AdminClient], dict[Any, Any]]) -> None:
        """Do *work* and wait for all of its futures."""
        for future in work(self._admin).values():
            future.result(30.0)

    def delete(self, topics: list[str]) -> None:
        """Delete topics, those that exist."""
        if topics:
            for future in self._admin.delete_topics(topics, operation_timeout=ANSWER_S).values():
                try:
                    future.result(ANSWER_S)
                except KafkaException:
                    continue  # gone already

    def close(self) -> None:
        """Let go of Kafka."""
        for client in (self._performance, self._asker):
            if client is not None:
                client.close()
