"""Every rate, derived from counters; one whose denominator is 0 is left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app.features import class_key
from app.performance.counters import classes_of_cell

if TYPE_CHECKING:
    from app.features import Contract
    from app.performance.counters import Counters


def rates(counters: Counters, contract: Contract) -> dict[str, Any]:
    """`coverage`, and for classes `accuracy precision recall f1 log_loss`, for numbers `mae rmse`.

    Binary: precision, recall and F1 of the positive class. Multiclass: `classes` has them per class, and the names
    themselves are the mean over the contract's classes with tp + fp + fn > 0, an undefined ratio being 0.
    """
    found: dict[str, Any] = {}
    if counters.predicted:
        found["coverage"] = counters.n / counters.predicted
    if not counters.n:
        return found
    if contract.task == "regression":
        found["mae"] = counters.abs_error_sum / counters.n
        found["rmse"] = math.sqrt(counters.sq_error_sum / counters.n)
        return found
    hits, predicted, actual = _margins(counters)
    found["accuracy"] = sum(hits.values()) / counters.n
    per_class = [
        _of_class(hits.get(index, 0), predicted.get(index, 0), actual.get(index, 0))
        for index in range(len(contract.classes))
    ]
    if contract.positive_index is not None:
        found |= per_class[contract.positive_index]
    else:
        seen = [each for each in per_class if each]
        for name in ("precision", "recall", "f1"):
            if seen:
                found[name] = sum(each.get(name, 0.0) for each in seen) / len(seen)
        found["classes"] = {
            class_key(value): each for value, each in zip(contract.classes, per_class, strict=True) if each
        }
    if counters.n_log_loss:
        found["log_loss"] = counters.log_loss_sum / counters.n_log_loss
    return found


def _margins(counters: Counters) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """By class index: how often it was hit, predicted, and true."""
    hits: dict[int, int] = {}
    predicted: dict[int, int] = {}
    actual: dict[int, int] = {}
    for cell, count in counters.confusion.items():
        y_true, y_pred = classes_of_cell(cell)
        actual[y_true] = actual.get(y_true, 0) + count
        predicted[y_pred] = predicted.get(y_pred, 0) + count
        if y_true == y_pred:
            hits[y_true] = count
    return hits, predicted, actual


def _of_class(hits: int, predicted: int, actual: int) -> dict[str, float]:
    """Precision, recall and F1 of one class; empty if it was neither predicted nor true.

    >>> _of_class(0, 2, 0)
    {'precision': 0.0, 'f1': 0.0}
    """
    found: dict[str, float] = {}
    if predicted:
        found["precision"] = hits / predicted
    if actual:
        found["recall"] = hits / actual
    if predicted or actual:
        found["f1"] = 2 * hits / (predicted + actual)
    return found
