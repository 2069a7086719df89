"""Feature records that are Arrow IPC streams, read row by row with Arrow's own library: slow, and not how workers read.

A record that cannot be read, or whose columns will not do, has one fault for all of it; else each row is an event.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from verify.contract import Contract, Feature
from verify.decode import Event, Fault, Ticks, check_key, judge_event
from verify.outcomes import ROWS_MAX, DeadLetter, digest
from verify.read import Record
from verify.report import CannotCheck, Check

ROW_MIN_BYTES = 4
UNITS_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
Path = tuple[str, ...]


class Row(NamedTuple):
    """A row of a record, or the record itself (`number` is None) if it has one fault for all."""

    number: int | None
    event: Event | Fault
    batch: Any = None
    at: int = 0
    """Where the row stands: in which record batch, as which of it."""


def decode_rows(contract: Contract, record: Record) -> Iterator[Row]:
    """What the contract makes of each row of *record*."""
    try:
        check_key(record)
        batches = _batches(contract, record.value)
        paths = _paths(contract, has_key=record.key is not None)
        _check_columns(contract, batches[0], has_key=record.key is not None)
    except Fault as fault:
        yield Row(None, fault)
        return
    number = 0
    for batch in batches:
        values = {path: _values(batch, path) for path in paths}
        for at in range(batch.num_rows):
            yield Row(number, _event(contract, record, values, at, number), batch, at)
            number += 1


def check_row_alone(check: Check, letter: DeadLetter, record: Record, row: Row) -> None:
    """The dead letter of a row carries the record's key and, as a stream of its own, all that the row has."""
    if letter.key != record.key and not letter.truncated:
        check.violation("altered_key", letter.where, f"key {letter.key!r}, of {record.where} {record.key!r}")
    if letter.truncated:
        whole = str(len(record.value or b"")), digest(record.value)
        if not letter.size and (letter.original_size, letter.original_sha256) != whole:
            check.violation("altered_bytes", letter.where, f"size or sha256 are not those of {record.where}")
        return
    try:
        batches = _read(letter.row)
        found = [_shown(batch, at) for batch in batches for at in range(batch.num_rows)]
    except Fault as fault:
        found = [str(fault)]
    expected = _shown(row.batch, row.at)
    if found != [expected]:
        check.violation("altered_bytes", letter.where, f"{found}, row {row.number} of {record.where} is {expected}")


def _arrow() -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415 - who checks JSON need not have it
        import pyarrow.ipc  # noqa: PLC0415
    except ImportError as error:
        raise CannotCheck("records in Arrow are read with pyarrow, which is not installed") from error
    return pa


def _batches(contract: Contract, value: bytes | None) -> list[Any]:
    if value is None:
        raise Fault("null_value", "the record has no value")
    if len(value) > contract.max_record_bytes:
        raise Fault("oversized", f"{len(value)} bytes")
    batches = _read(value)
    rows = sum(batch.num_rows for batch in batches)
    if rows > min(ROWS_MAX, len(value) // ROW_MIN_BYTES):
        raise Fault("oversized", f"{rows} rows in {len(value)} bytes")
    return batches


def _read(value: bytes | None) -> list[Any]:
    """The record batches of a stream, validated; one without rows if it has none."""
    pa = _arrow()
    try:
        if _is_compressed(value or b""):
            raise Fault("not_json", "compressed buffers are not read")
        reader = pa.ipc.open_stream(value or b"")
        batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
        for field in reader.schema:
            _check_type(pa, field.type)
        empty = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in reader.schema], schema=reader.schema)
        if reader.stats.num_dictionary_deltas:
            raise Fault("not_json", "deltas of dictionaries are not read")
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, struct.error) as error:
        raise Fault("not_json", f"no Arrow stream: {error}") from error
    return batches or [empty]


def _is_compressed(value: bytes) -> bool:
    """Whether a record batch of the stream says that its buffers are compressed, by the tables of its metadata."""
    at = 0
    while at + 8 <= len(value):
        length = struct.unpack_from("<i", value, at + 4)[0]
        if length <= 0:
            break
        message = _Table(value[at + 8 : at + 8 + length])
        kind, header = message.field(1, "B"), message.table(2)
        if kind == 2:  # noqa: PLR2004 - a dictionary has its batch inside
            header = header.table(1)
        if kind in (2, 3) and header.field(3, "I"):
            return True
        at += 8 + length + max(message.field(3, "q"), 0)
    return False


class _Table:
    """A table of a flatbuffer."""

    def __init__(self, data: bytes, at: int | None = None) -> None:
        self._data = data
        self._at = struct.unpack_from("<I", data)[0] if at is None else at

    def field(self, number: int, kind: str) -> int:
        """The number in a field; 0 if it is absent."""
        where = self._where(number)
        return int(struct.unpack_from(f"<{kind}", self._data, where)[0]) if where else 0

    def table(self, number: int) -> _Table:
        """The table that a field refers to."""
        where = self._where(number)
        return _Table(self._data, where + struct.unpack_from("<I", self._data, where)[0])

    def _where(self, number: int) -> int:
        vtable = self._at - struct.unpack_from("<i", self._data, self._at)[0]
        size = struct.unpack_from("<H", self._data, vtable)[0]
        if 4 + 2 * number >= size:
            return 0
        offset = struct.unpack_from("<H", self._data, vtable + 4 + 2 * number)[0]
        return int(self._at + offset) if offset else 0


