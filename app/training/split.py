"""How a data set is divided to be judged, by time where its rows have one; and whether it can be judged at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.errors import ConfigurationError
from app.features import class_key
from app.training.dataset import class_counts
from app.training.folds import random_folds, time_folds

if TYPE_CHECKING:
    from app.features import Contract
    from app.training.dataset import Dataset
    from app.training.folds import Fold

ROWS_MIN = 40
"""Of fewer rows no fold says anything."""
CLASS_ROWS_MIN = 2


class Split(NamedTuple):
    """Folds, and how they came about."""

    folds: tuple[Fold, ...]
    how: str
    """For people."""
    notes: tuple[str, ...] = ()
    """What one should know of them."""
    is_by_time: bool = False


def split_of(dataset: Dataset, contract: Contract, *, seed: int) -> Split:
    """The folds of *dataset*; ConfigurationError if it has too few rows, or too few of a class."""
    _check(dataset, contract)
    notes: tuple[str, ...] = ()
    if contract.event_time_path is not None:
        folds = time_folds(dataset.at_s)
        good = tuple(fold for fold in folds if contract.task == "regression" or np.ptp(dataset.y[fold.train]) > 0)
        if len(good) < len(folds):
            notes = (f"{len(folds) - len(good)} folds are left out: all that was before them is of one class",)
        if len(good) > 1:
            return Split(good, f"{len(good)} folds by time, each trained on all that was before it", notes, True)
        notes = (f"too few times are distinct in {contract.event_time_field} to divide the rows by them",)
    is_regression = contract.task == "regression"
    random = tuple(random_folds(dataset.y, is_regression=is_regression, seed=seed))
    how = f"{len(random)} folds at random" + ("" if is_regression else ", each with the same share of each class")
    return Split(random, how, notes)


def _check(dataset: Dataset, contract: Contract) -> None:
    if len(dataset.y) < ROWS_MIN:
        raise ConfigurationError(
            f"{len(dataset.y)} rows can be used, which are too few to judge a model by; give at least {ROWS_MIN}"
        )
    counts = class_counts(dataset, contract)
    for value, n_rows in zip(contract.classes, counts, strict=True):
        if n_rows < CLASS_ROWS_MIN:
            raise ConfigurationError(
                f"the class {class_key(value)} has {n_rows} of {len(dataset.y):,} rows; a model needs examples of each "
                f"class: give more rows, or take it out of classes in the contract"
            )
    if contract.task == "regression" and np.ptp(dataset.y) == 0:
        raise ConfigurationError(f"the label is {dataset.y[0]:g} in every row: there is nothing to be learnt")
