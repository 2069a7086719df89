"""A stock Faust agent, event by event as Faust's guide writes them.

It takes raw bytes and decodes them with msgspec, since Faust's own codecs and records are slower.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import faust

from benchmarks.peers.scoring import Scoring


def create_app(broker: str, features: str, predictions: str, group: str, scoring: Scoring) -> faust.App:
    """The app with its one agent."""
    app = faust.App(
        group,
        broker=f"kafka://{broker}",
        store="memory://",
        consumer_auto_offset_reset="earliest",
        topic_partitions=2,
        topic_disable_leader=True,
        topic_allow_declare=False,
        producer_linger=0.005,
        producer_max_batch_size=1 << 18,
        broker_max_poll_records=4000,
        datadir=tempfile.mkdtemp(prefix="faust-onnx-bench-"),
    )
    source = app.topic(features, key_type=bytes, value_type=bytes, value_serializer="raw")
    target = app.topic(predictions, key_type=bytes, value_type=bytes, value_serializer="raw")

    @app.agent(source)  # type: ignore[untyped-decorator]
    async def score(stream: faust.StreamT[bytes]) -> None:
        """Score one event at a time."""
        async for event in stream.events():
            message = event.message
            timestamp_ms = int(message.timestamp * 1000)
            (value,) = scoring.score([event.value], [timestamp_ms])
            await target.send(key=message.key, value=value, partition=message.partition, timestamp=message.timestamp)

    return app


if __name__ == "__main__":
    broker, features, predictions, model, group, shape = sys.argv[1:]
    app = create_app(broker, features, predictions, group, Scoring(Path(model), shape))
    sys.argv = ["stock-faust", "--loop", "uvloop", "worker", "-l", "warn", "--without-web"]
    app.main()
