"""Faust tables whose changelog is written in whole batches, acknowledged, and recovered in batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import faust

from app.records import OutRecord, Record
from app.transport.producer import acknowledged


class _Restored(NamedTuple):
    """A changelog record in the shape in which Faust's stores take it (`event.key`, `event.message.value`)."""

    key: Any
    value: Any
    message: Record


class BatchTable(faust.Table):  # type: ignore[misc]
    """A table of bytes by string key; changes are collected until `save` makes them durable.

    Faust sends each change on its own and commits offsets without waiting for them; here the agent waits.
    """

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, key_type=str, value_type=bytes, **kwargs)
        self._unsaved: dict[int, dict[str, bytes | None]] = {}

    def on_key_set(self, key: str, value: bytes) -> None:
        """Note the change; it belongs to the partition of the batch that is being processed."""
        self._note(key, value)
        self._sensor_on_set(self, key, value)

    def on_key_del(self, key: str) -> None:
        """Note the removal."""
        self._note(key, None)
        self._sensor_on_del(self, key)

    def _note(self, key: str, value: bytes | None) -> None:
        partition = self.partition_for_key(key)
        self._unsaved.setdefault(partition, {})[key] = value
        # The memory store forgets a lost partition's keys by this index, but fills it during recovery only.
        self.data._key_partition[key] = partition  # noqa: SLF001

    async def save(self, partition: int, *, timestamp_ms: int) -> None:
        """Publish the changes of *partition* and wait until the broker has them.

        timestamp_ms: the Kafka timestamp of the changelog records.
        """
        changes = self._unsaved.pop(partition, None)
        if not changes:
            return
        rows = (OutRecord(key.encode(), value, timestamp_ms, []) for key, value in changes.items())
        topic = self.changelog_topic.get_topic_name()
        await acknowledged(await self.app.producer.publish(topic, partition, rows))

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take rows back from the changelog; a null value removes the row. What was not saved never happened."""
        self._unsaved.clear()
        super().apply_changelog_batch(batch)


def restored_events(table: Any, records: Iterable[Record]) -> list[Any]:
    """*records* of a changelog as the events that `apply_changelog_batch` of *table* expects."""
    if isinstance(table, BatchTable):
        return [_Restored((record.key or b"").decode(), record.value, record) for record in records]
    loads_key, loads_value = table.app.serializers.loads_key, table.app.serializers.loads_value
    topic = table.changelog_topic
    return [
        _Restored(
            loads_key(topic.key_type, record.key, serializer=topic.schema.key_serializer or "json"),
            None
            if record.value is None
            else loads_value(topic.value_type, record.value, serializer=topic.schema.value_serializer or "json"),
            record,
        )
        for record in records
    ]
