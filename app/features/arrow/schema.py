"""The columns of an Arrow IPC stream, from its schema message.

Each column knows which nodes and buffers of a record batch are its own: both lists follow the tree of columns in depth
first order, and how many buffers a column takes follows from its type.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from app.features.arrow.flat import Flat, flat_of
from app.features.arrow.flatbuffer import I16, I32, I64, U8, Malformed, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Kind = Literal[
    "null",
    "bool",
    "int",
    "float",
    "time",
    "fixed",
    "text",
    "bytes",
    "view",
    "list",
    "fixed_list",
    "struct",
    "dictionary",
]

COLUMNS_MAX = 10_000
DEPTH_MAX = 64
_KEPT_MAX_BYTES = 64 << 10
_UNITS_PER_S = (1, 1_000, 1_000_000, 1_000_000_000)
_FLOATS = (np.dtype("<f2"), np.dtype("<f4"), np.dtype("<f8"))
_N_BUFFERS: dict[str, int] = {"null": 0, "struct": 1, "fixed_list": 1, "list": 2, "text": 3, "bytes": 3}
"""Of each kind that has not two."""
_SHOWN = {
    "null": "nulls",
    "bool": "booleans",
    "int": "integers",
    "float": "floats",
    "time": "timestamps",
    "text": "texts",
    "struct": "structs",
}
_UNREAD = {14: "a union", 22: "run-end encoded", 25: "a list view", 26: "a list view"}


@dataclass(slots=True)
class Column:
    """A column, or a part of one; *buffer* and *node* are its first in those of a record batch."""

    name: str
    kind: Kind
    dtype: Any = None
    """Of numbers, times (int64), indices, offsets, and of fixed bytes (`V16`)."""
    size: int = 0
    """Elements of each list of fixed size; units a second of a time."""
    children: tuple[Column, ...] = ()
    values: Column | None = None
    """What the indices of a dictionary stand for: a column of batches of its own."""
    dictionary: int = 0
    node: int = 0
    buffer: int = 0
    views_before: int = 0
    """Columns of views before it: each of them takes further buffers, as many as the batch says."""
    is_text: bool = False
    """Whether views are of texts rather than of bytes."""

    @property
    def shown(self) -> str:
        """Its type for people."""
        if self.kind == "dictionary" and self.values is not None:
            return f"a dictionary of {self.values.shown}"
        if self.kind in ("list", "fixed_list"):
            return f"lists of {self.children[0].shown}"
        return "texts" if self.is_text else _SHOWN.get(self.kind, "bytes, or what is not read")


@dataclass(slots=True)
class _Layout:
    """What was given to columns so far."""

    nodes: int = 0
    buffers: int = 0
    views: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """The columns of a stream."""

    columns: tuple[Column, ...]
    n_nodes: int
    n_buffers: int
    n_views: int
    dictionaries: dict[int, Column] = field(default_factory=dict)
    """By id the columns of values."""
    flat: Flat = field(default_factory=lambda: flat_of(()))


def read_schema(metadata: bytes) -> Schema:
    """The schema in the message *metadata*; Malformed if it is none. Senders repeat theirs, so it is kept."""
    return _kept(metadata) if len(metadata) <= _KEPT_MAX_BYTES else _Reader().schema(metadata)


@lru_cache(maxsize=32)
def _kept(metadata: bytes) -> Schema:
    return _Reader().schema(metadata)


class _Reader:
    def __init__(self) -> None:
        self._n_columns = 0
        self._dictionaries: dict[int, Column] = {}

    def schema(self, metadata: bytes) -> Schema:
        table = Table.root(metadata).table(2)
        if table is None:
            raise Malformed("a schema message without a schema")
        if table.number(0, I16):
            raise Malformed("big-endian numbers, which are not read")
        layout = _Layout()
        columns = tuple(self._column(each, layout, 0) for each in table.tables(1))
        return Schema(columns, layout.nodes, layout.buffers, layout.views, self._dictionaries, flat_of(columns))

    def _column(self, table: Table, layout: _Layout, depth: int) -> Column:
        self._n_columns += 1
        if self._n_columns > COLUMNS_MAX or depth > DEPTH_MAX:
            raise Malformed(f"more than {COLUMNS_MAX} columns, or nested deeper than {DEPTH_MAX}")
        encoding = table.table(4)
        if encoding is None:
            return self._placed(table, layout, depth)
        index = encoding.table(1)
        column = Column(table.text(0), "dictionary", np.dtype("<i4") if index is None else _integer(index))
        column.dictionary = encoding.number(0, I64)
        _place(column, layout)
        column.values = self._placed(table, _Layout(), depth)
        if column.values.children:
            raise Malformed(f"{column.name}: a dictionary of values that are nested")
        known = self._dictionaries.setdefault(column.dictionary, column.values)
        if (known.kind, known.dtype) != (column.values.kind, column.values.dtype):
            raise Malformed(f"dictionary {column.dictionary} has values of two types")
        return column

    def _placed(self, table: Table, layout: _Layout, depth: int) -> Column:
        """A column by the type of its values."""
        column = _typed(table.text(0), table.number(2, U8), table.table(3))
        _place(column, layout)
        children = table.tables(5)
        if len(children) != {"list": 1, "fixed_list": 1}.get(column.kind, len(children)):
            raise Malformed(f"{column.name}: a list of {len(children)} columns")
        if children and column.kind not in ("list", "fixed_list", "struct"):
            raise Malformed(f"{column.name}: parts of what has none")
        column.children = tuple(self._column(child, layout, depth + 1) for child in children)
        return column


def n_buffers_of(column: Column) -> int:
    """How many buffers *column* has itself, beside those of its parts and the further ones of views."""
    return _N_BUFFERS.get(column.kind, 2)


def _place(column: Column, layout: _Layout) -> None:
    column.node, column.buffer, column.views_before = layout.nodes, layout.buffers, layout.views
    layout.nodes += 1
    layout.buffers += n_buffers_of(column)
    layout.views += column.kind == "view"


def _typed(name: str, type_: int, detail: Table | None) -> Column:
    """The column of the type number *type_*."""
    if detail is None:
        raise Malformed(f"{name}: a column without a type")
    if type_ in _UNREAD:
        raise Malformed(f"{name}: a column that is {_UNREAD[type_]}, which is not read")
    make = _MAKERS.get(type_)
    if make is not None:
        return make(name, detail)
    return Column(name, "fixed", np.dtype(f"V{_bytes_of(name, type_, detail)}"))


def _float(name: str, detail: Table) -> Column:
    return Column(name, "float", _one_of(_FLOATS, detail.number(0, I16), name))


def _time(name: str, detail: Table) -> Column:
    return Column(name, "time", np.dtype("<i8"), size=_one_of(_UNITS_PER_S, detail.number(0, I16), name))


def _fixed_list(name: str, detail: Table) -> Column:
    return Column(name, "fixed_list", size=_within(name, detail.number(0, I32), 0))


def _made(kind: Kind, dtype: str | None = None, *, is_text: bool = False) -> Callable[[str, Table], Column]:
    """A maker of columns of a type without details."""
    return lambda name, _: Column(name, kind, None if dtype is None else np.dtype(dtype), is_text=is_text)


_MAKERS: dict[int, Callable[[str, Table], Column]] = {
    1: _made("null"),
    2: lambda name, detail: Column(name, "int", _integer(detail)),
    3: _float,
    4: _made("bytes", "<i4"),
    5: _made("text", "<i4"),
    6: _made("bool"),
    10: _time,
    12: _made("list", "<i4"),
    13: _made("struct"),
    16: _fixed_list,
    17: _made("list", "<i4"),  # a map: a list of structs of key and value
    19: _made("bytes", "<i8"),
    20: _made("text", "<i8"),
    21: _made("list", "<i8"),
    23: _made("view"),
    24: _made("view", is_text=True),
}
"""By the number of its type in Arrow's Schema.fbs."""


