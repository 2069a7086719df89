"""One row of a stream as a stream of its own, with the schema as it was sent: what a dead letter carries.

    schema message, byte for byte | a dictionary of the values that the row has | a batch of one row | end

Values go through plain Python, one by one: bytes, booleans, lists and tuples of these, None for null.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from app.features.arrow.arrays import raw_at

if TYPE_CHECKING:
    from app.features.arrow.arrays import Array
    from app.features.arrow.schema import Column
    from app.features.arrow.stream import Stream

_END = b"\xff\xff\xff\xff\0\0\0\0"
_VERSION = 4
"""V5 of the metadata."""
_INLINE = 12


def row_alone(stream: Stream, row: int) -> bytes:
    """The *row* of *stream*, counted over its batches, as an Arrow IPC stream; IndexError if it has none."""
    for batch in stream.batches:
        at = row - batch.first_row
        if 0 <= at < batch.n_rows:
            break
    else:
        raise IndexError(f"there is no row {row}")
    written = _Body()
    for position, column in enumerate(stream.schema.columns):
        plain = batch.columns.plain_bytes(position, at)
        if plain is not None:
            written.put_plain(plain)
        else:
            written.put(column, [raw_item(batch.columns[position], at)])
    messages = [_prefixed(stream.metadata)]
    for id_, column in stream.schema.dictionaries.items():
        values = _Body()
        values.put(column, written.dictionaries.get(id_, []))
        messages.append(values.message(len(written.dictionaries.get(id_, [])), dictionary=id_))
    return b"".join([*messages, written.message(1), _END])


def raw_item(array: Array, at: int) -> Any:  # noqa: PLR0911 - a line for each kind
    """The value at *at*: bytes for whatever has bytes, a boolean, a list, a tuple for a struct, None for null."""
    if array.valid is not None and not array.valid[at]:
        return None
    kind = array.column.kind
    if kind in ("text", "bytes", "view"):
        return raw_at(array, at)
    if kind == "bool":
        return bool(array.values[at])
    if kind == "dictionary":
        return raw_item(array.children[0], int(array.values[at]))
    if kind == "struct":
        return tuple(raw_item(part, at) for part in array.children)
    if kind == "fixed_list":
        size = array.column.size
        return [raw_item(array.children[0], each) for each in range(at * size, (at + 1) * size)]
    if kind == "list":
        return [raw_item(array.children[0], each) for each in range(int(array.values[at]), int(array.values[at + 1]))]
    return array.values[at].tobytes()


class _Body:
    """Nodes and buffers of a batch that is being written."""

    def __init__(self) -> None:
        self._nodes: list[tuple[int, int]] = []
        self._buffers: list[bytes] = []
        self._views: list[int] = []
        self.dictionaries: dict[int, list[Any]] = {}
        """By id the values that indices were given for."""

    def put_plain(self, value: bytes) -> None:
        """Add the only value of a column of fixed bytes."""
        self._nodes.append((1, 0))
        self._buffers += (b"", value)

    def put(self, column: Column, items: list[Any]) -> None:
        """Add the *items* of a column."""
        n_null = sum(item is None for item in items)
        self._nodes.append((len(items), n_null))
        if column.kind == "null":
            return
        self._buffers.append(_bits([item is not None for item in items]) if n_null else b"")
        match column.kind:
            case "bool":
                self._buffers.append(_bits([bool(item) for item in items]))
            case "text" | "bytes":
                self._buffers += [_offsets(column, items), b"".join(item or b"" for item in items)]
            case "view":
                self._put_views(items)
            case "dictionary":
                self._put_indices(column, items)
            case "list" | "fixed_list" | "struct":
                self._put_parts(column, items)
            case _:
                nothing = bytes(column.dtype.itemsize)
                self._buffers.append(b"".join(nothing if item is None else item for item in items))

    def _put_parts(self, column: Column, items: list[Any]) -> None:
        if column.kind == "struct":
            nothing: Any = (None,) * len(column.children)
            for number, part in enumerate(column.children):
                self.put(part, [(nothing if item is None else item)[number] for item in items])
            return
        nothing = [None] * column.size  # none in a list without a size
        if column.kind == "list":
            self._buffers.append(_offsets(column, items))
        self.put(column.children[0], [each for item in items for each in (nothing if item is None else item)])

    def _put_indices(self, column: Column, items: list[Any]) -> None:
        known = self.dictionaries.setdefault(column.dictionary, [])
        indices = []
        for item in items:
            indices.append(0 if item is None else len(known))
            if item is not None:
                known.append(item)
        self._buffers.append(np.array(indices, np.int64).astype(column.dtype).tobytes())

    def _put_views(self, items: list[bytes | None]) -> None:
        views, data = [], b""
        for item in items:
            value = item or b""
            if len(value) <= _INLINE:
                views.append(struct.pack("<i12s", len(value), value))
            else:
                views.append(struct.pack("<i4sii", len(value), value[:4], 0, len(data)))
                data += value
        self._buffers += [b"".join(views), *([data] if data else [])]
        self._views.append(1 if data else 0)

    def message(self, n_rows: int, *, dictionary: int | None = None) -> bytes:
        """The whole message: a record batch, or the batch of the values of a *dictionary*."""
        places: list[tuple[int, int]] = []
        parts: list[bytes] = []
        n_body = 0
        for buffer in self._buffers:
            size = len(buffer)
            places.append((n_body, size))
            if size:
                padding = -size % 8
                parts += (buffer, bytes(padding))
                n_body += size + padding
        metadata = _metadata(n_rows, self._nodes, places, self._views, n_body, dictionary)
        return b"".join((_prefixed(metadata), *parts))


def _metadata(  # noqa: PLR0913, PLR0917 - the fields of the message
    n_rows: int,
    nodes: list[tuple[int, int]],
    places: list[tuple[int, int]],
    views: list[int],
    n_body: int,
    dictionary: int | None,
) -> bytes:
    """The flatbuffer of a batch: tables first, then their vectors; what refers to something stands before it.

    0 root -> message at 24 | 8 vtables | 24 message | 48 dictionary | 72 batch | 96 nodes, buffers, views
    """
    out = bytearray(112)
    batch = 88
    header = batch if dictionary is None else 64
    struct.pack_into("<I", out, 0, 40)
    struct.pack_into("<6H", out, 4, 12, 24, 16, 18, 4, 8)  # message: version, kind, header, body length
    struct.pack_into("<5H", out, 16, 10, 24, 8, 4, 16)  # dictionary: id, data, is a delta
    struct.pack_into("<7H", out, 26, 14, 24, 8, 4, 16, 0, 20)  # batch: length, nodes, buffers, no compression, views
    struct.pack_into("<iIqhB", out, 40, 40 - 4, header - 44, n_body, _VERSION, 3 if dictionary is None else 2)
    struct.pack_into("<iIqB", out, 64, 64 - 16, batch - 68, dictionary or 0, 0)
    struct.pack_into("<iIqII", out, batch, batch - 26, 0, n_rows, 0, 0)
    for field, vector in ((4, nodes), (16, places), (20, [(count,) for count in views])):
        out += bytes((4 - len(out)) % 8)  # its length ends where its first element must begin
        struct.pack_into("<I", out, batch + field, len(out) - batch - field)
        numbers = [number for each in vector for number in each]
        out += struct.pack(f"<I{len(numbers)}q", len(vector), *numbers)
    return bytes(out)


def _prefixed(metadata: bytes) -> bytes:
    padded = metadata + bytes(-len(metadata) % 8)
    return b"\xff\xff\xff\xff" + struct.pack("<i", len(padded)) + padded


def _offsets(column: Column, items: list[Any]) -> bytes:
    return np.cumsum([0, *(len(item or ()) for item in items)]).astype(column.dtype).tobytes()


def _bits(there: list[bool]) -> bytes:
    return np.packbits(np.array(there, np.bool_), bitorder="little").tobytes()
