"""What a run did, counted from the topics alone: read from offset 0, with none of the program's own counters."""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import BrokerError
from app.topology.topics import admin_client, partition_counts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.records import ClassValue, Topics

_FETCH_BYTES = 4 << 20
_POLL_MS = 200
_STALL_S = 30.0
_MAX_RECORDS = 10_000


class _Prediction(msgspec.Struct):
    id: str
    version: int
    prediction: Any
    event_at: float
    scored_at: float


class _Label(msgspec.Struct):
    id: str
    label: Any
    at: float | None = None


class _Activation(msgspec.Struct):
    version: int
    effective_from_s: float


@dataclass
class VersionCount:
    """What one version of the model did."""

    predictions: int = 0
    joined: int = 0
    correct: int = 0
    first_scored_at_s: float = math.inf
    last_scored_at_s: float = -math.inf

    @property
    def accuracy(self) -> float | None:
        """Share of the joined predictions that were right; None without any."""
        return self.correct / self.joined if self.joined else None


@dataclass
class Recount:
    """The run as the topics hold it."""

    events_in: int = 0
    """Feature records."""
    predictions: int = 0
    """Feature records with a prediction; copies after a redelivery are in `copies`."""
    copies: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Feature records with a dead letter, by reason."""
    labels: int = 0
    """Label records."""
    versions: dict[int, VersionCount] = field(default_factory=lambda: defaultdict(VersionCount))
    effective_from_s: dict[int, float] = field(default_factory=dict)
    """For each version that was activated: from which record timestamp on, the first time."""
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    """`scored_at` minus the record's timestamp, one for each prediction, copies left out."""

    @property
    def joined(self) -> int:
        """Events whose label came within the horizon."""
        return sum(version.joined for version in self.versions.values())

    @property
    def is_complete(self) -> bool:
        """Whether each feature record has exactly one outcome."""
        return self.events_in == self.predictions + sum(self.dead_letters.values())

    @property
    def predictions_per_s(self) -> float:
        """Predictions over the time from the first `scored_at` to the last; 0 if that is no time."""
        first_s = min((version.first_scored_at_s for version in self.versions.values()), default=0.0)
        last_s = max((version.last_scored_at_s for version in self.versions.values()), default=0.0)
        return self.predictions / (last_s - first_s) if last_s > first_s else 0.0

    @property
    def swap_seconds(self) -> float | None:
        """From the instant agreed for the newest version to its first prediction; None if it never came to that."""
        newest = max(self.versions, default=0)
        if newest <= min(self.versions, default=0) or newest not in self.effective_from_s:
            return None
        return self.versions[newest].first_scored_at_s - self.effective_from_s[newest]

    def latency_s(self, percentile: float) -> float | None:
        """The latency that *percentile* percent of the predictions do not exceed; None without any."""
        return float(np.percentile(np.frombuffer(self.latencies_s), percentile)) if self.latencies_s else None

    def as_json(self, *, kafka: str) -> dict[str, Any]:
        """The public summary: its keys are always these, a value that cannot be told is None."""
        accuracies = {str(version): count.accuracy for version, count in sorted(self.versions.items())}
        return {
            "events_in": self.events_in,
            "predictions": self.predictions,
            "dead_letters": sum(self.dead_letters.values()),
            "labels": self.labels,
            "joined": self.joined,
            "accuracy": {version: accuracy for version, accuracy in accuracies.items() if accuracy is not None},
            "swap_seconds": self.swap_seconds,
            "latency_p50_s": self.latency_s(50),
            "latency_p99_s": self.latency_s(99),
            "kafka": kafka,
        }


