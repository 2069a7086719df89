"""The values of a batch's good records: packed into bytes where all of them are numbers, else as tuples.

Packing at once spares a batch from holding a Python object for every number of every record: making them afresh, going
through them for the matrix and freeing them costs as much as a quarter of reading the JSON does.
"""

from __future__ import annotations

import struct
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from app.features.contract import Contract, Feature

    Row = tuple[Any, ...]
    """A value per feature in contract order, None where it is missing."""

PACKED: dict[str, tuple[str, Any]] = {"float": ("f", np.float32), "int": ("q", np.int64), "bool": ("?", np.bool_)}
"""For each dtype that is packed: its letter for `struct`, and its numpy type."""
_DTYPES: dict[str, Any] = {"int": np.int64, "bool": np.bool_, "string": object}


class Rows(Protocol):
    """The values of n records, by feature and all together."""

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n, contract.width); TypeError if one of them is a string."""

    def column(self, position: int) -> npt.NDArray[Any]:
        """The feature at *position*, shape (n, width): float32 (float, vector), int64, bool, or object (of str)."""

    def select(self, indices: Sequence[int]) -> Rows:
        """The rows at *indices*."""


class RowFormat:
    """How a contract's values are kept: `add` turns the values of one record into what `rows` takes a list of."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._is_packed = all(feature.dtype in PACKED for feature in contract.features)
        letters = "".join(PACKED[feature.dtype][0] for feature in contract.features) if self._is_packed else ""
        self._pack = struct.Struct(f"={letters}").pack
        if set(letters) == {"f"}:
            self._pack = struct.Struct(f"{len(letters)}f").pack  # the machine's own order is faster, and the same here
        self._fillers = tuple(_filler(feature) for feature in contract.features)
        self.add: Callable[..., Any] = self._add if self._is_packed else _as_tuple

    def _add(self, *values: Any) -> bytes:
        try:
            return self._pack(*values)
        except struct.error:
            return self._pack(*map(_or_filler, values, self._fillers))

    @property
    def pack(self) -> Callable[..., Any]:
        """`add` for contracts of which no value may be missing, without the way around."""
        is_sure = self._is_packed and all(feature.missing == "reject" for feature in self._contract.features)
        return self._pack if is_sure else self.add

    def rows(self, added: Sequence[Any]) -> Rows:
        """The rows that `add` gave, in order."""
        if not self._is_packed:
            return TupleRows(self._contract, added)
        dtype = np.dtype([(str(at), PACKED[feature.dtype][1]) for at, feature in enumerate(self._contract.features)])
        return PackedRows(np.frombuffer(b"".join(added), dtype))


class PackedRows:
    """Rows of numbers, as a structured array with a field per feature, named by its position."""

    def __init__(self, rows: npt.NDArray[Any]) -> None:
        self._rows = rows
        types = {dtype for dtype, *_ in (rows.dtype.fields or {}).values()}
        self._is_uniform = types == {np.dtype(np.float32)}

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n, width)."""
        names = self._rows.dtype.names or ()
        if self._is_uniform:
            return self._rows.view(np.float32).reshape(-1, len(names))
        matrix = np.empty((len(self._rows), len(names)), np.float32)
        for at, name in enumerate(names):
            # By way of float64, as JSON's numbers come: the worker and scikit-learn round alike.
            matrix[:, at] = self._rows[name].astype(np.float64)
        return matrix

    def column(self, position: int) -> npt.NDArray[Any]:
        """The feature at *position*, shape (n, 1)."""
        return np.ascontiguousarray(self._rows[str(position)]).reshape(-1, 1)

    def select(self, indices: Sequence[int]) -> PackedRows:
        """The rows at *indices*."""
        return PackedRows(self._rows[list(indices)])


class TupleRows:
    """Rows with texts or vectors, as tuples."""

    def __init__(self, contract: Contract, rows: Sequence[Row]) -> None:
        self._contract = contract
        self._rows = rows

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n, contract.width); TypeError if one of them is a string."""
        texts = [feature.name for feature in self._contract.features if feature.dtype == "string"]
        if texts:
            raise TypeError(f"no matrix of numbers holds the strings {', '.join(texts)}")
        columns = [self.column(position) for position in range(len(self._contract.features))]
        return np.concatenate(columns, axis=1, dtype=np.float32)

    def column(self, position: int) -> npt.NDArray[Any]:
        """The feature at *position*, shape (n, width)."""
        feature = self._contract.features[position]
        values = [row[position] for row in self._rows]
        if feature.missing != "reject":
            filler = _filler(feature)
            values = [filler if value is None else value for value in values]
        if feature.dtype == "vector":
            flat = np.fromiter(chain.from_iterable(values), np.float64, feature.width * len(values))
            return flat.reshape(-1, feature.width).astype(np.float32)
        if feature.dtype == "float":
            return np.array(values, np.float64).astype(np.float32).reshape(-1, 1)
        return np.array(values, _DTYPES[feature.dtype]).reshape(-1, 1)

    def select(self, indices: Sequence[int]) -> TupleRows:
        """The rows at *indices*."""
        return TupleRows(self._contract, [self._rows[index] for index in indices])


def _filler(feature: Feature) -> Any:
    """What a missing value of *feature* becomes; None where none may be missing."""
    if feature.missing == "default":
        return feature.default
    if feature.missing == "reject":
        return None
    return (np.nan,) * feature.width if feature.dtype == "vector" else np.nan


def _or_filler(value: Any, filler: Any) -> Any:
    return filler if value is None else value


def _as_tuple(*values: Any) -> Row:
    return values
