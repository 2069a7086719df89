"""Decoding a batch of records that are Arrow IPC streams: column by column, each row an event.

record 0 [ batch of 500 rows ][ batch of 300 ]   record 1 [ 800 ]   ->   one DecodedBatch of what is good of 1,600
         source-row 0 .. 499            .. 799             0 .. 799
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.errors import InvalidRecord, Reason
from app.features.arrow.alone import row_alone
from app.features.arrow.binding import Binding, array_at, bind
from app.features.arrow.columns import Ticks, item
from app.features.arrow.plain import absent_other, check_keys, ids_of, put_floats, put_other, put_runs, times_of
from app.features.arrow.rows import ColumnRows, filler_of, places_of
from app.features.arrow.stream import Stream, read_stream
from app.features.decoded import DecodedBatch, Rejected
from app.features.exact import LATEST_S, DecodedRecord, check_key_size, judge_event, parse_time_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from app.features.arrow.arrays import Bools
    from app.features.arrow.rows import Block
    from app.features.arrow.schema import Schema
    from app.features.arrow.stream import Batch
    from app.features.contract import Contract, FieldPath
    from app.records import Record

MAX_RECORD_BYTES = 1 << 20
ALONE_TIMES, ALONE_MIN_BYTES = 32, 256 << 10
"""Rows taken out of a record one by one may have so many times its bytes together, or so many."""
_BINDINGS_MAX = 32


class _Part(NamedTuple):
    """What is good of a record batch."""

    position: int
    rows: npt.NDArray[np.int64]
    """Their numbers within the record."""
    ids: list[str]
    event_at_s: list[float]
    block: Block
    others: list[npt.NDArray[Any]]


class ArrowDecoder:
    """Decodes feature records by *contract*; a value of more than *max_record_bytes* is refused unread."""

    def __init__(self, contract: Contract, *, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self.contract = contract
        self.max_record_bytes = max_record_bytes
        self._places = places_of(contract)
        self._may_be_nan = np.zeros(self._places.width, np.bool_)
        for position, where in self._places.in_block.items():
            self._may_be_nan[where] = contract.features[position].missing == "nan"
        self._bindings: OrderedDict[tuple[Schema, bool], Binding | InvalidRecord] = OrderedDict()
        self._read: tuple[bytes, Stream] | None = None
        """The record whose rows were last asked for, one by one."""
        self._left = 0
        """Bytes that further rows of it may have."""

    def decode(self, records: Sequence[Record]) -> DecodedBatch:
        """The good rows as arrays, the other rows and records with their reasons; the order is kept."""
        parts: list[_Part] = []
        rejected: list[Rejected] = []
        for position, record in enumerate(records):
            try:
                stream = self._stream(record)
                binding = self._binding(stream.schema, has_key=record.key is not None)
            except InvalidRecord as error:
                rejected.append(Rejected(position, error.reason, str(error)))
                continue
            for batch in stream.batches:
                if batch.n_rows:
                    part, refused = self._part(position, record, batch, binding)
                    parts.append(part)
                    rejected += refused
        return self._joined(parts, rejected)

    def alone(self, record: Record, row: int) -> bytes | None:
        """The *row* of *record*, one that `decode` has read, as an Arrow IPC stream of its own.

        None if the rows of this record that were asked for before are too many times as long as the record: each has
        the schema again, so that a record made for it could fill the memory.
        """
        value = record.value or b""
        if self._read is None or self._read[0] is not value:
            self._read = value, read_stream(value)
            self._left = max(ALONE_MIN_BYTES, ALONE_TIMES * len(value))
        if self._left <= 0:
            return None
        alone = row_alone(self._read[1], row)
        self._left -= len(alone)
        return alone

    def _stream(self, record: Record) -> Stream:
        check_key_size(record)
        value = record.value
        if value is None:
            raise InvalidRecord(Reason.NULL_VALUE, "the record has no value")
        if len(value) > self.max_record_bytes:
            raise InvalidRecord(Reason.OVERSIZED, f"{len(value)} bytes are more than {self.max_record_bytes}")
        return read_stream(value)

    def _binding(self, schema: Schema, *, has_key: bool) -> Binding:
        """Where the contract finds its values in *schema*: the senders of a topic have a few schemas."""
        bound = self._bindings.get((schema, has_key))
        if bound is None:
            try:
                bound = bind(self.contract, self._places, schema, has_key=has_key)
            except InvalidRecord as error:
                bound = error
            self._bindings[schema, has_key] = bound
            if len(self._bindings) > _BINDINGS_MAX:
                self._bindings.popitem(last=False)
        if isinstance(bound, InvalidRecord):
            raise InvalidRecord(bound.reason, str(bound))
        return bound

    def _part(self, position: int, record: Record, batch: Batch, binding: Binding) -> tuple[_Part, list[Rejected]]:
        n, contract = batch.n_rows, self.contract
        doubtful = np.zeros(n, np.bool_)
        if binding.id is None:
            prefix = _prefix(record)
            ids = [f"{prefix}{row}" for row in range(batch.first_row, batch.first_row + n)]
        else:
            ids = ids_of(array_at(batch, binding.id), doubtful)
        if binding.key is not None and record.key is not None:
            check_keys(array_at(batch, binding.key), record.key, doubtful)
        if binding.time is None or contract.event_time_format is None:
            event_at_s = [record.timestamp / 1000] * n
        else:
            event_at_s = times_of(array_at(batch, binding.time), contract.event_time_format, doubtful)
        block, others = self._values(batch, binding, doubtful)
        part = _Part(position, np.arange(batch.first_row, batch.first_row + n), ids, event_at_s, block, others)
        if not doubtful.any():
            return part, []
        return self._judge(part, record, batch, binding, doubtful)

    def _values(self, batch: Batch, binding: Binding, doubtful: Bools) -> tuple[Block, list[npt.NDArray[Any]]]:
        places = self._places
        block = np.empty((batch.n_rows, places.width), np.float32)
        others: list[npt.NDArray[Any]] = []
        features = self.contract.features
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is seen below
            done = put_runs(batch, binding, block, doubtful)
            for position, where in places.in_block.items():
                steps = binding.features[position]
                if position in done:
                    continue
                if steps:
                    put_floats(features[position], array_at(batch, steps), block[:, where], doubtful)
                else:
                    block[:, where] = filler_of(features[position])
            for position in places.others:
                feature, steps = features[position], binding.features[position]
                if steps:
                    others.append(put_other(feature, array_at(batch, steps), doubtful))
                else:
                    others.append(absent_other(feature, batch.n_rows))
        finite = np.isfinite(block)
        if not finite.all():
            doubtful |= ~(finite | (np.isnan(block) & self._may_be_nan)).all(axis=1)
        return block, others

    def _judge(
        self, part: _Part, record: Record, batch: Batch, binding: Binding, doubtful: Bools
    ) -> tuple[_Part, list[Rejected]]:
        """The doubtful rows one by one: put right what is good after all, and say what is wrong with the others."""
        rejected: list[Rejected] = []
        good = ~doubtful
        for at in np.flatnonzero(doubtful).tolist():
            row = batch.first_row + at
            try:
                judged = self._exactly(record, batch, binding, at)
            except InvalidRecord as error:
                rejected.append(Rejected(part.position, error.reason, str(error), row))
                continue
            good[at] = True
            part.ids[at], part.event_at_s[at] = judged.id, judged.event_at_s
            self._put(part, at, judged)
        chosen = np.flatnonzero(good)
        kept = chosen.tolist()
        return _Part(
            part.position,
            part.rows[chosen],
            [part.ids[at] for at in kept],
            [part.event_at_s[at] for at in kept],
            part.block[chosen],
            [values[chosen] for values in part.others],
        ), rejected

    def _put(self, part: _Part, at: int, judged: DecodedRecord) -> None:
        for position, (feature, value) in enumerate(zip(self.contract.features, judged.values, strict=True)):
            put = filler_of(feature) if value is None else value
            if position in self._places.in_block:
                part.block[at, self._places.in_block[position]] = put
            else:
                part.others[self._places.others[position]][at] = put

    def _exactly(self, record: Record, batch: Batch, binding: Binding, at: int) -> DecodedRecord:
        """The row judged as the JSON object that it might have been; its values are looked up as they are needed."""

        def look_up(path: FieldPath) -> Any:
            steps, may_be_nan = binding.by_path[path]
            value = item(array_at(batch, steps), at) if steps else None
            return _nan_is_missing(value) if may_be_nan else value

        default_id = f"{_prefix(record)}{batch.first_row + at}"
        return judge_event(self.contract, look_up, record, default_id=default_id, parse_time=_parse_time)

    def _joined(self, parts: list[_Part], rejected: list[Rejected]) -> DecodedBatch:
        places = self._places
        if len(parts) == 1:
            [part] = parts
            positions, rows, block, others = np.full(len(part.rows), part.position), part.rows, part.block, part.others
        elif parts:
            positions = np.concatenate([np.full(len(part.rows), part.position) for part in parts])
            rows = np.concatenate([part.rows for part in parts])
            block = np.concatenate([part.block for part in parts])
            others = [np.concatenate(columns) for columns in zip(*(part.others for part in parts), strict=True)]
        else:
            positions, rows = np.empty(0, np.int64), np.empty(0, np.int64)
            block = np.empty((0, places.width), np.float32)
            features = [self.contract.features[position] for position in places.others]
            others = [absent_other(feature, 0) for feature in features]
        return DecodedBatch(
            self.contract,
            kept=positions.tolist(),
            source_rows=rows,
            ids=[id_ for part in parts for id_ in part.ids],
            event_at_s=[at_s for part in parts for at_s in part.event_at_s],
            rows=ColumnRows(self.contract, places, block, others),
            rejected=rejected,
        )


def _prefix(record: Record) -> str:
    """What the ids of the rows of *record* begin with where the contract names no field for them."""
    return f"{record.topic}-{record.partition}-{record.offset}-"


def _nan_is_missing(value: Any) -> Any:
    """NaN is what many a program writes where nothing is; JSON has none."""
    if type(value) is list:
        return [_nan_is_missing(each) for each in value]
    return None if type(value) is float and np.isnan(value) else value


def _parse_time(raw: Any, time_format: str) -> float | None:
    if not isinstance(raw, Ticks):
        return parse_time_s(raw, time_format)
    time_s = raw.n / raw.per_s
    return time_s if 0 <= time_s < LATEST_S else None
