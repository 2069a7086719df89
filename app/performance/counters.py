"""What is counted of a pane: whole numbers and sums that merge by addition, and from which every rate follows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.feedback import Contribution

SMALLEST_P = 1e-15
"""Probabilities are clipped to [1e-15, 1 - 1e-15] before their logarithm is taken."""
_CLASS_BITS = 16


class Counters(msgspec.Struct, frozen=True, array_like=True):
    """Counts of predictions and of the labels joined to them; never changed in place.

    >>> one = Counters(predicted=1, n=1, confusion={confusion_cell(0, 1): 1})
    >>> (one + one).confusion == {confusion_cell(0, 1): 2}
    True
    """

    predicted: int = 0
    """Distinct ids that were predicted."""
    n: int = 0
    """Those of them with a joined label."""
    confusion: dict[int, int] = {}
    """Joined labels by `confusion_cell`; empty for regression."""
    n_log_loss: int = 0
    """Joined labels whose prediction carried a probability."""
    log_loss_sum: float = 0.0
    """Of minus the natural logarithm of the probability of the true class."""
    abs_error_sum: float = 0.0
    sq_error_sum: float = 0.0

    def __add__(self, other: Counters) -> Counters:
        return merged((self, other))

    def __sub__(self, earlier: Counters) -> Counters:
        """What was added to *earlier* to make this; a version's totals only ever grow."""
        cells = {cell: count - earlier.confusion.get(cell, 0) for cell, count in self.confusion.items()}
        return Counters(
            self.predicted - earlier.predicted,
            self.n - earlier.n,
            {cell: count for cell, count in cells.items() if count},
            self.n_log_loss - earlier.n_log_loss,
            self.log_loss_sum - earlier.log_loss_sum,
            self.abs_error_sum - earlier.abs_error_sum,
            self.sq_error_sum - earlier.sq_error_sum,
        )


def merged(parts: Iterable[Counters]) -> Counters:
    """The sum of *parts*; zero of none."""
    predicted = n = n_log_loss = 0
    log_loss_sum = abs_error_sum = sq_error_sum = 0.0
    confusion: dict[int, int] = {}
    for part in parts:
        predicted += part.predicted
        n += part.n
        n_log_loss += part.n_log_loss
        log_loss_sum += part.log_loss_sum
        abs_error_sum += part.abs_error_sum
        sq_error_sum += part.sq_error_sum
        for cell, count in part.confusion.items():
            confusion[cell] = confusion.get(cell, 0) + count
    return Counters(predicted, n, confusion, n_log_loss, log_loss_sum, abs_error_sum, sq_error_sum)


def confusion_cell(y_true: int, y_pred: int) -> int:
    """The number of a cell of the confusion matrix, by class indices; it stays when classes are added to a contract."""
    return y_true << _CLASS_BITS | y_pred


def classes_of_cell(cell: int) -> tuple[int, int]:
    """The indices (y_true, y_pred) of a cell.

    >>> classes_of_cell(confusion_cell(2, 1))
    (2, 1)
    """
    return cell >> _CLASS_BITS, cell & (1 << _CLASS_BITS) - 1


class Sum:
    """Counters in the making: the one thing here that changes in place, for the length of a batch."""

    __slots__ = ("_abs_error_sum", "_confusion", "_log_loss_sum", "_n", "_n_log_loss", "_predicted", "_sq_error_sum")

    def __init__(self) -> None:
        self._predicted = self._n = self._n_log_loss = 0
        self._log_loss_sum = self._abs_error_sum = self._sq_error_sum = 0.0
        self._confusion: dict[int, int] = {}

    def predicted(self) -> None:
        """Count a first prediction."""
        self._predicted += 1

    def joined(self, joined: Contribution, *, regression: bool) -> None:
        """Count a joined label."""
        self._n += 1
        if regression:
            error = joined.y_pred - joined.y_true
            self._abs_error_sum += abs(error)
            self._sq_error_sum += error * error
            return
        cell = int(joined.y_true) << _CLASS_BITS | int(joined.y_pred)
        self._confusion[cell] = self._confusion.get(cell, 0) + 1
        p_true = joined.p_true
        if not math.isnan(p_true):
            self._n_log_loss += 1
            self._log_loss_sum -= math.log(min(max(p_true, SMALLEST_P), 1 - SMALLEST_P))

    def counters(self) -> Counters:
        """What was counted."""
        return Counters(
            self._predicted,
            self._n,
            self._confusion,
            self._n_log_loss,
            self._log_loss_sum,
            self._abs_error_sum,
            self._sq_error_sum,
        )