def _one_of(known: Sequence[Any], number: int, name: str) -> Any:
    if not 0 <= number < len(known):
        raise Malformed(f"{name}: {number} is none of {len(known)} precisions or units")
    return known[number]


def _bytes_of(name: str, type_: int, detail: Table) -> int:
    """Bytes of a value of a type that is passed over: decimals, dates, times, intervals, durations, fixed bytes."""
    match type_:
        case 7:
            bits = detail.number(2, I32, 128)
        case 8:
            bits = 32 << (detail.number(0, I16, 1) & 1)
        case 9:
            bits = detail.number(1, I32, 32)
        case 11:
            bits = _one_of((32, 64, 128), detail.number(0, I16), name)
        case 15:
            bits = 8 * detail.number(0, I32)
        case 18:
            bits = 64
        case _:
            raise Malformed(f"{name}: a column of the unknown type {type_}")
    return _within(name, bits // 8, 1)


def _within(name: str, size: int, least: int) -> int:
    if not least <= size <= 1 << 20:
        raise Malformed(f"{name}: values of size {size}")
    return size


def _integer(detail: Table) -> Any:
    bits, signed = detail.number(0, I32), detail.number(1, U8)
    if bits not in (8, 16, 32, 64):
        raise Malformed(f"integers of {bits} bits")
    return np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
