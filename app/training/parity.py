"""Whether the ONNX file says what scikit-learn says: each row scored by the worker's own Scorer, and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.scoring.scorer import published
from app.training.codes import matrix_of
from app.training.metrics import decided

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features import DecodedBatch
    from app.scoring import Scorer, Scores
    from app.training.fitting import Fitted
    from app.training.layout import Layout

TOLERANCE = 1e-5
"""Of a probability. Of a number: in units of the larger of itself and the labels' standard deviation."""
NAMED_MAX = 5


class Offender(NamedTuple):
    """A row on which the two differ by more than the tolerance, or which ONNX cannot score."""

    row: int
    """Its number in the table."""
    id: str
    problem: str


class Parity:
    """The comparison so far."""

    def __init__(self, fitted: Fitted, layout: Layout, scorer: Scorer, *, unit: float) -> None:
        """unit: the standard deviation of the labels of a regression, else 1."""
        self._fitted = fitted
        self._layout = layout
        self._scorer = scorer
        self._unit = unit
        self._coders = [vocabulary.codes_of for vocabulary in fitted.vocabularies]
        self.n_rows = 0
        self.max_difference = 0.0
        """In the units of TOLERANCE."""
        self.n_other_class = 0
        """Rows whose class differs: their score is that close to the decision."""
        self.n_offenders = 0
        self.offenders: list[Offender] = []
        """The first of them."""

    def add(self, decoded: DecodedBatch, first_row: int) -> None:
        """Compare the kept rows of *decoded*, of a batch whose first row has the number *first_row*."""
        if not len(decoded):
            return
        contract = self._layout.contract
        expected = self._fitted.numbers(matrix_of(decoded, self._layout, self._coders), len(contract.classes))
        scores = self._scorer.score(decoded)
        differences, problems = self._differences(expected, scores)
        self.n_rows += len(decoded)
        compared = np.delete(differences, list(scores.failed)) if scores.failed else differences
        self.max_difference = max(self.max_difference, float(compared.max(initial=0.0)))
        if scores.indices is not None:
            self.n_other_class += int((decided(contract, expected) != scores.indices).sum())
        (beyond,) = np.nonzero(~(differences <= TOLERANCE))
        for index in beyond.tolist():
            self.n_offenders += 1
            if len(self.offenders) < NAMED_MAX:
                row, problem = first_row + decoded.kept[index], scores.failed.get(index) or problems(index)
                self.offenders.append(Offender(row, decoded.ids[index], problem))

    def _differences(
        self, expected: npt.NDArray[np.float64], scores: Scores
    ) -> tuple[npt.NDArray[np.float64], Problem]:
        """How far the two are apart in each row, shape (n_rows,), NaN where ONNX fails; and a row's figures."""
        positive = self._layout.contract.positive_index
        if scores.numbers is None:
            said = np.array(scores.predictions, np.float64)
            differences = np.abs(said - expected) / np.maximum(self._unit, np.abs(expected))
        else:
            expected = published(expected) if positive is None else published(expected[:, positive])
            said = scores.numbers
            differences = np.abs(said - expected)
        if differences.ndim > 1:
            differences = differences.max(axis=1)
        differences[list(scores.failed)] = np.nan
        return differences, lambda index: f"scikit-learn says {expected[index]}, ONNX {said[index]}"


if TYPE_CHECKING:
    from collections.abc import Callable

    Problem = Callable[[int], str]
