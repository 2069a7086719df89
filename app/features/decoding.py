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
    from app.records import Record

MAX_RECORD_BYTES = 1 << 20
_Read = tuple[str, float, tuple[Any, ...]]
"""Id, event time in epoch seconds, and a value per feature."""


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
        for position, (record, read) in enumerate(zip(records, self._read(records), strict=True)):
            decoded = read
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

    def _read(self, records: Sequence[Record]) -> list[_Read | None]:
        """Id, event time and values of each record that is plainly good, None for the others."""
        if self._struct is None:
            return [None] * len(records)
        struct, longest = self._struct, self.max_record_bytes
        decode, values_of, id_of, key_of, time_s_of = (
            struct.decode,
            struct.values,
            struct.id_of,
            struct.key_of,
            struct.time_s_of,
        )
        found: list[_Read | None] = []
        for record in records:
            value = record.value
            # A flat object is far cheaper to see than brackets are to count.
            if (
                value is None
                or len(value) > longest
                or ((b"[" in value or value.find(b"{", 1) >= 0) and is_too_deep(value))
            ):
                found.append(None)
                continue
            try:
                if not value.isascii():
                    value.decode()  # msgspec does not look at the text of fields that nobody asked for
                event = decode(value)
            except REFUSALS:
                found.append(None)
                continue
            if key_of is not None and record.key is not None:
                key = key_of(event)
                if key is None or str(key).encode() != record.key:
                    found.append(None)
                    continue
            id_: Any = f"{record.topic}-{record.partition}-{record.offset}" if id_of is None else id_of(event)
            at_s = record.timestamp / 1000 if time_s_of is None else time_s_of(event)
            if at_s is None:
                found.append(None)
            else:
                found.append((id_ if type(id_) is str else str(id_), at_s, values_of(event)))
        return found
