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
    from app.features.rows import Texts
    from app.records import Record

MAX_RECORD_BYTES = 1 << 20
OPEN_LIST = ord("[")
"""As a number: to look for bytes in bytes, Python first asks whether they are a number, and that is slow."""


class _Read(NamedTuple):
    """What was read of a batch: an element per record; those of doubtful records stand empty until they are judged."""

    ids: list[str]
    event_at_s: list[float]
    numbers: list[bytes]
    """As `RowFormat.pack` gave them."""
    texts: list[Texts]
    """Empty where the contract has no strings."""

    def only(self, kept: list[int]) -> _Read:
        """What was read of the records at *kept*."""
        return _Read(
            [self.ids[at] for at in kept],
            [self.event_at_s[at] for at in kept],
            [self.numbers[at] for at in kept],
            [self.texts[at] for at in kept],
        )


class BatchDecoder:
    """Decodes feature records by *contract*; a value of more than *max_record_bytes* is refused unread."""

    def __init__(self, contract: Contract, *, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.contract = contract
        self.max_record_bytes = max_record_bytes
        self._format = RowFormat(contract)
        self._struct = event_struct(contract, self._format.features)

    def decode(self, records: Sequence[Record]) -> DecodedBatch:
        """The good records as arrays, the others with their reasons; the order is kept."""
        n = len(records)
        read = _Read([""] * n, [0.0] * n, [self._format.no_numbers] * n, [()] * n)
        doubtful = list(range(n)) if self._struct is None else self._read(records, self._struct, read)
        rows = self._format.rows(read.numbers, read.texts)
        doubtful += rows.infinite()
        kept, rejected = list(range(n)), []
        if doubtful:
            rejected = self._judge(records, sorted(doubtful), read)
            bad = {each.position for each in rejected}
            kept = [position for position in kept if position not in bad]
            read = read.only(kept)
            rows = self._format.rows(read.numbers, read.texts)
        return DecodedBatch(
            self.contract, kept=kept, ids=read.ids, event_at_s=read.event_at_s, rows=rows, rejected=rejected
        )

    def alone(self, record: Record, row: int) -> bytes | None:
        """A JSON record is one event and has no rows."""
        raise TypeError(f"{record.topic}-{record.partition} at {record.offset} has no row {row}")

    def _judge(self, records: Sequence[Record], doubtful: Sequence[int], read: _Read) -> list[Rejected]:
        """Fill in what is good among the records at *doubtful*, and say what is wrong with the others."""
        rejected = []
        for position in doubtful:
            try:
                judged = decode_record(self.contract, records[position], max_record_bytes=self.max_record_bytes)
            except InvalidRecord as error:
                rejected.append(Rejected(position, error.reason, str(error)))
            else:
                read.ids[position] = judged.id
                read.event_at_s[position] = judged.event_at_s
                read.numbers[position], read.texts[position] = self._format.row(judged.values)
        return rejected

    def _read(self, records: Sequence[Record], struct: EventStruct, read: _Read) -> list[int]:
        """Put what is plainly good among *records* into *read*; the positions of the others."""
        doubtful: list[int] = []
        doubt, longest = doubtful.append, self.max_record_bytes
        pack, numbers, texts = self._format.pack, self._format.numbers, self._format.texts
        has_texts = texts.start < texts.stop
        decode, values_of, id_of, key_of, time_s_of = (
            struct.decode,
            struct.values,
            struct.id_of,
            struct.key_of,
            struct.time_s_of,
        )
        for position, record in enumerate(records):
            value, key = record.value, record.key
            # A flat object is far cheaper to see than brackets are to count.
            if (
                value is None
                or len(value) > longest
                or (key is not None and len(key) > KEY_MAX_BYTES)
                or ((OPEN_LIST in value or value.find(b"{", 1) >= 0) and is_too_deep(value))
            ):
                doubt(position)
                continue
            try:
                if not value.isascii():
                    value.decode()  # msgspec does not look at the text of fields that nobody asked for
                event = decode(value)
            except REFUSALS:
                doubt(position)
                continue
            if key_of is not None and key is not None:
                named = key_of(event)
                if named is None or str(named).encode() != key:
                    doubt(position)
                    continue
            id_: Any = f"{record.topic}-{record.partition}-{record.offset}" if id_of is None else id_of(event)
            at_s = record.timestamp / 1000 if time_s_of is None else time_s_of(event)
            if at_s is None:
                doubt(position)
                continue
            read.ids[position] = id_ if type(id_) is str else str(id_)
            read.event_at_s[position] = at_s
            values = values_of(event)
            read.numbers[position] = pack(*values[numbers])
            if has_texts:
                read.texts[position] = values[texts]
        return doubtful
