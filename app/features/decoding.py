"""Decoding a batch: one msgspec struct per contract does the whole check of a good record in C.

A record that the struct refuses is judged again by `exact`, which says what is wrong with it or that it is good
after all (as 1.0 for an integer is). Both paths agree on every record: tests/properties holds them to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.errors import InvalidRecord
from app.features.decoded import DecodedBatch, Rejected
from app.features.event_struct import REFUSALS, EventStruct, event_struct
from app.features.exact import KEY_MAX_BYTES, decode_record, is_too_deep
from app.features.rows import RowFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features.contract import Contract
    from app.records import Record

MAX_RECORD_BYTES = 1 << 20


class _Read(NamedTuple):
    """What was read of a batch: an element per record; those of doubtful records stand empty until they are judged."""

    ids: list[str]
    event_at_s: list[float]
    rows: list[Any]
    doubtful: list[int]
    """Positions of the records that are not plainly good."""

    def doubt(self, position: int) -> None:
        """The record at *position*, the next one, is not plainly good."""
        self.ids.append("")
        self.event_at_s.append(0.0)
        self.rows.append(None)
        self.doubtful.append(position)

    def only(self, kept: list[int]) -> _Read:
        """What was read of the records at *kept*."""
        ids, event_at_s, rows = self.ids, self.event_at_s, self.rows
        return _Read([ids[at] for at in kept], [event_at_s[at] for at in kept], [rows[at] for at in kept], [])


class BatchDecoder:
    """Decodes feature records by *contract*; a value of more than *max_record_bytes* is refused unread."""

    def __init__(self, contract: Contract, *, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.contract = contract
        self.max_record_bytes = max_record_bytes
        self._struct = event_struct(contract)
        self._format = RowFormat(contract)

    def decode(self, records: Sequence[Record]) -> DecodedBatch:
        """The good records as arrays, the others with their reasons; the order is kept."""
        read = _Read([], [], [], [])
        if self._struct is None:
            for position in range(len(records)):
                read.doubt(position)
        else:
            self._read(records, self._struct, read)
        rejected = self._judge(records, read) if read.doubtful else []
        bad = {each.position for each in rejected}
        kept = list(range(len(records)))
        if bad:
            kept = [position for position in kept if position not in bad]
            read = read.only(kept)
        rows = self._format.rows(read.rows)
        return DecodedBatch(
            self.contract, kept=kept, ids=read.ids, event_at_s=read.event_at_s, rows=rows, rejected=rejected
        )

    def _judge(self, records: Sequence[Record], read: _Read) -> list[Rejected]:
        """Fill in what is good among the doubtful records, and say what is wrong with the others."""
        rejected = []
        for position in read.doubtful:
            try:
                judged = decode_record(self.contract, records[position], max_record_bytes=self.max_record_bytes)
            except InvalidRecord as error:
                rejected.append(Rejected(position, error.reason, str(error)))
            else:
                read.ids[position] = judged.id
                read.event_at_s[position] = judged.event_at_s
                read.rows[position] = self._format.add(*judged.values)
        return rejected

    def _read(self, records: Sequence[Record], struct: EventStruct, read: _Read) -> None:
        """Add what is plainly good among *records* to *read*, and note the others as doubtful."""
        longest, pack = self.max_record_bytes, self._format.pack
        decode, values_of, id_of, key_of, time_s_of = (
            struct.decode,
            struct.values,
            struct.id_of,
            struct.key_of,
            struct.time_s_of,
        )
        add_id, add_time, add_row = read.ids.append, read.event_at_s.append, read.rows.append
        for position, record in enumerate(records):
            value, key = record.value, record.key
            # A flat object is far cheaper to see than brackets are to count.
            if (
                value is None
                or len(value) > longest
                or (key is not None and len(key) > KEY_MAX_BYTES)
                or ((b"[" in value or value.find(b"{", 1) >= 0) and is_too_deep(value))
            ):
                read.doubt(position)
                continue
            try:
                if not value.isascii():
                    value.decode()  # msgspec does not look at the text of fields that nobody asked for
                event = decode(value)
            except REFUSALS:
                read.doubt(position)
                continue
            if key_of is not None and key is not None:
                named = key_of(event)
                if named is None or str(named).encode() != key:
                    read.doubt(position)
                    continue
            id_: Any = f"{record.topic}-{record.partition}-{record.offset}" if id_of is None else id_of(event)
            at_s = record.timestamp / 1000 if time_s_of is None else time_s_of(event)
            if at_s is None:
                read.doubt(position)
                continue
            add_id(id_ if type(id_) is str else str(id_))
            add_time(at_s)
            add_row(pack(*values_of(event)))