async def recount(bootstrap: str, topics: Topics, *, label_horizon_s: float) -> Recount:
    """The run on *topics*, from their first offsets to the ends they have now.

    A label joins the first prediction of its id if it is the first label of that id and at most *label_horizon_s*
    later than the event. Raises BrokerError when the topics cannot be read.
    """
    async with admin_client(bootstrap) as admin:
        widths = await partition_counts(admin, list(topics))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await consumer.start()
    try:
        counted = Recount()
        async for record in _all_of(consumer, topics.models, widths.get(topics.models, 0)):
            _count_activation(counted, record)
        labels: dict[str, tuple[ClassValue, float]] = {}
        async for record in _all_of(consumer, topics.labels, widths.get(topics.labels, 0)):
            counted.labels += 1
            label = _decoded(_LABELS, record.value)
            if label is not None:
                at_s = label.at if label.at is not None else record.timestamp / 1000
                labels.setdefault(label.id, (label.label, at_s))
        async for _ in _all_of(consumer, topics.features, widths.get(topics.features, 0)):
            counted.events_in += 1
        seen = _Seen()
        async for record in _all_of(consumer, topics.predictions, widths.get(topics.predictions, 0)):
            _count_prediction(counted, record, seen, labels, label_horizon_s)
        dead = _Seen()
        async for record in _all_of(consumer, topics.dead_letters, widths.get(topics.dead_letters, 0)):
            headers = dict(record.headers)
            if headers.get("source-topic") == topics.features.encode() and dead.is_new(headers):
                counted.dead_letters[headers["reason"].decode()] += 1
    except KafkaError as error:
        raise BrokerError(f"the summary cannot be counted, reading a topic failed: {error!r}") from error
    finally:
        await consumer.stop()
    counted.versions = dict(counted.versions)
    return counted


class _Seen:
    """Source coordinates that already had their record, one byte for each offset."""

    def __init__(self) -> None:
        self._offsets: dict[bytes, bytearray] = defaultdict(bytearray)

    def is_new(self, headers: dict[str, bytes]) -> bool:
        """Whether the coordinates in *headers* are seen for the first time."""
        offset = int(headers["source-offset"])
        seen = self._offsets[headers["source-partition"]]
        if len(seen) <= offset:
            seen.extend(bytes(offset + 1 - len(seen)))
        if seen[offset]:
            return False
        seen[offset] = 1
        return True


_PREDICTIONS = msgspec.json.Decoder(_Prediction)
_LABELS = msgspec.json.Decoder(_Label)
_ACTIVATIONS = msgspec.json.Decoder(_Activation)


def _decoded(decoder: msgspec.json.Decoder[Any], value: bytes | None) -> Any:
    try:
        return decoder.decode(value or b"")
    except msgspec.MsgspecError:
        return None


def _count_activation(counted: Recount, record: Any) -> None:
    if record.key and record.key.startswith(b"activation/"):
        activation = _decoded(_ACTIVATIONS, record.value)
        if activation is not None:
            counted.effective_from_s.setdefault(activation.version, activation.effective_from_s)


def _count_prediction(
    counted: Recount, record: Any, seen: _Seen, labels: dict[str, tuple[ClassValue, float]], label_horizon_s: float
) -> None:
    if not seen.is_new(dict(record.headers)):
        counted.copies += 1
        return
    prediction = _PREDICTIONS.decode(record.value)
    counted.predictions += 1
    counted.latencies_s.append(prediction.scored_at - record.timestamp / 1000)
    version = counted.versions[prediction.version]
    version.predictions += 1
    version.first_scored_at_s = min(version.first_scored_at_s, prediction.scored_at)
    version.last_scored_at_s = max(version.last_scored_at_s, prediction.scored_at)
    # Taken out, so that a second prediction of the id joins nothing.
    label, at_s = labels.pop(prediction.id, (None, math.inf))
    if at_s - prediction.event_at <= label_horizon_s:
        version.joined += 1
        version.correct += label == prediction.prediction


async def _all_of(consumer: Any, topic: str, partitions: int) -> AsyncIterator[Any]:
    """Every record of *topic* from its first offset to its present end; each partition in order."""
    all_partitions = [TopicPartition(topic, number) for number in range(partitions)]
    starts = await consumer.beginning_offsets(all_partitions)
    ends = await consumer.end_offsets(all_partitions)
    unread = {partition for partition in all_partitions if starts[partition] < ends[partition]}
    consumer.assign(list(unread))
    for partition in unread:
        consumer.seek(partition, starts[partition])
    last_progress_s = time.monotonic()
    while unread:
        batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        for partition, records in batches.items():
            for record in records:
                if record.offset < ends[partition]:
                    yield record
        # The position tells, not the last record: a transaction's marker takes an offset too.
        finished = {partition for partition in unread if await consumer.position(partition) >= ends[partition]}
        unread -= finished
        consumer.pause(*finished)
        if batches or finished:
            last_progress_s = time.monotonic()
        elif time.monotonic() - last_progress_s > _STALL_S:
            raise BrokerError(f"{topic} gives no record for {_STALL_S:g} s before its end")
