"""The values of a column in a record batch, as numpy arrays over the record's own bytes; all of it is checked here.

What has passed here can be read without a look: offsets rise and stay within their data, texts are UTF-8, indices have
a value in their dictionary, counts of nulls are true.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.features.arrow.flatbuffer import Malformed

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features.arrow.schema import Column

    Bools = npt.NDArray[np.bool_]

_VIEW = np.dtype([("length", "<i4"), ("head", "V4"), ("buffer", "<i4"), ("offset", "<i4")])
_OCTET = np.dtype(np.uint8)
VIEWED_MAX = 16
"""Views may lead to one place again and again; together they are so many times as long as the record at most."""
_INLINE, _HEAD = 12, 4
"""A view has its value in itself up to so many bytes."""


class Buffers(NamedTuple):
    """Where the buffers of a record batch lie in the value of a record; whether they do is seen when they are read."""

    value: bytes
    begin: int
    """Where the body begins."""
    n_bytes: int
    """Of the body, which is within the value."""
    nodes: tuple[int, ...]
    """Of each column in turn its length and how many of it are null."""
    places: tuple[int, ...]
    """Of each buffer in turn its offset in the body and its length."""
    views: tuple[int, ...]
    """Further buffers of each column of views."""
    dictionaries: dict[int, Array]


@dataclass(slots=True)
class Array:
    """A column of a record batch. What its other fields hold depends on the column's kind."""

    column: Column
    length: int
    valid: Bools | None
    """Which values are there; None for all."""
    values: Any = None
    """Numbers, times and fixed bytes: shape (length,). Booleans. Indices of a dictionary. Offsets. Views."""
    data: bytes = b""
    """Texts and bytes: what the offsets lead into."""
    further: tuple[bytes, ...] = ()
    """Views: what longer values stand in."""
    children: tuple[Array, ...] = ()
    """Parts of a struct; the one of a list. The values of a dictionary."""


def load(column: Column, length: int, buffers: Buffers) -> Array:
    """The array of *column*, of *length* values; Malformed or ValueError if it is none."""
    at = 2 * column.node
    n, n_null = buffers.nodes[at : at + 2]
    if n != length or not 0 <= n_null <= n:
        raise Malformed(f"{column.name}: {n} values, {n_null} of them null, where {length} were announced")
    kind = column.kind
    if kind == "null":
        return Array(column, length, np.broadcast_to(np.False_, length))
    first = column.buffer + (sum(buffers.views[: column.views_before]) if column.views_before else 0)
    valid = _bits(column, length, buffers, first) if n_null else None
    if valid is not None and length - int(np.count_nonzero(valid)) != n_null:
        raise Malformed(f"{column.name}: not {n_null} values are null")
    if kind in ("int", "float", "time", "fixed"):
        return Array(column, length, valid, _numbers(column, column.dtype, length, buffers, first + 1))
    return _LOADERS[kind](column, length, valid, buffers, first)


def _load_bool(column: Column, length: int, valid: Bools | None, buffers: Buffers, first: int) -> Array:
    return Array(column, length, valid, _bits(column, length, buffers, first + 1))


def _load_offsets(column: Column, length: int, buffers: Buffers, buffer: int, end: int) -> Any:
    """The offsets of *length* values into what has *end* elements."""
    if not length and not buffers.places[2 * buffer + 1]:
        return np.zeros(1, column.dtype)  # what is empty may have none at all
    offsets = _numbers(column, column.dtype, length + 1, buffers, buffer)
    if offsets[0] < 0 or offsets[-1] > end or (offsets[1:] < offsets[:-1]).any():
        raise Malformed(f"{column.name}: offsets that do not rise from 0 to {end}")
    return offsets


def _load_text(column: Column, length: int, valid: Bools | None, buffers: Buffers, first: int) -> Array:
    data = _slice(column, buffers, first + 2)
    offsets = _load_offsets(column, length, buffers, first + 1, len(data))
    array = Array(column, length, valid, offsets, data)
    if column.kind == "text" and not data.isascii():
        _check_utf8(array)
    return array


def _load_view(column: Column, length: int, valid: Bools | None, buffers: Buffers, first: int) -> Array:
    n_further = buffers.views[column.views_before]
    further = tuple(_slice(column, buffers, buffer) for buffer in range(first + 2, first + 2 + n_further))
    views = _numbers(column, _VIEW, length, buffers, first + 1)
    lengths = views["length"].astype(np.int64)
    long = lengths > _INLINE if valid is None else (lengths > _INLINE) & valid
    if ((lengths < 0) if valid is None else (lengths < 0) & valid).any():
        raise Malformed(f"{column.name}: a view of a negative length")
    if int(lengths[long].sum()) > VIEWED_MAX * len(buffers.value):
        raise Malformed(f"{column.name}: views that repeat their buffers too often")
    if long.any():
        which, offsets = views["buffer"][long], views["offset"][long].astype(np.int64)
        sizes = np.array([len(each) for each in further], np.int64)
        if (
            not 0 <= which.min() <= which.max() < len(sizes)
            or (offsets < 0).any()
            or (offsets + lengths[long] > sizes[which]).any()
        ):
            raise Malformed(f"{column.name}: a view beyond its buffer")
    array = Array(column, length, valid, views, further=further)
    _check_heads(array)
    if column.is_text:
        _check_utf8(array)
    return array


