"""A decoded batch: the good records as arrays, the others with the reason why not."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from app.errors import Reason
    from app.features.contract import Contract, Feature

NUMERIC = frozenset({"float", "int", "bool"})


class Rejected(NamedTuple):
    """A record that can never be scored."""

    position: int
    """Where it stood in the batch."""
    reason: Reason
    error: str


class DecodedBatch:
    """The records of a batch that are good, and those that are not.

    kept: positions in the batch, ascending; ids and event_at_s (epoch seconds) belong to them one by one.
    rejected: the others, in the order of the batch.
    """

    def __init__(  # noqa: PLR0913 - one value, built in one place
        self,
        contract: Contract,
        *,
        kept: list[int],
        ids: list[str],
        event_at_s: list[float],
        rows: Sequence[tuple[Any, ...]],
        rejected: list[Rejected],
    ) -> None:
        """rows: one tuple per kept record, a value per feature in contract order, None where it is missing."""
        self.contract = contract
        self.kept = kept
        self.ids = ids
        self.event_at_s = event_at_s
        self.rejected = rejected
        self._rows = rows
        self._matrix: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.kept)

    def matrix(self) -> npt.NDArray[np.float32]:
        """All features side by side, shape (n_kept, contract.width); TypeError if one of them is a string."""
        if self._matrix is None:
            if all(feature.dtype in NUMERIC for feature in self.contract.features):
                self._matrix = self._numeric_matrix()
            else:
                columns = [self.column(feature.name) for feature in self.contract.features]
                texts = [feature.name for feature in self.contract.features if feature.dtype == "string"]
                if texts:
                    raise TypeError(f"no matrix of numbers holds the strings {', '.join(texts)}")
                self._matrix = np.concatenate(columns, axis=1, dtype=np.float32)
        return self._matrix

    def column(self, name: str) -> npt.NDArray[Any]:
        """The feature *name*, shape (n_kept, width): float32 (float, vector), int64, bool, or object (of str)."""
        position = self._position_of(name)
        feature = self.contract.features[position]
        values = [row[position] for row in self._rows]
        if feature.dtype == "float":
            # None is NaN for numpy, and a record cannot hold a NaN of its own: JSON has none.
            numbers = np.array(values, np.float64)
            if feature.missing == "default":
                numbers[np.isnan(numbers)] = feature.default
            return numbers.astype(np.float32).reshape(-1, 1)
        if feature.missing != "reject":
            values = [_filler(feature) if value is None else value for value in values]
        if feature.dtype == "vector":
            return np.array(values, np.float64).astype(np.float32).reshape(-1, feature.width)
        return np.array(values, _DTYPES[feature.dtype]).reshape(-1, 1)

    def select(self, indices: Sequence[int]) -> DecodedBatch:
        """The kept records at *indices* (into `kept`) as a batch of their own, without the rejected ones."""
        part = DecodedBatch(
            self.contract,
            kept=[self.kept[index] for index in indices],
            ids=[self.ids[index] for index in indices],
            event_at_s=[self.event_at_s[index] for index in indices],
            rows=[self._rows[index] for index in indices],
            rejected=[],
        )
        if self._matrix is not None:
            part._matrix = self._matrix[list(indices)]
        return part

    def _numeric_matrix(self) -> npt.NDArray[np.float32]:
        width = self.contract.width
        if all(feature.missing == "reject" for feature in self.contract.features):
            # Twice as fast, but it knows no None.
            return (
                np.fromiter(chain.from_iterable(self._rows), np.float64, width * len(self))
                .reshape(-1, width)
                .astype(np.float32)
            )
        numbers = np.array(self._rows, np.float64).reshape(-1, width)
        for position, feature in enumerate(self.contract.features):
            if feature.missing == "default":
                column = numbers[:, position]
                column[np.isnan(column)] = feature.default
        return numbers.astype(np.float32)

    def _position_of(self, name: str) -> int:
        for position, feature in enumerate(self.contract.features):
            if feature.name == name:
                return position
        raise KeyError(name)


_DTYPES: dict[str, Any] = {"int": np.int64, "bool": np.bool_, "string": object}


def _filler(feature: Feature) -> Any:
    if feature.missing == "default":
        return feature.default
    return (np.nan,) * feature.width
