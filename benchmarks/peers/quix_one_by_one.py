"""Quix Streams as its own guide has it: a StreamingDataFrame that scores one record after the other, and `to_topic`.

Quix's own producer confirms everything before a checkpoint commits offsets. `to_topic` takes no partition number: a
prediction is where its key belongs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from quixstreams import Application

from benchmarks.peers.scoring import Scoring


def run(broker: str, features: str, predictions: str, group: str, scoring: Scoring) -> None:
    """Score until killed."""
    app = Application(
        broker,
        consumer_group=group,
        auto_offset_reset="earliest",
        consumer_extra_config={"max.partition.fetch.bytes": 4 << 20},
        producer_extra_config={"linger.ms": 5, "batch.size": 1 << 20},
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="WARNING",
    )

    def score(value: bytes, _key: Any, timestamp_ms: int, _headers: Any) -> bytes:
        return scoring.score([value], [timestamp_ms])[0]

    source = app.topic(features, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(predictions, key_serializer="bytes", value_serializer="bytes")
    app.dataframe(source).apply(score, metadata=True).to_topic(target)
    app.run()


if __name__ == "__main__":
    broker, features, predictions, model, group, shape = sys.argv[1:]
    run(broker, features, predictions, group, Scoring(Path(model), shape))
