"""A hand-written confluent-kafka loop, the ceiling in Python: consume 4,000, score, produce, flush, commit."""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from benchmarks.peers.scoring import Scoring


def check(error: KafkaError | None, _message: Message) -> None:
    """End the loop when a prediction was not acknowledged: its offset must not be committed."""
    if error is not None:
        raise KafkaException(error)


def run(broker: str, features: str, predictions: str, group: str, scoring: Scoring) -> None:
    """Score until killed."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "max.partition.fetch.bytes": 4 << 20,
            "fetch.queue.backoff.ms": 10,  # a full queue would otherwise stand still for a second
        }
    )
    producer = Producer({"bootstrap.servers": broker, "acks": "all", "linger.ms": 5, "batch.size": 1 << 20})
    consumer.subscribe([features])
    while True:
        records = consumer.consume(scoring.records_max, timeout=0.2)
        if not records:
            continue
        for record in records:
            if record.error():
                raise KafkaException(record.error())
        timestamps_ms = [record.timestamp()[1] for record in records]
        values = scoring.score([record.value() or b"" for record in records], timestamps_ms)
        for record, value in zip(scoring.spread(records), values, strict=True):
            # produce_batch is faster by a little, but carries no timestamps
            while True:
                try:
                    producer.produce(
                        predictions,
                        value,
                        record.key(),
                        partition=record.partition() or 0,
                        on_delivery=check,
                        timestamp=record.timestamp()[1],
                    )
                    break
                except BufferError:  # more rows than its queue takes
                    producer.poll(0.1)
        producer.flush()
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    broker, features, predictions, model, group, shape = sys.argv[1:]
    run(broker, features, predictions, group, Scoring(Path(model), shape))
