"""Dead letters as records on their topic: read, described, and sent once more to where they came from."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from app.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiokafka import AIOKafkaProducer, ConsumerRecord

REPLAYED_FROM = "replayed-from"
"""Header of a replayed record: the coordinates of its dead letter."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of a dead-letters topic; what its headers lack is None."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]

    @classmethod
    def of(cls, record: ConsumerRecord) -> Self:
        """The dead letter in *record*."""
        headers = {name: value.decode("utf-8", "backslashreplace") for name, value in record.headers}
        return cls(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers)

    @property
    def coordinates(self) -> str:
        """`PARTITION:OFFSET` on the dead-letters topic."""
        return f"{self.partition}:{self.offset}"

    @property
    def reason(self) -> str:
        """Why it died; `unknown` on a record that is no dead letter of ours."""
        return self.headers.get("reason", "unknown")

    @property
    def source(self) -> tuple[str, int, int] | None:
        """Topic, partition and offset of the record that died."""
        topic, partition, offset = (self.headers.get(f"source-{part}", "") for part in ("topic", "partition", "offset"))
        if not (topic and partition.isdigit() and offset.isdigit()):
            return None
        return topic, int(partition), int(offset)

    @property
    def source_row(self) -> int | None:
        """Which row of that record died, if it was one row alone: its value is a record of this one row then."""
        row = self.headers.get("source-row", "")
        return int(row) if row.isascii() and row.isdigit() else None

    @property
    def _row_text(self) -> str:
        return "" if self.source_row is None else f" row {self.source_row}"

    def obstacle(self, sources: Mapping[str, Collection[int]]) -> str | None:
        """Why it cannot be replayed, None when it can; sources: the topics it may go to, and their partitions."""
        if self.source is None:
            return f"{self.coordinates}: does not say where it came from"
        topic, partition, offset = self.source
        # Headers can be written by whoever may write to this topic: they must not send bytes to any topic they like.
        if topic not in sources:
            return f"{self.coordinates}: came from {topic}, but the contract's topics are {', '.join(sources)}"
        if partition not in sources[topic]:
            return f"{self.coordinates}: topic {topic} has no partition {partition}"
        if "truncated" in self.headers:
            return (
                f"{self.coordinates}: only {len(self.value or b'')} of its {self.headers.get('size', '?')} bytes were "
                f"kept; the whole is at {topic} {partition}:{offset}{self._row_text}, if it is still there"
            )
        return None

    def described(self) -> dict[str, Any]:
        """What is known of it without its bytes, as JSON values."""
        topic, partition, offset = self.source or (None, None, None)
        failed_at = self.headers.get("failed-at")
        description = {
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp_ms / 1_000,
            "reason": self.reason,
            "error": self.headers.get("error"),
            "source_topic": topic,
            "source_partition": partition,
            "source_offset": offset,
            "source_row": self.source_row if topic else None,
            "failed_at": _number(failed_at),
            "truncated": True if "truncated" in self.headers else None,
        }
        return {name: value for name, value in description.items() if value is not None}


async def resend(producer: AIOKafkaProducer, letter: DeadLetter) -> Any:
    """Hand the original bytes to *producer*, for the same partition of the topic they came from.

    The result is a future of the broker's answer. The record gets a new timestamp: it is a new event of the stream,
    scored by the version that is in force now.
    """
    if letter.source is None:
        raise ValueError("a dead letter without a source cannot be sent anywhere")
    topic, partition, _ = letter.source
    headers = [(REPLAYED_FROM, f"{letter.topic}-{letter.partition}-{letter.offset}".encode())]
    if letter.key is not None or letter.value is not None:
        return await producer.send(topic, letter.value, letter.key, partition=partition, headers=headers)
    batch = producer.create_batch()  # `send` takes no record with neither, although Kafka does
    batch.append(key=None, value=None, timestamp=None, headers=headers)
    return await producer.send_batch(batch, topic, partition=partition)


def bytes_as_json(value: bytes | None) -> Any:
    """Bytes as JSON carries them: the text when they are UTF-8, else `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def bytes_for_people(value: bytes | None) -> str:
    """Bytes as people read them: JSON indented, other text as it is, anything else as Python writes it."""
    if value is None:
        return "(null)"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return repr(value)
    with contextlib.suppress(ValueError, RecursionError):  # what is not JSON is shown as it came
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return printable(text)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
