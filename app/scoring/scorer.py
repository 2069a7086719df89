"""A release that can serve: its onnxruntime session bound to the contract, checked at loading, unchanged afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.errors import Refusal, RejectedRelease
from app.scoring.inputs import bind_inputs
from app.scoring.outputs import Output, bind_outputs
from app.scoring.session import Session, SessionError
from app.scoring.trial import TRIAL_ROWS, trial_batch

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features import Contract, DecodedBatch
    from app.records import ClassValue
    from app.scoring.inputs import ToFeeds


PLACES = 15
"""Decimal places of published probabilities: as many as a float tells apart near 1, and as log loss needs near 0."""
ROUNDING = 1e-5
"""How far float32 arithmetic may carry a probability out of [0, 1]; it is published as 0 or 1 then."""


def published(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """*probabilities*, of any shape, as they are published: in [0, 1], rounded to so many places; NaN stays.

    >>> published(np.float32([0.1, 1.000001])).tolist()
    [0.100000001490116, 1.0]
    """
    parts: npt.NDArray[np.float64] = np.rint(np.clip(probabilities.astype(np.float64), 0, 1) * 10**PLACES)
    return parts / np.float64(10**PLACES)


class Scores(NamedTuple):
    """What the model says of each kept record of a batch, in its order; rows in `failed` mean nothing elsewhere."""

    predictions: list[ClassValue]
    """The class, or the number of a regression."""
    score: list[float] | None
    """Binary: P(positive)."""
    scores: list[list[float]] | None
    """Multiclass: one per class in contract order."""
    failed: dict[int, str]
    """Index into the kept records -> why it could not be scored."""
    numbers: npt.NDArray[np.float64] | None = None
    """The published probabilities, shape (n,) or (n, n_classes); None for regression."""
    indices: npt.NDArray[np.intp] | None = None
    """The predicted classes as positions in the contract's, shape (n,); None for regression."""


class Scorer:
    """Scores decoded batches with one version of a model."""

    def __init__(  # noqa: PLR0913 - built in `load` only
        self, session: Session, to_feeds: ToFeeds, output: Output, contract: Contract, *, version: int, sha256: str
    ) -> None:
        """Use `Scorer.load`."""
        self.version = version
        self.sha256 = sha256
        self.contract = contract
        self._session = session
        self._to_feeds = to_feeds
        self._output = output

    @classmethod
    def load(cls, model: bytes, contract: Contract, *, version: int, sha256: str) -> Scorer:
        """The scorer of the ONNX file *model* with digest *sha256*.

        RejectedRelease says NOT_ONNX, WRONG_INPUTS (the contract does not give what the model takes, or the model
        fails on plain good rows) or WRONG_OUTPUTS.
        """
        session = Session(model)
        to_feeds = bind_inputs(session.inputs, contract)
        try:
            output = bind_outputs(session, model, contract, to_feeds(trial_batch(contract)), TRIAL_ROWS)
        except SessionError as error:
            raise RejectedRelease(Refusal.WRONG_INPUTS, f"it fails on plain good rows: {error}") from error
        return cls(session, to_feeds, output, contract, version=version, sha256=sha256)

    def score(self, decoded: DecodedBatch) -> Scores:
        """The answers for the kept records of *decoded*; a record on which the model fails does not fail the others.

        MemoryError, if there is none even for one record: that is this machine's fault, and no record's.
        """
        failed: dict[int, str] = {}
        if not decoded.kept:
            return self._scores(self._nothing(0), failed)
        try:
            numbers = self._run(decoded)
        except (SessionError, MemoryError):
            numbers = self._one_by_one(decoded, failed)
        for problem, good in self._judged(numbers):
            if not good.all():
                rows = good if good.ndim == 1 else good.all(axis=1)
                for index in np.flatnonzero(~rows).tolist():
                    failed.setdefault(index, problem)
        return self._scores(numbers, failed)

    def _judged(self, numbers: npt.NDArray[np.floating]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
        """What may be wrong with the model's answers, and where it is not."""
        checks = [("the model gives NaN or infinity", np.isfinite(numbers))]
        if self.contract.task != "regression":
            good = (numbers >= -ROUNDING) & (numbers <= 1 + ROUNDING)
            checks.append(("the model gives a number outside 0 to 1, which is no probability", good))
        return checks

    def _run(self, decoded: DecodedBatch) -> npt.NDArray[np.floating]:
        [value] = self._session.run([self._output.name], self._to_feeds(decoded))
        numbers = self._output.to_numbers(value)
        if len(numbers) != len(decoded):
            raise SessionError(f"the model gives {len(numbers)} rows for {len(decoded)}")
        return numbers

    def _one_by_one(self, decoded: DecodedBatch, failed: dict[int, str]) -> npt.NDArray[np.floating]:
        """The rows scored alone after the batch failed; those that fail again are noted in *failed*."""
        rows = []
        for index in range(len(decoded)):
            try:
                rows.append(self._run(decoded.select([index])))
            except SessionError as error:
                failed[index] = str(error)
                rows.append(self._nothing(1))
        return np.concatenate(rows)

    def _nothing(self, n_rows: int) -> npt.NDArray[np.floating]:
        shape = (n_rows, len(self.contract.classes)) if self.contract.task == "multiclass" else (n_rows,)
        return np.full(shape, np.nan, np.float32)

    def _scores(self, numbers: npt.NDArray[np.floating], failed: dict[int, str]) -> Scores:
        contract = self.contract
        if contract.task == "regression":
            return Scores(numbers.tolist(), None, None, failed)
        shown = published(numbers)
        if contract.task == "multiclass":
            indices = shown.argmax(axis=1) if len(shown) else np.empty(0, np.intp)
        else:
            positive = contract.positive_index or 0
            indices = np.where(shown >= contract.threshold, positive, 1 - positive)
        predictions = [contract.classes[index] for index in indices.tolist()]
        score, scores = (None, shown.tolist()) if contract.task == "multiclass" else (shown.tolist(), None)
        return Scores(predictions, score, scores, failed, shown, indices)
