"""Some records of a topic, from its beginning and from its end, as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec

from app.cli.client import read_topic
from app.drafting import TableTally
from app.errors import ConfigurationError
from app.tables import TableBatch, columns_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import ConsumerRecord

    from app.features.contract import FieldPath

BYTES_MAX = 256 << 20
"""Where sampling stops, however few records that are."""


@dataclass(frozen=True)
class TopicSample:
    """Records of a topic, and the JSON objects in those that have one."""

    topic: str
    n_partitions: int
    records: list[ConsumerRecord]
    objects: list[dict[str, Any]]
    keys: list[bytes | None]
    """Of the records with an object, one by one."""
    others: Counter[str]
    """What is no JSON object: how often."""

    def batch(self) -> TableBatch:
        """The objects as rows; ConfigurationError if there are none."""
        if not self.objects:
            found = "; ".join(f"{n:,} {what}" for what, n in self.others.most_common()) or "it has no records"
            raise ConfigurationError(f"topic {self.topic}: has no record that is a JSON object: {found}")
        return TableBatch(1, len(self.objects), columns_of(self.objects), 1.0)

    def notes(self, key: FieldPath | None) -> tuple[str, ...]:
        """What a person should know of the topic."""
        notes = [f"{n:,} of {len(self.records):,} records sampled {what}: such a record becomes a dead letter"
                 for what, n in self.others.most_common()]  # fmt: skip
        if key is None and (found := self._keyed_by()):
            notes.append(f"{found} equals the key in all records sampled: --key {found} lets that be checked")
        notes.append(f"the topic has {self.n_partitions} partitions: those of labels and predictions must be as many")
        return tuple(notes)

    def _keyed_by(self) -> str | None:
        if None in self.keys:
            return None
        for path, values in self.batch().columns.items():
            if all(
                type(value) in (str, int) and str(value).encode() == key
                for value, key in zip(values, self.keys, strict=True)
            ):
                return ".".join(path)
        return None


async def sampled_topic(broker: str, topic: str, n_records: int, show: Callable[[float], None]) -> TopicSample:
    """About *n_records* records of *topic*: as many from the beginning of each partition as from its end."""
    from app.topology.topics import admin_client, partition_counts  # noqa: PLC0415  # not for those who read a file

    async with admin_client(broker) as client:
        n_partitions = (await partition_counts(client, [topic])).get(topic, 0)
        if not n_partitions:
            near = get_close_matches(topic, await client.list_topics(), n=1)
            raise ConfigurationError(
                f"topic {topic}: Kafka at {broker} has none of that name"
                + (f"; did you mean {near[0]}?" if near else "")
            )
    share = max(1, n_records // (2 * n_partitions))
    records: dict[tuple[int, int], ConsumerRecord] = {}
    n_bytes = 0
    for part in ({"oldest": share}, {"newest": share}):
        async for record in read_topic(broker, topic, **part):
            if (record.partition, record.offset) not in records:
                records[record.partition, record.offset] = record
                n_bytes += len(record.value or b"")
                show(min(1.0, len(records) / n_records))
            if n_bytes > BYTES_MAX:
                break
    return _sample(topic, n_partitions, list(records.values()))


def tallied(batch: TableBatch, label: FieldPath | None) -> TableTally:
    """What the fields of a topic's records hold."""
    rows = TableTally(is_text=False, label=label)
    rows.add(batch)
    return rows


def _sample(topic: str, n_partitions: int, records: list[ConsumerRecord]) -> TopicSample:
    decode = msgspec.json.Decoder().decode
    objects: list[dict[str, Any]] = []
    keys: list[bytes | None] = []
    others: Counter[str] = Counter()
    for record in records:
        try:
            value = decode(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            others[_other(record.value)] += 1
            continue
        if type(value) is dict:
            objects.append(value)
            keys.append(record.key)
        else:
            others["are JSON, but no object"] += 1
    return TopicSample(topic, n_partitions, records, objects, keys, others)


def _other(value: bytes | None) -> str:
    if value is None:
        return "have no value"
    # Confluent's serialisers put a zero byte and the number of a schema before the record.
    is_framed = value[:1] == b"\0" and len(value) > 5  # noqa: PLR2004
    return "seem to be Avro or Protobuf of a schema registry" if is_framed else "are not JSON"
