"""Quix Streams: an application whose one sink scores in batches and produces, confirmed before every commit.

A StreamingDataFrame handles one record at a time, and `to_topic`, its own way out, takes neither a batch nor a
partition number. What Quix has for batches is the sink: it is given each record with key, timestamp and partition, may
gather them or send at once, and must have everything confirmed when a checkpoint flushes it; only then are offsets
committed. A prediction can thus be written twice, but not lost. Quix's own KafkaReplicatorSink is made like this.

What was chosen for speed: keys and values as bytes; no state, so no changelog; a sink straight on `BaseSink`, since
`BatchingSink` scores nothing before the checkpoint and wraps each record once more; a producer of its own, since Quix's
polls after every record. A batch is scored when it is full, or at once when a record comes that was written just now:
nothing waits behind it. So batches are long where there is a backlog and short where there is none.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from quixstreams import Application
from quixstreams.sinks import BaseSink
from typing_extensions import override

from benchmarks.peers.scoring import Scoring

BATCH = 1000
"""Records of one partition that are scored together at most."""
FRESH_MS = 10
"""A record younger than this is taken to be the last that there is."""
COMMIT_INTERVAL_S = 0.25
"""From checkpoint to checkpoint; what waits for a full batch when the stream ends is scored at the next."""
POLL_TIMEOUT_S = 0.05
"""How long a checkpoint may be overdue because no record comes."""


class ScoringSink(BaseSink):
    """Keys, values and timestamps of each partition, until they are scored and produced."""

    def __init__(self, broker: str, predictions: str, scoring: Scoring) -> None:
        super().__init__()
        self._predictions = predictions
        self._score = scoring.score
        self._waiting: dict[int, tuple[list[Any], list[bytes], list[int]]] = {}
        self._error: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "acks": "all",
                "enable.idempotence": True,  # as in Quix's own
                "linger.ms": 1,  # as fast as 5 for batches, and sooner for single records
                "batch.size": 1 << 20,
                "delivery.report.only.error": True,
                "on_delivery": self._note_error,
            }
        )

    @override
    def add(
        self, value: bytes, key: Any, timestamp: int, headers: object, topic: str, partition: int, offset: int
    ) -> None:
        """Keep a record; score those of its partition if they are enough or it is fresh."""
        waiting = self._waiting.get(partition)
        if waiting is None:
            waiting = self._waiting[partition] = ([], [], [])
        keys, values, timestamps_ms = waiting
        keys.append(key)
        values.append(value)
        timestamps_ms.append(timestamp)
        if len(keys) >= BATCH or time.time() * 1000 - timestamp < FRESH_MS:
            self._send(partition)

    @override
    def flush(self) -> None:
        """Score what waits, and return when all that was ever produced is acknowledged: offsets are committed next."""
        for partition in list(self._waiting):
            self._send(partition)
        self._producer.flush()
        if self._error is not None:
            raise KafkaException(self._error)

    def _send(self, partition: int) -> None:
        """Score what waits of *partition* and produce it, without waiting for the acknowledgement."""
        keys, values, timestamps_ms = self._waiting.pop(partition)
        produce = self._producer.produce
        for key, value, timestamp_ms in zip(keys, self._score(values, timestamps_ms), timestamps_ms, strict=True):
            produce(self._predictions, value, key, partition=partition, timestamp=timestamp_ms)
        self._producer.poll(0)

    def _note_error(self, error: KafkaError | None, _message: Message) -> None:
        """Remember that a prediction was not written, so that the checkpoint fails."""
        self._error = self._error or error


def run(broker: str, features: str, predictions: str, group: str, scoring: Scoring) -> None:
    """Score until killed."""
    app = Application(
        broker,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_INTERVAL_S,
        consumer_poll_timeout=POLL_TIMEOUT_S,
        consumer_extra_config={"max.partition.fetch.bytes": 4 << 20},
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="WARNING",
    )
    source = app.topic(features, key_deserializer="bytes", value_deserializer="bytes")
    app.dataframe(source).sink(ScoringSink(broker, predictions, scoring))
    app.run()


if __name__ == "__main__":
    broker, features, predictions, model, group, shape = sys.argv[1:]
    run(broker, features, predictions, group, Scoring(Path(model), shape))
