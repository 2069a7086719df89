"""Values of rows as columns: floats and vectors side by side in one block, all other features in arrays of their own.

contract   amount float | channel string | visits int | embedding vector[4]
block      [ amount, embedding x 4 ]  float32        others   channel (object), visits (int64)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from app.features.contract import Contract, Feature

    Block = npt.NDArray[np.float32]

DTYPES: dict[str, Any] = {"int": np.dtype(np.int64), "bool": np.dtype(np.bool_), "string": np.dtype(object)}
"""Of the features that stand outside the block."""


class Places(NamedTuple):
    """Where the features of a contract stand."""

    in_block: dict[int, slice]
    """Position of a feature -> its columns in the block."""
    width: int
    """Of the block."""
    others: dict[int, int]
    """Position of a feature -> which of the others it is."""


def places_of(contract: Contract) -> Places:
    """Where the features of *contract* stand."""
    in_block: dict[int, slice] = {}
    others: dict[int, int] = {}
    width = 0
    for position, feature in enumerate(contract.features):
        if feature.dtype in DTYPES:
            others[position] = len(others)
        else:
            in_block[position] = slice(width, width + feature.width)
            width += feature.width
    return Places(in_block, width, others)


def filler_of(feature: Feature) -> Any:
    """What a missing value of *feature* becomes; of one that may not be missing what stands in its place unread."""
    if feature.missing == "default":
        return feature.default
    return {"int": 0, "bool": False, "string": ""}.get(feature.dtype, np.nan)


class ColumnRows:
    """The values of n rows; a `Rows` as the scorers take it."""

    def __init__(self, contract: Contract, places: Places, block: Block, others: Sequence[npt.NDArray[Any]]) -> None:
        """block: shape (n, places.width); others: each of shape (n,)."""
        self._contract, self._places = contract, places
        self._block, self._others = block, others

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n, contract.width); TypeError if one of them is a string."""
        if not self._others:
            return self._block
        texts = [feature.name for feature in self._contract.features if feature.dtype == "string"]
        if texts:
            raise TypeError(f"no matrix of numbers holds the strings {', '.join(texts)}")
        # By way of float64, as JSON's numbers come: the worker and scikit-learn round alike.
        columns = [self.column(position) for position in range(len(self._contract.features))]
        return np.concatenate([c.astype(np.float64) for c in columns], axis=1).astype(np.float32)

    def column(self, position: int) -> npt.NDArray[Any]:
        """The feature at *position*, shape (n, width): float32 (float, vector), int64, bool, or object (of str)."""
        if position in self._places.in_block:
            return np.ascontiguousarray(self._block[:, self._places.in_block[position]])
        return self._others[self._places.others[position]].reshape(-1, 1)

    def select(self, indices: Sequence[int]) -> ColumnRows:
        """The rows at *indices*."""
        chosen = np.asarray(indices, np.intp)
        others = [values[chosen] for values in self._others]
        return ColumnRows(self._contract, self._places, self._block[chosen], others)
