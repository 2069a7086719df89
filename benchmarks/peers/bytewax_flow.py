"""Bytewax: a dataflow of three steps, its Kafka source, a scoring of whole batches, and a sink that keeps partitions.

Bytewax's own KafkaSink writes to the partition that the key hashes to, whatever partition a message names, overlooks
predictions that were not acknowledged, and waits after every batch. So the sink here is one of its users' own, of the
kind that has partitions and state: it is told when a snapshot is due, and has everything acknowledged before. What was
scored travels as one item for each batch, which costs the engine nothing; keys and timestamps are kept.

Bytewax commits no offsets to Kafka and knows no consumer groups: how far it has read stands in its recovery store, an
SQLite file beside the process, named after the group, and is written when an epoch ends. After a crash a flow that
finds its store goes on from there: a prediction can be written twice, but not lost. Without it everything is read anew.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from typing_extensions import override

from benchmarks.peers.scoring import Scoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    Scored = tuple[Sequence[KafkaSourceMessage[Any, Any]], list[bytes]]
    """Records and their predictions, in step."""

BATCH = 4000
"""Records that are read and scored together at most."""
EPOCH = timedelta(seconds=1)
"""From snapshot to snapshot."""


class PredictionsPart(StatefulSinkPartition["Scored", None]):
    """The producer of all predictions."""

    def __init__(self, broker: str, predictions: str) -> None:
        self._predictions = predictions
        self._error: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "acks": "all",
                "linger.ms": 5,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 1_000_000,  # what an epoch may hold
                "delivery.report.only.error": True,
                "on_delivery": self._note_error,
            }
        )

    @override
    def write_batch(self, values: list[Scored]) -> None:
        """Produce, without waiting for the acknowledgements."""
        produce = self._producer.produce
        for records, predictions in values:
            for record, prediction in zip(records, predictions, strict=True):
                produce(
                    self._predictions,
                    prediction,
                    record.key,
                    partition=record.partition,
                    timestamp=record.timestamp[1],  # type: ignore[index]  # records from Kafka have one
                )
        self._producer.poll(0)

    @override
    def snapshot(self) -> None:
        """Return when all is acknowledged that was produced in the epoch: how far was read is kept next."""
        self._producer.flush()
        if self._error is not None:
            raise KafkaException(self._error)

    @override
    def close(self) -> None:
        """Let what was produced be written."""
        self.snapshot()

    def _note_error(self, error: KafkaError | None, _message: Message) -> None:
        """Remember that a prediction was not written, so that the epoch does not end."""
        self._error = self._error or error


class PredictionsSink(FixedPartitionedSink["Scored", None]):
    """The predictions topic, in one part: records of one partition stay in order only under one producer."""

    def __init__(self, broker: str, predictions: str) -> None:
        self._broker = broker
        self._predictions = predictions

    @override
    def list_parts(self) -> list[str]:
        """The name of the one part."""
        return [self._predictions]

    @override
    def part_fn(self, item_key: str) -> int:
        """The one part."""
        return 0

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> PredictionsPart:
        """Nothing is resumed but the reading."""
        return PredictionsPart(self._broker, self._predictions)


def flow(broker: str, features: str, predictions: str, scoring: Scoring) -> Dataflow:
    """From features to predictions, on the one worker of one process."""

    def score(records: Sequence[Any]) -> list[tuple[str, Scored]]:
        timestamps_ms = [record.timestamp[1] for record in records]
        scored = scoring.score([record.value for record in records], timestamps_ms)
        return [(predictions, (records, scored))]

    config = {"max.partition.fetch.bytes": str(4 << 20)}
    dataflow = Dataflow("bench")
    read = op.input("features", dataflow, KafkaSource([broker], [features], add_config=config, batch_size=BATCH))
    op.output("predictions", op.flat_map_batch("score", read, score), PredictionsSink(broker, predictions))
    return dataflow


def recovery(group: str) -> RecoveryConfig:
    """The recovery store of *group* in the folder for temporary files, made when it is not there."""
    folder = Path(tempfile.gettempdir()) / f"{group}.bytewax"
    if not folder.exists():
        folder.mkdir()
        init_db_dir(folder, 1)
    return RecoveryConfig(str(folder))


if __name__ == "__main__":
    broker, features, predictions, model, group, shape = sys.argv[1:]
    dataflow = flow(broker, features, predictions, Scoring(Path(model), shape))
    cli_main(dataflow, epoch_interval=EPOCH, recovery_config=recovery(group))
