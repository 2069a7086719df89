"""How much a model leans on each feature: how much worse it gets when that feature is shuffled, on held-out rows.

L. Breiman, "Random forests", Machine Learning 45 (2001); A. Fisher, C. Rudin, F. Dominici, "All models are wrong, but
many are useful", JMLR 20 (2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.training.cross_validation import answers
from app.training.metrics import LOSS, metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.training.cross_validation import Comparison
    from app.training.fitting import Study

ROWS_MAX = 10_000
"""Held-out rows of a fold that are looked at; fewer where there are many features."""
_ROWS_MIN = 500
_ANSWERS_MAX = 500_000


class Importance(NamedTuple):
    """Of one feature."""

    name: str
    increase: float
    """Of the loss, in the mean over folds."""
    spread: float
    """The standard deviation of that over folds; 0 of a single one."""


def importances(
    study: Study, comparison: Comparison, *, progress: Callable[[float], None] = lambda _share: None
) -> list[Importance]:
    """Of each feature of the contract, the most important first; all columns of a vector are shuffled together."""
    layout, dataset, contract = study.layout, study.dataset, study.layout.contract
    rng = np.random.default_rng(study.seed)
    loss = LOSS[contract.task]
    n_rows_max = min(ROWS_MAX, max(_ROWS_MIN, _ANSWERS_MAX // len(contract.features)))
    increases = np.zeros((len(comparison.folds), len(contract.features)))
    for number, (fold, model) in enumerate(zip(comparison.folds, comparison.best.models, strict=True)):
        test = fold.test if len(fold.test) <= n_rows_max else rng.choice(fold.test, n_rows_max, replace=False)
        raw, y = dataset.matrix[test], dataset.y[test]
        before = metrics_of(contract, y, answers(model, layout, raw))[loss]
        for at, span in enumerate(layout.spans):
            shuffled = raw.copy()
            shuffled[:, span] = raw[rng.permutation(len(raw)), span]
            increases[number, at] = metrics_of(contract, y, answers(model, layout, shuffled))[loss] - before
            progress((number * len(layout.spans) + at + 1) / increases.size)
    spreads = increases.std(axis=0, ddof=1) if len(increases) > 1 else np.zeros(increases.shape[1])
    found = [
        Importance(feature.name, float(mean), float(spread))
        for feature, mean, spread in zip(contract.features, increases.mean(axis=0), spreads, strict=True)
    ]
    return sorted(found, key=lambda each: -each.increase)
