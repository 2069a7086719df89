"""Candidates beside a trivial baseline, each judged on rows that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.training.codes import recoded
from app.training.fitting import fit
from app.training.metrics import LOSS, metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from app.features import Contract
    from app.training.dataset import Dataset
    from app.training.fitting import Fitted, Study
    from app.training.folds import Fold
    from app.training.layout import Layout


class Judged(NamedTuple):
    """What a candidate, or the baseline, is worth."""

    name: str
    metrics: tuple[dict[str, float], ...]
    """One for each fold."""
    models: tuple[Fitted, ...] = ()
    """One for each fold; the baseline has none."""
    numbers: tuple[npt.NDArray[np.float64], ...] = ()
    """The answers to the test rows of each fold."""

    def mean(self, metric: str) -> float | None:
        """Over the folds that have it; None if none has."""
        values = self.values(metric)
        return float(np.mean(values)) if values else None

    def spread(self, metric: str) -> float | None:
        """The standard deviation over the folds that have it; None of fewer than two."""
        values = self.values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def values(self, metric: str) -> list[float]:
        """Of the folds that have it."""
        return [each[metric] for each in self.metrics if metric in each]


class Comparison(NamedTuple):
    """All that was judged, on the same folds."""

    folds: tuple[Fold, ...]
    baseline: Judged
    candidates: tuple[Judged, ...]
    best: Judged
    gain: float
    """How much lower the loss of the best is than the baseline's, in the mean over folds."""
    gain_error: float
    """The standard error of that mean; 0 of a single fold."""

    @property
    def is_better(self) -> bool:
        """Whether the best is better than the baseline by more than chance would have it."""
        return self.gain > self.gain_error


def compare(
    study: Study,
    names: Sequence[str],
    folds: Sequence[Fold],
    *,
    progress: Callable[[float], None] = lambda _share: None,
) -> Comparison:
    """The candidates *names*, and which of them has the least loss in the mean over *folds*."""
    dataset, contract = study.dataset, study.layout.contract
    candidates = []
    for position, name in enumerate(names):
        models, numbers = [], []
        for number, fold in enumerate(folds):
            model = fit(study, name, fold.train)
            models.append(model)
            numbers.append(answers(model, study.layout, dataset.matrix[fold.test]))
            progress((position * len(folds) + number + 1) / (len(names) * len(folds)))
        candidates.append(Judged(name, tuple(_judge(contract, dataset, folds, numbers)), tuple(models), tuple(numbers)))
    trivial = [baseline_numbers(contract, dataset.y[fold.train], len(fold.test)) for fold in folds]
    baseline = Judged(baseline_name(contract), tuple(_judge(contract, dataset, folds, trivial)))
    loss = LOSS[contract.task]
    best = min(candidates, key=lambda each: np.mean(each.values(loss)))
    gains = np.array(baseline.values(loss)) - np.array(best.values(loss))
    error = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
    return Comparison(tuple(folds), baseline, tuple(candidates), best, float(gains.mean()), error)


def answers(model: Fitted, layout: Layout, raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """What *model* says of *raw*, shape (n_rows, width), whose categories have codes as met."""
    return model.numbers(recoded(raw, layout, model.vocabularies), len(layout.contract.classes))


def baseline_name(contract: Contract) -> str:
    """What the baseline answers."""
    return "baseline (the mean)" if contract.task == "regression" else "baseline (class shares)"


def baseline_numbers(contract: Contract, y_train: npt.NDArray[Any], n_rows: int) -> npt.NDArray[np.float64]:
    """What one would answer knowing nothing but the training labels: their mean, or the share of each class."""
    if contract.task == "regression":
        return np.full(n_rows, y_train.mean())
    shares = np.bincount(y_train, minlength=len(contract.classes)) / len(y_train)
    return np.tile(shares, (n_rows, 1))


def _judge(
    contract: Contract, dataset: Dataset, folds: Sequence[Fold], numbers: Sequence[npt.NDArray[np.float64]]
) -> list[dict[str, float]]:
    return [metrics_of(contract, dataset.y[fold.test], each) for fold, each in zip(folds, numbers, strict=True)]