def _check_type(pa: Any, kind: Any) -> None:
    """Fault if a column of this type, or a part of it, is of those that workers refuse."""
    types = pa.types
    if types.is_union(kind) or types.is_run_end_encoded(kind):
        raise Fault("not_json", f"columns of {kind} are not read")
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        raise Fault("not_json", f"columns of {kind} are not read")
    if types.is_dictionary(kind):
        if kind.value_type.num_fields or types.is_dictionary(kind.value_type):
            raise Fault("not_json", f"columns of {kind} are not read")
        return
    for number in range(kind.num_fields):
        _check_type(pa, kind.field(number).type)


# -- columns


def _paths(contract: Contract, *, has_key: bool) -> list[Path]:
    key = contract.key_path if has_key else None
    own = [path for path in (contract.id_path, key, contract.time_path) if path is not None]
    return [*own, *(feature.path for feature in contract.features)]


def _find(batch: Any, path: Path) -> Any:
    """The array at *path*, None if there is none; Fault if the way leads over no struct. The last of a name counts."""
    pa = _arrow()
    names, columns = batch.schema.names, batch.columns
    found: Any = None
    for depth, step in enumerate(path):
        if depth:
            if pa.types.is_null(found.type):
                return None
            if not pa.types.is_struct(found.type):
                raise Fault("", f"{'.'.join(path)} leads through {found.type}")
            names = [found.type.field(number).name for number in range(found.type.num_fields)]
            columns = found.flatten()
        positions = [number for number, name in enumerate(names) if name == step]
        if not positions:
            return None
        found = columns[positions[-1]]
    return found


def _values(batch: Any, path: Path) -> list[Any]:
    """The raw values at *path*, as JSON would have them; timestamps as Ticks."""
    pa = _arrow()
    found = _find(batch, path)
    if found is None:
        return [None] * batch.num_rows
    if pa.types.is_dictionary(found.type):
        found = found.dictionary_decode()
    if pa.types.is_timestamp(found.type):
        per_s = UNITS_PER_S[found.type.unit]
        return [None if each is None else Ticks(each, per_s) for each in found.cast(pa.int64()).to_pylist()]
    raw: list[Any] = found.to_pylist()
    return raw


def _check_columns(contract: Contract, batch: Any, *, has_key: bool) -> None:
    """Fault with the first column that will not do."""
    for path in (contract.id_path, contract.key_path if has_key else None):
        if path is not None and (kind := _kind_at(batch, path, "bad_id")) not in ("text", "int"):
            raise Fault("bad_id", f"{'.'.join(path)}: {kind}")
    if contract.time_path is not None:
        kind = _kind_at(batch, contract.time_path, "bad_time")
        if kind not in ("timestamp", *(("text",) if contract.time_format == "iso8601" else ("int", "float"))):
            raise Fault("bad_time", f"times are {kind}")
    for feature in contract.features:
        _check_feature(feature, _kind_at(batch, feature.path, "wrong_type"))


def _check_feature(feature: Feature, kind: str) -> None:
    if kind in ("absent", "null"):
        if feature.missing == "reject":
            raise Fault("missing_feature", feature.name)
        return
    numbers = ("int", "float")
    lists = [f"{size} of {part}" for size in ("any", feature.width) for part in (*numbers, "null")]
    allowed = {"float": numbers, "int": numbers, "bool": ("bool",), "string": ("text",), "vector": lists}
    if kind not in allowed[feature.dtype]:
        raise Fault("wrong_type", f"{feature.name}: {kind}")


def _kind_at(batch: Any, path: Path, reason: str) -> str:
    try:
        found = _find(batch, path)
    except Fault as fault:
        raise Fault(reason, str(fault)) from None
    return "absent" if found is None else _kind(found.type)


def _kind(kind: Any) -> str:
    types = _arrow().types
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_fixed_size_list(kind):
        return f"{kind.list_size} of {_part(kind)}"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"any of {_part(kind)}"
    named = {
        "int": types.is_integer(kind),
        "float": types.is_floating(kind),
        "bool": types.is_boolean(kind),
        "text": types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind),
        "timestamp": types.is_timestamp(kind),
        "null": types.is_null(kind),
    }
    return next((name for name, holds in named.items() if holds), str(kind))


def _part(kind: Any) -> str:
    """What the lists of a type are of: no dictionaries, which nobody reads there."""
    return "dictionary" if _arrow().types.is_dictionary(kind.value_type) else _kind(kind.value_type)


# -- rows


def _event(contract: Contract, record: Record, values: dict[Path, list[Any]], at: int, number: int) -> Event | Fault:
    default_id = f"{record.topic}-{record.partition}-{record.offset}-{number}"
    try:
        return judge_event(contract, record, lambda path, _: values[path][at], default_id)
    except Fault as fault:
        return fault


def _shown(batch: Any, at: int) -> str:
    """All columns of a row with their types, as one text: equal rows have equal ones."""
    pa = _arrow()
    cells = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        cell = column.slice(at, 1)
        if pa.types.is_timestamp(field.type):
            cell = cell.cast(pa.int64())  # Python's own times end at microseconds
        cells.append((field.name, str(field.type), cell.to_pylist()))
    return repr(cells)
