"""An estimator fitted on rows, with the vocabularies that belong to it; on one thread, for the same bytes each time."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from app.errors import ConfigurationError
from app.training.codes import recoded, vocabulary_of
from app.training.float32 import with_float32_thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from app.training.codes import Vocabulary
    from app.training.dataset import Dataset
    from app.training.layout import Columns, Layout

    Define = Callable[[Columns], Mapping[str, Any]]
    """From columns to unfitted estimators by name."""

_ROWS_AT_ONCE = 100_000


class Fitted(NamedTuple):
    """A model as scikit-learn has it."""

    vocabularies: tuple[Vocabulary, ...]
    """One for each category column; they stand before the estimator, in ONNX too."""
    estimator: Any
    remarks: tuple[str, ...] = ()
    """What scikit-learn warned of."""

    def numbers(self, matrix: npt.NDArray[np.float32], n_classes: int) -> npt.NDArray[np.float64]:
        """The answers to *matrix*, shape (n_rows, width), with codes of the model's own.

        Probabilities in the order of the contract's classes, shape (n_rows, n_classes); of a regression (n_rows,).
        """
        with one_thread():
            parts = [
                self._numbers(matrix[start : start + _ROWS_AT_ONCE], n_classes)
                for start in range(0, len(matrix), _ROWS_AT_ONCE)
            ]
        return np.concatenate(parts) if parts else np.empty((0, n_classes) if n_classes else 0)

    def _numbers(self, matrix: npt.NDArray[np.float32], n_classes: int) -> npt.NDArray[np.float64]:
        if not n_classes:
            return np.asarray(self.estimator.predict(matrix), np.float64).reshape(-1)
        numbers = np.zeros((len(matrix), n_classes))  # a class that it was not shown has no chance
        numbers[:, np.asarray(self.estimator.classes_, np.intp)] = self.estimator.predict_proba(matrix)
        return numbers


class Study(NamedTuple):
    """What is fitted, on what."""

    define: Define
    layout: Layout
    dataset: Dataset
    seed: int

    def vocabularies(self, rows: Any) -> tuple[Vocabulary, ...]:
        """Those of *rows*, positions or a slice; one for each category column."""
        matrix, values = self.dataset.matrix, self.dataset.values
        return tuple(
            vocabulary_of(matrix[rows, column], met) for column, met in zip(self.layout.categories, values, strict=True)
        )

    def candidates(self, vocabularies: tuple[Vocabulary, ...]) -> Mapping[str, Any]:
        """Unfitted estimators, by name, for rows with these *vocabularies*."""
        return self.define(self.layout.columns(tuple(each.n_codes for each in vocabularies), self.seed))


def fit(study: Study, name: str, rows: Any) -> Fitted:
    """The candidate *name*, fitted on *rows*, positions or a slice."""
    vocabularies = study.vocabularies(rows)
    estimator = study.candidates(vocabularies)[name]
    matrix, y = recoded(study.dataset.matrix[rows], study.layout, vocabularies), study.dataset.y[rows]
    with one_thread(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(matrix, y)
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"the candidate {name} cannot be fitted on these rows: {error}") from error
    remarks = tuple(dict.fromkeys(str(each.message).split("\n", 1)[0] for each in caught))
    return Fitted(vocabularies, with_float32_thresholds(estimator), remarks)


@contextmanager
def one_thread() -> Iterator[None]:
    """No threads inside numerical libraries: sums would depend on which of them is done first."""
    with threadpool_limits(limits=1):
        yield
