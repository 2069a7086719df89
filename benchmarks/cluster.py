"""What the benchmarks ask of Kafka: topics, records in them, and how far their ends are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # it has no __all__

from benchmarks.processes import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

N_PARTITIONS = 2
LOG_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
"""What a features topic has that we create."""
FILL_BATCH = 5000
TRIES = 200
NO_LEADER_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._NOENT)  # noqa: SLF001  it has no other name
"""What a new topic answers for a moment."""


class Cluster:
    """One Kafka, seen from outside the systems that are measured."""

    def __init__(self, broker: str, *, partitions: int = N_PARTITIONS) -> None:
        """*partitions*: how many every topic has."""
        self.broker = broker
        self.partitions = partitions
        self._admin = AdminClient(client(broker))

    def create(self, topic: str, config: Mapping[str, str] | None = None) -> None:
        """Make *topic*."""
        new = NewTopic(topic, num_partitions=self.partitions, replication_factor=1, config=dict(config or {}))
        for made in self._admin.create_topics([new]).values():
            made.result(30)

    def delete(self, *topics: str) -> None:
        """Remove *topics* and their disk; those that do not exist are skipped."""
        for removed in self._admin.delete_topics(list(topics)).values():
            try:
                removed.result(30)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise

    def written(self, topic: str) -> int:
        """How many records were ever written to *topic*; 0 while it does not exist."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, partition): latest for partition in range(self.partitions)}
        for _ in range(TRIES):
            try:
                return sum(answer.result(10).offset for answer in self._admin.list_offsets(asked).values())
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return 0
                if code not in NO_LEADER_YET:
                    raise
                time.sleep(0.05)
                self._admin = AdminClient(client(self.broker))  # the one that asked too early would not look again
        raise Unfit(f"no leader for {topic}")

    def fill(self, topic: str, make: Callable[[int], tuple[bytes, bytes]], numbers: range) -> None:
        """Write the records of *numbers* and wait until all are acknowledged; a number's remainder is its partition."""
        producer = Producer({**client(self.broker), "linger.ms": 20, "batch.size": 1 << 20, "enable.idempotence": True})
        for start in range(0, len(numbers), FILL_BATCH):
            batch = numbers[start : start + FILL_BATCH]
            for partition in range(self.partitions):
                mine = [number for number in batch if number % self.partitions == partition]
                messages = [dict(zip(("key", "value"), make(number), strict=True)) for number in mine]
                producer.produce_batch(topic, messages, partition=partition, on_delivery=raise_error)
            while len(producer) > 10 * FILL_BATCH:
                producer.poll(0.05)
        producer.flush()

    def sample(self, topic: str, n: int) -> list[Message]:
        """The first *n* records of each partition of *topic*; fewer if they do not come within ten seconds."""
        consumer = Consumer({**client(self.broker), "group.id": "unused", "enable.auto.commit": False})
        found: list[Message] = []
        try:
            for partition in range(self.partitions):
                consumer.assign([TopicPartition(topic, partition, 0)])
                found += consumer.consume(n, timeout=10)
        finally:
            consumer.close()
        return found


def client(broker: str) -> dict[str, Any]:
    """What every client of ours is told; that a Kafka which we stop ourselves is gone is no news."""
    return {"bootstrap.servers": broker, "log_level": 2}


def raise_error(error: KafkaError | None, _message: Message) -> None:
    """Stop the benchmark when a record was not acknowledged."""
    if error is not None:
        raise KafkaException(error)
