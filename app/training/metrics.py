"""How good answers are: what a worker tallies of them, by the same definitions, and what only all together tell.

numbers: probabilities, shape (n_rows, n_classes) in the order of the contract; of a regression the answers, (n_rows,).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from app.performance import Counters, rates
from app.performance.counters import SMALLEST_P, confusion_cell
from app.scoring.scorer import published

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features import Contract

LOSS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
"""By which metric candidates are compared; less is better."""
NAMES = {
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
}


def metrics_of(contract: Contract, y: npt.NDArray[Any], numbers: npt.NDArray[np.float64]) -> dict[str, float]:
    """The metrics of the contract's task; one that is not defined for these rows is left out."""
    if contract.task == "regression":
        return _of_numbers(contract, y, numbers)
    shown = published(numbers)
    p_true = np.clip(shown[np.arange(len(y)), y], SMALLEST_P, 1 - SMALLEST_P)
    confusion = confusion_of(contract, y, numbers)
    counters = Counters(
        predicted=len(y),
        n=len(y),
        confusion={confusion_cell(*at): int(n) for at, n in np.ndenumerate(confusion) if n},
        n_log_loss=len(y),
        log_loss_sum=float(-np.log(p_true).sum()),
    )
    found = {name: value for name, value in rates(counters, contract).items() if name not in ("coverage", "classes")}
    if contract.positive_index is not None:
        is_positive = y == contract.positive_index
        score = shown[:, contract.positive_index]
        found["brier"] = float(np.mean((score - is_positive) ** 2))
        if 0 < is_positive.sum() < len(y):
            found["roc_auc"] = roc_auc(is_positive, score)
    return {name: found[name] for name in NAMES if name in found}


def confusion_of(contract: Contract, y: npt.NDArray[Any], numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """How many rows are of which class (first index) and were said to be of which, shape (n_classes, n_classes)."""
    said = decided(contract, numbers)
    confusion = np.zeros((len(contract.classes),) * 2, np.intp)
    np.add.at(confusion, (y, said), 1)
    return confusion


def decided(contract: Contract, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The class of each row as a worker decides it: by the threshold, or the most probable, the first of equals."""
    shown = published(numbers)
    if contract.positive_index is None:
        most: npt.NDArray[np.intp] = shown.argmax(axis=1)
        return most
    positive = contract.positive_index
    said: npt.NDArray[np.intp] = np.where(shown[:, positive] >= contract.threshold, positive, 1 - positive)
    return said


def roc_auc(is_positive: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    """The chance that a positive row has a higher score than a negative one, equal ones counting half.

    J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143 (1982).

    >>> roc_auc(np.array([False, True, True]), np.array([0.2, 0.2, 0.9]))
    0.75
    """
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    n_positive = int(is_positive.sum())
    rank_sum = float(mean_rank[place][is_positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * (len(score) - n_positive))


def _of_numbers(contract: Contract, y: npt.NDArray[Any], numbers: npt.NDArray[np.float64]) -> dict[str, float]:
    errors = numbers - y
    sq_error_sum = float((errors**2).sum())
    counters = Counters(
        predicted=len(y), n=len(y), abs_error_sum=float(np.abs(errors).sum()), sq_error_sum=sq_error_sum
    )
    found = rates(counters, contract)
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = {"r2": 1 - sq_error_sum / spread} if spread > 0 and math.isfinite(sq_error_sum) else {}
    return {"mae": found["mae"], "rmse": found["rmse"], **r2}
