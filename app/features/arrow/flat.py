"""Columns of plain numbers, looked at all together: one by one the dozens of a batch would cost more than its rows.

body   [f0 f0 f0 ..][f1 f1 f1 ..][f2 f2 f2 ..]     writers lay columns of one width out at one distance,
        <- stride -><- stride ->                   so that a run of them is a matrix already
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.features.arrow.arrays import load
from app.features.arrow.flatbuffer import Malformed

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features.arrow.arrays import Array, Bools, Buffers
    from app.features.arrow.schema import Column

    Ints = npt.NDArray[np.int64]


class Flat(NamedTuple):
    """Which columns of a schema are plain numbers, with no columns of views before them."""

    columns: Ints
    """Their positions among all columns."""
    nodes: Ints
    buffers: Ints
    """Where their values are."""
    item_bytes: Ints


def flat_of(columns: tuple[Column, ...]) -> Flat:
    """The plain columns among the *columns* of a schema."""
    found = [
        (position, column.node, column.buffer + 1, column.dtype.itemsize)
        for position, column in enumerate(columns)
        if column.kind in ("int", "float", "time", "fixed") and not column.views_before
    ]
    return Flat(*np.array(found, np.int64).reshape(-1, 4).T)


class Columns:
    """The columns of a record batch: checked when they are read, made into arrays when they are asked for."""

    def __init__(self, columns: tuple[Column, ...], flat: Flat, length: int, buffers: Buffers) -> None:
        """*length*: rows of the batch. Malformed or ValueError if one of the columns is none."""
        self._columns, self._length, self._buffers = columns, length, buffers
        self._arrays: list[Array | None] = [None] * len(columns)
        self._data_at: Ints = np.full(len(columns), -1, np.int64)
        """Where the values of a plain column without nulls begin in the record; -1 for all others."""
        plain = _plain(flat, length, buffers)
        chosen = flat.columns[plain]
        self._data_at[chosen] = buffers.begin + np.array(buffers.places[::2], np.int64)[flat.buffers[plain]]
        for position in np.flatnonzero(self._data_at < 0).tolist():
            self._arrays[position] = load(columns[position], length, buffers)

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, position: int) -> Array:
        array = self._arrays[position]
        if array is None:
            array = self._arrays[position] = load(self._columns[position], self._length, self._buffers)
        return array

    def plain_bytes(self, position: int, row: int) -> bytes | None:
        """What the plain column at *position* has in *row*; None if it is not plain, or has nulls."""
        begin = int(self._data_at[position])
        if begin < 0:
            return None
        size = self._columns[position].dtype.itemsize
        return self._buffers.value[begin + row * size : begin + (row + 1) * size]

    def matrix(self, first: int, n: int, dtype: Any) -> npt.NDArray[Any] | None:
        """The *n* columns from *first* on, all of *dtype*, shape (n, rows); None if they do not lie like a matrix."""
        places = self._data_at[first : first + n]
        if not self._length or places.min() < 0:
            return None
        strides = places[1:] - places[:-1]
        if len(strides) and ((strides != strides[0]).any() or strides[0] <= 0):
            return None
        shape, stride = (n, self._length), int(strides[0]) if len(strides) else 0
        return np.ndarray(shape, dtype, self._buffers.value, int(places[0]), (stride, dtype.itemsize))


def _plain(flat: Flat, length: int, buffers: Buffers) -> Bools:
    """Which of the plain columns have no nulls and all their values inside the body; the others need a closer look."""
    if not len(flat.columns):
        return np.zeros(0, np.bool_)
    nodes = np.array(buffers.nodes, np.int64).reshape(-1, 2)[flat.nodes]
    places = np.array(buffers.places, np.int64).reshape(-1, 2)[flat.buffers]
    if (nodes[:, 0] != length).any():
        raise Malformed("columns of another length than their batch")
    offsets, sizes = places[:, 0], places[:, 1]
    inside = (offsets >= 0) & (offsets % 8 == 0) & (sizes <= buffers.n_bytes) & (offsets <= buffers.n_bytes - sizes)
    plain: Bools = inside & (sizes >= length * flat.item_bytes) & (nodes[:, 1] == 0)
    return plain


class Run(NamedTuple):
    """Floats that stand side by side in the stream as they do in the block."""

    column: int
    """The first of them in the stream."""
    place: int
    """The first of them in the block."""
    n: int
    dtype: Any
    features: range
    """Their positions among the features."""
    low: npt.NDArray[Any] | None
    high: npt.NDArray[Any] | None
    """Bounds of each in its own precision, which no value between it and the true one exists in; None without any."""


def runs_of(found: list[tuple[int, int, int, Any, float | None, float | None]]) -> tuple[Run, ...]:
    """Runs among floats, each given as its feature, its column, its place in the block, its dtype, low and high."""
    runs: list[list[tuple[int, int, int, Any, float | None, float | None]]] = []
    for each in found:
        if (
            runs
            and all(a + 1 == b for a, b in zip(runs[-1][-1][:3], each[:3], strict=True))
            and runs[-1][-1][3] == each[3]
        ):
            runs[-1].append(each)
        else:
            runs.append([each])
    return tuple(_run(each) for each in runs)


def _run(found: list[tuple[int, int, int, Any, float | None, float | None]]) -> Run:
    feature, column, place, dtype, *_ = found[0]
    low: Any = [-np.inf if each[4] is None else each[4] for each in found]
    high: Any = [np.inf if each[5] is None else each[5] for each in found]
    return Run(
        column,
        place,
        len(found),
        dtype,
        range(feature, feature + len(found)),
        None if all(each[4] is None for each in found) else _inwards(np.array(low), dtype, np.inf),
        None if all(each[5] is None for each in found) else _inwards(np.array(high), dtype, -np.inf),
    )


def _inwards(bounds: npt.NDArray[np.float64], dtype: Any, towards: float) -> npt.NDArray[Any]:
    """The *bounds* in *dtype*; one that is no number there is moved to the next that is, *towards* the inside."""
    with np.errstate(over="ignore"):
        rounded = bounds.astype(dtype)
    beyond = rounded.astype(np.float64) < bounds if towards > 0 else rounded.astype(np.float64) > bounds
    moved: npt.NDArray[Any] = np.where(beyond, np.nextafter(rounded, dtype.type(towards)), rounded)
    return moved