def _check_heads(array: Array) -> None:
    """What views hold themselves: a short value and zeros, or the head of a long one."""
    for at in range(array.length) if array.valid is None else np.flatnonzero(array.valid).tolist():
        value, held = raw_at(array, at), array.values[at].tobytes()[4:]
        if held[:_HEAD] != value[:_HEAD].ljust(_HEAD, b"\0") or not (
            len(value) > _INLINE or held == value.ljust(12, b"\0")
        ):
            raise Malformed(f"{array.column.name}: a view whose head is not that of its value")


def _load_list(column: Column, length: int, valid: Bools | None, buffers: Buffers, first: int) -> Array:
    inner = column.children[0]
    n_inner = buffers.nodes[2 * inner.node]
    _check_size(inner, n_inner, buffers)
    offsets = _load_offsets(column, length, buffers, first + 1, n_inner)
    return Array(column, length, valid, offsets, children=(load(inner, n_inner, buffers),))


def _load_fixed_list(column: Column, length: int, valid: Bools | None, buffers: Buffers, _: int) -> Array:
    inner = column.children[0]
    _check_size(inner, length * column.size, buffers)
    return Array(column, length, valid, children=(load(inner, length * column.size, buffers),))


def _load_struct(column: Column, length: int, valid: Bools | None, buffers: Buffers, _: int) -> Array:
    return Array(column, length, valid, children=tuple(load(part, length, buffers) for part in column.children))


def _load_dictionary(column: Column, length: int, valid: Bools | None, buffers: Buffers, first: int) -> Array:
    values = buffers.dictionaries.get(column.dictionary)
    if values is None:
        raise Malformed(f"{column.name}: its dictionary {column.dictionary} is not there")
    indices = _numbers(column, column.dtype, length, buffers, first + 1)
    used = indices if valid is None else indices[valid]
    if len(used) and not 0 <= int(used.min()) <= int(used.max()) < values.length:
        raise Malformed(f"{column.name}: an index beyond its dictionary of {values.length}")
    return Array(column, length, valid, indices, children=(values,))


_LOADERS = {
    "bool": _load_bool,
    "text": _load_text,
    "bytes": _load_text,
    "view": _load_view,
    "list": _load_list,
    "fixed_list": _load_fixed_list,
    "struct": _load_struct,
    "dictionary": _load_dictionary,
}


def _check_size(column: Column, length: int, buffers: Buffers) -> None:
    """Refuse parts of a list whose number is out of proportion: only the rows of a record are bounded otherwise."""
    if not 0 <= length <= 8 * len(buffers.value):
        raise Malformed(f"{column.name}: {length} values in {len(buffers.value)} bytes")


def _numbers(column: Column, dtype: Any, n: int, buffers: Buffers, buffer: int) -> Any:
    offset, size = _place(column, buffers, buffer)
    if n * dtype.itemsize > size:
        raise Malformed(f"{column.name}: {size} bytes for {n} values of {dtype.itemsize}")
    return np.frombuffer(buffers.value, dtype, n, buffers.begin + offset) if n else np.empty(0, dtype)


def _place(column: Column, buffers: Buffers, buffer: int) -> tuple[int, int]:
    """Where a buffer is in the body, and how long."""
    offset, size = buffers.places[2 * buffer], buffers.places[2 * buffer + 1]
    if offset < 0 or size < 0 or offset + size > buffers.n_bytes or offset % 8:
        raise Malformed(f"{column.name}: a buffer of {size} bytes at {offset} in a body of {buffers.n_bytes}")
    return offset, size


def _bits(column: Column, n: int, buffers: Buffers, buffer: int) -> Bools:
    octets = _numbers(column, _OCTET, (n + 7) // 8, buffers, buffer)
    return np.unpackbits(octets, count=n, bitorder="little").view(np.bool_)


def _slice(column: Column, buffers: Buffers, buffer: int) -> bytes:
    offset, size = _place(column, buffers, buffer)
    return buffers.value[buffers.begin + offset : buffers.begin + offset + size]


def _check_utf8(array: Array) -> None:
    for at in range(array.length) if array.valid is None else np.flatnonzero(array.valid).tolist():
        raw_at(array, at).decode()


def raw_bytes(array: Array) -> list[bytes | None]:
    """The values of texts, bytes or views; None for null."""
    if array.column.kind == "view":
        raw = [_viewed(array, at) for at in range(array.length)]
    else:
        bounds, data = array.values.tolist(), array.data
        raw = [data[begin:end] for begin, end in pairwise(bounds)]
    if array.valid is None:
        return list(raw)
    return [each if there else None for each, there in zip(raw, array.valid.tolist(), strict=True)]


def raw_at(array: Array, at: int) -> bytes:
    """The value of texts, bytes or views at *at*, which is not null."""
    if array.column.kind == "view":
        return _viewed(array, at)
    return array.data[int(array.values[at]) : int(array.values[at + 1])]


def _viewed(array: Array, at: int) -> bytes:
    if array.valid is not None and not array.valid[at]:
        return b""
    view = array.values[at]
    length = int(view["length"])
    if length <= _INLINE:
        return bytes(view.tobytes()[4 : 4 + length])
    offset = int(view["offset"])
    return array.further[int(view["buffer"])][offset : offset + length]
