"""How rows are divided to judge models: each fold is trained on one part and judged on another.

by time      train [------]  test [---]                     at random, stratified by class
             train [----------]  test [---]                 each row is tested once
             train [--------------]  test [---]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

if TYPE_CHECKING:
    import numpy.typing as npt

    Rows = npt.NDArray[np.intp]

N_FOLDS = 5
FOLD_ROWS_MIN = 5
"""Rows that either part of a fold must have."""


class Fold(NamedTuple):
    """Positions of rows, ascending."""

    train: Rows
    test: Rows


def time_folds(at_s: npt.NDArray[np.float64], *, n_folds: int = N_FOLDS) -> list[Fold]:
    """Folds of rows with times *at_s*, shape (n_rows,): every training row is before every test row.

    The rows are cut into n_folds + 1 parts of about equal size, never between rows of one time; what comes before a cut
    trains, the part behind it tests. There are fewer folds, or none, where few times are distinct.

    >>> [(fold.train.tolist(), fold.test.tolist()) for fold in time_folds(np.arange(20.0), n_folds=1)]
    [([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19])]
    """
    ordered = np.sort(at_s)
    cuts = np.unique(ordered[[len(ordered) * part // (n_folds + 1) for part in range(1, n_folds + 1)]])
    folds = []
    for cut, following in zip(cuts, [*cuts[1:], np.inf], strict=True):
        (train,) = np.nonzero(at_s < cut)
        (test,) = np.nonzero((at_s >= cut) & (at_s < following))
        if min(len(train), len(test)) >= FOLD_ROWS_MIN:
            folds.append(Fold(train, test))
    return folds


def random_folds(y: npt.NDArray[Any], *, is_regression: bool, seed: int, n_folds: int = N_FOLDS) -> list[Fold]:
    """Folds of rows with labels *y*, shape (n_rows,); each has each class in its share of all rows.

    There are no more folds than rows of the rarest class.
    """
    if is_regression:
        splits = KFold(n_folds, shuffle=True, random_state=seed).split(y)
    else:
        n_folds = min(n_folds, int(np.bincount(y).min()))
        splits = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y)
    return [Fold(train, np.sort(test)) for train, test in splits]
