"""A hand-written aiokafka loop: fetch up to 4,000 records, score, write whole record batches, commit; nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers.scoring import Scoring


async def run(broker: str, features: str, predictions: str, group: str, scoring: Scoring) -> None:
    """Score until killed."""
    consumer = AIOKafkaConsumer(
        features,
        bootstrap_servers=broker,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", max_batch_size=1 << 20, linger_ms=0)
    async with consumer, producer:
        while True:
            fetched = await consumer.getmany(timeout_ms=200, max_records=scoring.records_max)
            sent = []
            for tp, records in fetched.items():
                values = scoring.score([r.value for r in records], [r.timestamp for r in records])
                builder = producer.create_batch()
                for record, value in zip(scoring.spread(records), values, strict=True):
                    if builder.append(key=record.key, value=value, timestamp=record.timestamp) is None:  # it is full
                        sent.append(await producer.send_batch(builder, predictions, partition=tp.partition))
                        builder = producer.create_batch()
                        builder.append(key=record.key, value=value, timestamp=record.timestamp)
                sent.append(await producer.send_batch(builder, predictions, partition=tp.partition))
            for acknowledged in sent:
                await acknowledged
            if fetched:
                await consumer.commit({tp: records[-1].offset + 1 for tp, records in fetched.items()})


if __name__ == "__main__":
    broker, features, predictions, model, group, shape = sys.argv[1:]
    uvloop.run(run(broker, features, predictions, group, Scoring(Path(model), shape)))
