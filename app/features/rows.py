"""The values of a batch's good records: numbers packed into bytes one record after the other, texts beside them.

Packing at once spares a batch from holding a Python object for every number of every record: making them afresh, going
through them for the matrix and freeing them costs more than reading the JSON does where a record has 784 numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.features.packing import PACKED, REFUSALS, packer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from app.features.contract import Contract, Feature

    Texts = tuple[str | None, ...]
    """The strings of a record in contract order, None where missing."""


class RowFormat:
    """How a contract's values are kept: `pack` turns the numbers of one record into bytes, `rows` many such to arrays.

    features: in the order of a row, all numbers (vectors are such) before all texts, else as in the contract.
    numbers, texts: where in a row they are.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        packed = [feature for feature in contract.features if feature.dtype in PACKED]
        strings = [feature for feature in contract.features if feature.dtype not in PACKED]
        self.features = (*packed, *strings)
        self.numbers, self.texts = slice(0, len(packed)), slice(len(packed), len(self.features))
        self._dtype = np.dtype([(feature.name, PACKED[feature.dtype][1], (feature.width,)) for feature in packed])
        self.no_numbers = bytes(self._dtype.itemsize)
        """What stands for a record of which nothing is known yet."""
        self._fillers = tuple(_filler(feature) for feature in packed)
        self._pack = packer(packed)
        self.pack: Callable[..., bytes] = self._pack_or_fill
        if all(filler is None for filler in self._fillers):
            self.pack = self._pack
        elif any(filler is True for filler in self._fillers):
            self.pack = self._fill_and_pack

    def _pack_or_fill(self, *values: Any) -> bytes:
        try:
            return self._pack(*values)
        except REFUSALS:
            return self._pack(*map(_or_filler, values, self._fillers))

    def _fill_and_pack(self, *values: Any) -> bytes:
        """The same where a missing bool is true: no packer refuses None in the place of a bool, it becomes false."""
        if None in values:
            values = tuple(map(_or_filler, values, self._fillers))
        return self._pack(*values)

    def row(self, values: Sequence[Any]) -> tuple[bytes, Texts]:
        """Numbers and texts of one record from a value per feature in contract order, None where it is missing."""
        value_of = dict(zip((feature.name for feature in self._contract.features), values, strict=True))
        ordered = tuple(value_of[feature.name] for feature in self.features)
        return self.pack(*ordered[self.numbers]), ordered[self.texts]

    def rows(self, numbers: Sequence[bytes], texts: Sequence[Texts]) -> Rows:
        """The rows whose packed numbers and whose texts these are, in order."""
        if not self._dtype.itemsize:
            return Rows(self._contract, np.empty(len(numbers), self._dtype), texts)
        return Rows(self._contract, np.frombuffer(b"".join(numbers), self._dtype), texts)


class Rows:
    """The values of n records, by feature and all together."""

    def __init__(self, contract: Contract, numbers: npt.NDArray[Any], texts: Sequence[Texts]) -> None:
        """numbers: shape (n,), structured, with a field of shape (width,) for each feature that is no string."""
        self._contract = contract
        self._numbers = numbers
        self._texts = texts
        self._strings = [feature.name for feature in contract.features if feature.dtype == "string"]

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n, contract.width); TypeError if one of them is a string."""
        if self._strings:
            raise TypeError(f"no matrix of numbers holds the strings {', '.join(self._strings)}")
        shape = len(self._numbers), self._contract.width
        if all(feature.dtype in ("float", "vector") for feature in self._contract.features):
            return self._numbers.view(np.float32).reshape(shape)
        matrix, start = np.empty(shape, np.float32), 0
        for feature in self._contract.features:
            # By way of float64, as JSON's numbers come: the worker and scikit-learn round alike.
            matrix[:, start : start + feature.width] = self._numbers[feature.name].astype(np.float64)
            start += feature.width
        return matrix

    def column(self, position: int) -> npt.NDArray[Any]:
        """The feature at *position*, shape (n, width): float32 (float, vector), int64, bool, or object (of str)."""
        feature = self._contract.features[position]
        if feature.dtype != "string":
            return np.ascontiguousarray(self._numbers[feature.name])
        at = self._strings.index(feature.name)
        texts = [record[at] for record in self._texts]
        if feature.missing == "default":
            texts = [_or_filler(text, feature.default) for text in texts]
        return np.array(texts, object).reshape(-1, 1)

    def select(self, indices: Sequence[int]) -> Rows:
        """The rows at *indices*."""
        texts = [self._texts[index] for index in indices] if self._strings else self._texts
        return Rows(self._contract, self._numbers[list(indices)], texts)

    def infinite(self) -> list[int]:
        """The positions of rows with a vector of which an element is no finite number as float32; ascending."""
        is_infinite = np.zeros(len(self._numbers), np.bool_)
        for feature in self._contract.features:
            if feature.dtype == "vector":
                is_infinite |= np.isinf(self._numbers[feature.name]).any(axis=1)
        positions: list[int] = is_infinite.nonzero()[0].tolist()
        return positions


def _filler(feature: Feature) -> Any:
    """What a missing value of *feature* becomes; None where none may be missing."""
    if feature.missing == "default":
        return feature.default
    if feature.missing == "reject":
        return None
    return (np.nan,) * feature.width if feature.dtype == "vector" else np.nan


def _or_filler(value: Any, filler: Any) -> Any:
    return filler if value is None else value
