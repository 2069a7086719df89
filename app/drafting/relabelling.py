"""Columns that are the label under another name: known to whoever wrote the file, unknown when an event arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.features.contract import FieldPath

PAIRS_MAX = 100
"""Different pairs of value and label that are looked at: with more classes than this nothing is said."""
ROWS_MIN = 10
"""With fewer, a column may go with the label by chance."""


class RelabellingWatch:
    """Which columns have one value for each label and one label for each value, in all rows so far."""

    def __init__(self) -> None:
        self._pairs: dict[FieldPath, set[tuple[Any, Any]]] = {}
        self._refuted: set[FieldPath] = set()

    def add(self, columns: Mapping[FieldPath, Sequence[Any]], labels: Sequence[Any], label: FieldPath | None) -> None:
        """Look at further rows."""
        for path, values in columns.items():
            if path == label or path in self._refuted:
                continue
            pairs = self._pairs.setdefault(path, set())
            try:
                pairs.update(zip(values, labels, strict=True))
            except TypeError:  # lists are no labels
                self._refute(path)
                continue
            if len(pairs) > PAIRS_MAX or not _is_one_to_one(pairs):
                self._refute(path)

    def found(self) -> dict[FieldPath, bool]:
        """The columns that go with the label one to one in at least two values; True for those that equal it."""
        return {
            path: all(str(value) == str(label) for value, label in pairs)
            for path, pairs in self._pairs.items()
            if len(pairs) > 1
        }

    def _refute(self, path: FieldPath) -> None:
        self._refuted.add(path)
        del self._pairs[path]


def is_linear_in(label: Sequence[float], values: Sequence[float]) -> bool:
    """Whether *values* are the numbers *label* in another unit: on one line with them, but for rounding.

    >>> euros = [1.0, 2.5, 7.0, 3.0, 9.0, 4.0, 4.5, 8.0, 6.0, 2.0]
    >>> is_linear_in(euros, [100 * euro for euro in euros]), is_linear_in(euros, euros[::-1])
    (True, False)
    """
    x, y = np.array(label, np.float64), np.array(values, np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < ROWS_MIN or (x == x[0]).all() or (y == y[0]).all():
        return False
    with np.errstate(all="ignore"):
        return bool(abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-10)


def _is_one_to_one(pairs: set[tuple[Any, Any]]) -> bool:
    return len({value for value, _ in pairs}) == len(pairs) == len({label for _, label in pairs})
