"""Faust tables whose changelog is written in whole batches, acknowledged, and recovered in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any, NamedTuple

import faust
from faust.stores.memory import Store as MemoryStore
from faust.types import TP

from app.records import OutRecord, Record
from app.transport.transactions import Output


class _Restored(NamedTuple):
    """A changelog record in the shape in which Faust's stores take it (`event.key`, `event.message.value`)."""

    key: Any
    value: Any
    message: Record


class PartitionRows(MutableMapping[str, bytes]):
    """The rows of one partition of a table."""

    def __init__(self, table: BatchTable, partition: int) -> None:
        self._table = table
        self._partition = partition

    @property
    def _partitions(self) -> dict[str, int]:
        return self._table.data._key_partition  # type: ignore[no-any-return]  # noqa: SLF001

    def __getitem__(self, key: str) -> bytes:
        if self._partitions.get(key) != self._partition:
            raise KeyError(key)
        return self._table.data[key]  # type: ignore[no-any-return]

    def __setitem__(self, key: str, value: bytes) -> None:
        self._table.data[key] = value
        self._table.note(key, value, self._partition)

    def __delitem__(self, key: str) -> None:
        del self._table.data[key]
        self._table.note(key, None, self._partition)

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, of in self._partitions.items() if of == self._partition])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class BatchTable(faust.Table):  # type: ignore[misc]
    """A table of bytes by string key; changes are collected until an agent takes them, to write them in one piece.

    Faust sends each change on its own and commits offsets without waiting for them.
    """

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, key_type=str, value_type=bytes, **kwargs)
        self._unsaved: dict[int, dict[str, bytes | None]] = {}

    def on_key_set(self, key: str, value: bytes) -> None:
        """Note the change; it belongs to the partition of the batch that is being processed."""
        self.note(key, value, self.partition_for_key(key))
        self._sensor_on_set(self, key, value)

    def on_key_del(self, key: str) -> None:
        """Note the removal."""
        self.note(key, None, self.partition_for_key(key))
        self._sensor_on_del(self, key)

    def note(self, key: str, value: bytes | None, partition: int) -> None:
        """Remember that the row *key* of *partition* became *value*, None for one that was removed."""
        self._unsaved.setdefault(partition, {})[key] = value
        # The memory store forgets a lost partition's keys by this index, but fills it during recovery only.
        if value is None:
            self.data._key_partition.pop(key, None)  # noqa: SLF001
        else:
            self.data._key_partition[key] = partition  # noqa: SLF001

    def rows(self, partition: int) -> PartitionRows:
        """The rows of *partition*, to be read and written outside the agent as well."""
        return PartitionRows(self, partition)

    def take_changes(self, partition: int, *, timestamp_ms: int) -> Output:
        """The changes of *partition* since the last time, as changelog records to be written; they are not kept here.

        timestamp_ms: the Kafka timestamp of the records.
        """
        changes = self._unsaved.pop(partition, {})
        rows = [OutRecord(key.encode(), value, timestamp_ms, []) for key, value in changes.items()]
        return Output(self.changelog_topic.get_topic_name(), partition, rows)

    def forget(self, partition: int) -> None:
        """Drop the rows of *partition*, some of which never became durable; recovery reads them from the start."""
        self._unsaved.pop(partition, None)
        keys = [key for key, of in self.data._key_partition.items() if of == partition]  # noqa: SLF001
        for key in keys:
            self.data.pop(key, None)
            del self.data._key_partition[key]  # noqa: SLF001
        self.app.tables.recovery.forget(TP(self.changelog_topic.get_topic_name(), partition))

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take rows back from the changelog; a null value removes the row. What was not saved never happened."""
        self._unsaved.clear()
        super().apply_changelog_batch(batch)

    def restore(self, records: Sequence[Record]) -> None:
        """The same for *records* of one changelog partition as they were fetched, without an event for each."""
        if type(self.data) is not MemoryStore:
            self.apply_changelog_batch([_Restored(_key(record), record.value, record) for record in records])
            return
        self._unsaved.clear()
        # The newest of each key stands, whatever came before it.
        newest = {_key(record): record.value for record in records}
        kept = {key: value for key, value in newest.items() if value is not None}
        rows, partition_of = self.data.data, self.data._key_partition  # noqa: SLF001  as `_note` does
        rows.update(kept)
        partition_of.update(dict.fromkeys(kept, records[0].partition))
        for key in newest.keys() - kept.keys():
            rows.pop(key, None)
            partition_of.pop(key, None)


def _key(record: Record) -> str:
    return (record.key or b"").decode()


def restored_events(table: Any, records: Iterable[Record]) -> list[Any]:
    """*records* of the changelog of an ordinary *table* as the events that its `apply_changelog_batch` expects."""
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
