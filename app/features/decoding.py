"""Decoding a batch: one msgspec struct per contract does the whole check of a good record in C.

A record that the struct refuses is judged again by `exact`, which says what is wrong with it or that it is good
after all (as 1.0 for an integer is). Both paths agree on every record: tests/properties holds them to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import InvalidRecord
from app.features.decoded import DecodedBatch, Rejected
from app.features.event_struct import REFUSALS, event_struct
from app.features.exact import decode_record, is_too_deep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features.contract import Contract
    from app.features.event_struct import EventStruct
    from app.records import Record

MAX_RECORD_BYTES = 1 << 20


class BatchDecoder:
    """Decodes feature records by *contract*; a value of more than *max_record_bytes* is refused unread."""

    def __init__(self, contract: Contract, *, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.contract = contract
        self.max_record_bytes = max_record_bytes
        self._struct = event_struct(contract)

    def decode(self, records: Sequence[Record]) -> DecodedBatch:
        """The good records as arrays, the others with their reasons; the order is kept."""
        kept: list[int] = []
        ids: list[str] = []
        event_at_s: list[float] = []
        rows: list[tuple[Any, ...]] = []
        rejected: list[Rejected] = []
        fast = None if self._struct is None else _FastPath(self._struct, self.max_record_bytes)
        for position, record in enumerate(records):
            decoded = None if fast is None else fast.read(record)
            if decoded is None:
                try:
                    decoded = decode_record(self.contract, record, max_record_bytes=self.max_record_bytes)
                except InvalidRecord as error:
                    rejected.append(Rejected(position, error.reason, str(error)))
                    continue
            kept.append(position)
            id_, at_s, values = decoded
            ids.append(id_)
            event_at_s.append(at_s)
            rows.append(values)
        return DecodedBatch(self.contract, kept=kept, ids=ids, event_at_s=event_at_s, rows=rows, rejected=rejected)


class _FastPath:
    """Reads a record by the struct of its contract."""

    __slots__ = ("_decode", "_id_of", "_key_of", "_max_record_bytes", "_time_s_of", "_values")

    def __init__(self, struct: EventStruct, max_record_bytes: int) -> None:
        self._decode = struct.decode
        self._values = struct.values
        self._id_of = struct.id_of
        self._key_of = struct.key_of
        self._time_s_of = struct.time_s_of
        self._max_record_bytes = max_record_bytes

    def read(self, record: Record) -> tuple[str, float, tuple[Any, ...]] | None:
        """Id, event time and values of *record* if it is plainly good, else None."""
        value = record.value
        if value is None or len(value) > self._max_record_bytes or is_too_deep(value):
            return None
        try:
            if not value.isascii():
                value.decode()  # msgspec does not look at the text of fields that nobody asked for
            event = self._decode(value)
        except REFUSALS:
            return None
        if self._key_of is not None and record.key is not None:
            key = self._key_of(event)
            if key is None or str(key).encode() != record.key:
                return None
        if self._id_of is None:
            id_: str | int = f"{record.topic}-{record.partition}-{record.offset}"
        else:
            id_ = self._id_of(event)
        at_s = record.timestamp / 1000 if self._time_s_of is None else self._time_s_of(event)
        if at_s is None:
            return None
        return (id_ if type(id_) is str else str(id_)), at_s, self._values(event)
