"""From rows to what is sent of them: key, JSON, id, time and label, by the contract and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.features.exact import parse_time_s
from app.features.values import is_text
from app.records import Label
from app.replay.times import label_at, written_time
from app.tables import TableBatch, events_of, labels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features import Contract
    from app.features.contract import FieldPath
    from app.replay.plan import Plan

_encode = msgspec.json.Encoder(enc_hook=str).encode
"""What a Parquet file has that JSON has not, goes as its text, and becomes a dead letter if a feature is made of it."""


class Event(NamedTuple):
    """What is sent of one row."""

    key: bytes | None
    value: bytes
    id: str | None
    """None if the row has none, or if ids are the coordinates of the record."""
    at_s: float | None
    """The event's time; None if it is the record's timestamp, or if the row's is none."""
    label: Any
    """None if the row has none."""


class EventMaker:
    """Makes events of rows for one contract and plan."""

    def __init__(self, contract: Contract, plan: Plan, *, is_text: bool) -> None:
        self._contract = contract
        self._suffix = plan.id_suffix
        self._is_text = is_text

    def times_s(self, batch: TableBatch) -> list[float | None]:
        """The times of the rows in epoch seconds, None where there is none that the contract could read."""
        path, time_format = self._contract.event_time_path, self._contract.event_time_format
        values = None if path is None else batch.columns.get(path)
        if values is None or time_format is None:
            return [None] * batch.n_rows
        if self._is_text and time_format != "iso8601":
            values = [_number(cell) for cell in values]
        return [parse_time_s(value, time_format) for value in values]

    def events(
        self, batch: TableBatch, times_s: Sequence[float | None], new_times_s: Sequence[float | None] | None
    ) -> list[Event]:
        """The events of *batch*.

        times_s: as `times_s` tells. new_times_s: those that they get in their place, None where the row keeps what it
        has, be it good or bad; None altogether: all keep theirs.
        """
        contract = self._contract
        made = events_of(contract, batch, is_text=self._is_text)
        labels = labels_of(contract, batch, is_text=self._is_text)
        if new_times_s is not None:
            times_s = self._retimed(made, times_s, new_times_s)
        id_path = contract.id_path
        key_path = contract.key_path or id_path
        found = []
        for event, at_s, label in zip(made, times_s, labels, strict=True):
            id_ = None if id_path is None else text_at(event, id_path)
            if id_ is not None and id_path is not None and self._suffix:
                id_ += self._suffix
                put(event, id_path, id_)
            key = None if key_path is None else text_at(event, key_path)
            found.append(Event(None if key is None else key.encode(), _encode(event), id_, at_s, label))
        return found

    def _retimed(
        self, made: list[dict[str, Any]], times_s: Sequence[float | None], new_times_s: Sequence[float | None]
    ) -> list[float | None]:
        path, time_format = self._contract.event_time_path, self._contract.event_time_format
        if path is None or time_format is None:
            return [None] * len(made)
        found = []
        for event, old_s, new_s in zip(made, times_s, new_times_s, strict=True):
            if new_s is None:
                found.append(old_s)
            else:
                written = written_time(new_s, time_format)
                put(event, path, written)
                found.append(parse_time_s(written, time_format))
        return found


def label_value(event: Event, id_: str, timestamp_s: float | None, delay_s: float) -> bytes:
    """The label record of *event*; *timestamp_s* is its time if that is its record's, None if it has none at all."""
    at_s = event.at_s if event.at_s is not None else timestamp_s
    return _encode(Label(id_, event.label, None if at_s is None else label_at(at_s, delay_s)))


def part(batch: TableBatch, first: int, last: int) -> TableBatch:
    """The rows [first, last) of *batch*."""
    columns = {path: values[first:last] for path, values in batch.columns.items()}
    return TableBatch(batch.first_row + first, last - first, columns, batch.share_read)


def text_at(event: dict[str, Any], path: FieldPath) -> str | None:
    """The non-empty text or the integer at *path*, as the text that a key or id is; None if there is none.

    >>> text_at({"a": {"b": 5}}, ("a", "b")), text_at({"a": ""}, ("a",)), text_at({"a": True}, ("a",))
    ('5', None, None)
    """
    found: Any = event
    for step in path:
        if type(found) is not dict:
            return None
        found = found.get(step)
    if type(found) is int:
        return str(found)
    return found if type(found) is str and found and is_text(found) else None


def put(event: dict[str, Any], path: FieldPath, value: Any) -> None:
    """Set the field at *path*, with the objects on the way to it."""
    inner = event
    for step in path[:-1]:
        inner = inner.setdefault(step, {})
    inner[path[-1]] = value


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
