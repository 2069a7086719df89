"""The messages of an Arrow IPC stream: a schema, then dictionaries and record batches, each with a body of buffers.

[ffffffff][length][metadata, a flatbuffer][body]  ...  [ffffffff][00000000]
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from app.errors import InvalidRecord, Reason
from app.features.arrow.arrays import Array, Buffers, load
from app.features.arrow.flat import Columns
from app.features.arrow.flatbuffer import I16, I64, U8, Malformed, Table
from app.features.arrow.schema import Column, Schema, n_buffers_of, read_schema
from app.features.values import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PREFIX = struct.Struct("<Ii")
_CONTINUATION = 0xFFFFFFFF
_VERSIONS = (3, 4)
"""V4 and V5 of the format; all earlier ones are older than Arrow 1.0."""
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
ROWS_MAX = 1 << 16
"""Rows of a record: its predictions are held in memory together."""
ROW_MIN_BYTES = 4
"""A record has no more rows than so many of its bytes allow: what costs nothing to claim is not made."""


class Batch(NamedTuple):
    """A record batch of a stream."""

    first_row: int
    """How many rows there are in the batches before it."""
    n_rows: int
    columns: Columns


@dataclass(frozen=True, slots=True)
class Stream:
    """All of a record's value."""

    schema: Schema
    metadata: bytes
    """Of the schema message, as it was sent."""
    batches: tuple[Batch, ...]


def read_stream(value: bytes) -> Stream:
    """The stream that *value* is, every buffer looked at; InvalidRecord says NOT_JSON, or OVERSIZED for too many rows.

    No array takes more memory than a small multiple of the bytes that it stands for.
    """
    try:
        return _read(value)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise InvalidRecord(Reason.NOT_JSON, f"not an Arrow IPC stream: {error}") from None


def _read(value: bytes) -> Stream:
    stream: Stream | None = None
    batches: list[Batch] = []
    dictionaries: dict[int, Array] = {}
    for message in _messages(value):
        if (message.kind == _SCHEMA) == (stream is not None):
            raise Malformed("a stream begins with its one schema")
        if stream is None:
            stream = Stream(read_schema(message.metadata), message.metadata, ())
        elif message.kind == _DICTIONARY:
            _take_dictionary(message, value, stream.schema, dictionaries)
        elif message.kind == _BATCH:
            batches.append(_batch(message, value, stream.schema, dictionaries, batches))
        else:
            raise Malformed(f"a message of kind {message.kind}")
    if stream is None:
        raise Malformed("there is no schema")
    return Stream(stream.schema, stream.metadata, tuple(batches))


class _Message(NamedTuple):
    kind: int
    metadata: bytes
    header: Table
    body: tuple[int, int]
    """Where it begins and ends in the value."""


def _messages(value: bytes) -> Iterator[_Message]:
    at = 0
    while at < len(value):
        mark, length = _PREFIX.unpack_from(value, at)
        if mark != _CONTINUATION or length < 0:
            raise Malformed(f"no message begins at byte {at}: {shown(value[at : at + 8])}")
        if length == 0:
            return
        begin = at + _PREFIX.size
        metadata, body = value[begin : begin + length], begin + length
        table = Table.root(metadata)
        if table.number(0, I16) not in _VERSIONS:
            raise Malformed("of a version of Arrow that is not read")
        body_length, header = table.number(3, I64), table.table(2)
        at = body + body_length
        if body_length < 0 or at > len(value):
            raise Malformed(f"a body of {body_length} bytes where {len(value) - body} are left")
        if header is None:
            raise Malformed("a message without a header")
        yield _Message(table.number(1, U8), metadata, header, (body, at))


def _batch(
    message: _Message, value: bytes, schema: Schema, dictionaries: dict[int, Array], before: Sequence[Batch]
) -> Batch:
    """The record batch of *message*, which comes after those *before* it."""
    n_before = before[-1].first_row + before[-1].n_rows if before else 0
    n_rows = message.header.number(0, I64)
    if n_rows < 0:
        raise Malformed(f"{n_rows} rows")
    buffers = _buffers(message.header, value, message.body, dictionaries)
    _check_counts(buffers, schema)
    most = min(ROWS_MAX, len(value) // ROW_MIN_BYTES)
    if n_before + n_rows > most:
        raise InvalidRecord(Reason.OVERSIZED, f"{n_before + n_rows} rows are more than {most} in {len(value)} bytes")
    return Batch(n_before, n_rows, Columns(schema.columns, schema.flat, n_rows, buffers))


def _buffers(header: Table, value: bytes, body: tuple[int, int], dictionaries: dict[int, Array]) -> Buffers:
    if header.table(3) is not None:
        raise Malformed("compressed buffers, which are not read: let Kafka compress")
    nodes, places, views = header.numbers(1, each=2), header.numbers(2, each=2), header.numbers(4)
    begin, end = body
    if sum(places[1::2]) > end - begin:
        raise Malformed("buffers that overlap")  # a few bytes could stand for any number of columns
    return Buffers(value, begin, end - begin, nodes, places, views, dictionaries)


def _check_counts(buffers: Buffers, schema: Schema) -> None:
    if len(buffers.views) != schema.n_views or min(buffers.views, default=0) < 0:
        raise Malformed(f"{len(buffers.views)} columns of views, the schema has {schema.n_views}")
    expected = schema.n_nodes, schema.n_buffers + sum(buffers.views)
    found = len(buffers.nodes) // 2, len(buffers.places) // 2
    if found != expected:
        raise Malformed(f"{found[0]} nodes and {found[1]} buffers, the schema says {expected[0]} and {expected[1]}")


def _take_dictionary(message: _Message, value: bytes, schema: Schema, dictionaries: dict[int, Array]) -> None:
    """Note the values of a dictionary; they take the place of earlier ones."""
    header = message.header
    if header.number(2, U8):
        raise Malformed("a delta of a dictionary, which is not read")
    id_, data = header.number(0, I64), header.table(1)
    column: Column | None = schema.dictionaries.get(id_)
    if column is None or data is None:
        raise Malformed(f"a dictionary {id_} that no column has")
    length = data.number(0, I64)
    if not 0 <= length <= len(value):
        raise Malformed(f"a dictionary of {length} values")
    buffers = _buffers(data, value, message.body, {})
    _check_counts(buffers, Schema((column,), 1, n_buffers_of(column), int(column.kind == "view")))
    dictionaries[id_] = load(column, length, buffers)
