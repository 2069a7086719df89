"""The steps of a training: judge the candidates, train the best on all rows, make ONNX of it, compare the two."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.errors import ConfigurationError, RejectedRelease, UnfitModel
from app.features import BatchDecoder
from app.scoring import Scorer
from app.tables import records_of
from app.training.candidates import candidates
from app.training.cross_validation import compare
from app.training.dataset import class_counts, n_repeated
from app.training.export import to_model
from app.training.fitting import Study, fit
from app.training.importance import importances
from app.training.metrics import NAMES
from app.training.parity import TOLERANCE, Parity
from app.training.plots import plots_of
from app.training.report import Report, Source, shown
from app.training.split import split_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.tables import TableBatch
    from app.training.cross_validation import Comparison
    from app.training.dataset import Counts, Dataset
    from app.training.fitting import Define, Fitted
    from app.training.layout import Layout
    from app.training.split import Split

    Progress = Callable[[float], None]

PACKAGES = ("faust-onnx", "numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime")
"""Whose versions a model depends on."""


class Training:
    """A data set and the candidates for it; each step needs those before it."""

    def __init__(self, layout: Layout, dataset: Dataset, counts: Counts, define: Define | None, *, seed: int) -> None:
        """define: of the pipeline's own definition; None for the built-in candidates."""
        self.study = Study(define or candidates, layout, dataset, seed)
        self.contract, self.counts = layout.contract, counts
        self.own_definition = define is not None
        self.split: Split = split_of(dataset, layout.contract, seed=seed)

    def judge(self, progress: Progress = lambda _share: None) -> Comparison:
        """The candidates on held-out rows, beside the baseline."""
        return compare(self.study, self._names(), self.split.folds, progress=progress)

    def finish(self, comparison: Comparison) -> Finished:
        """The best candidate, trained on all rows, and its ONNX file; UnfitModel if the Scorer cannot use it."""
        fitted = fit(self.study, comparison.best.name, slice(None))
        model = to_model(fitted, self.study.layout)
        sha256 = hashlib.sha256(model).hexdigest()
        try:
            scorer = Scorer.load(model, self.contract, version=0, sha256=sha256)
        except RejectedRelease as error:
            raise UnfitModel(f"a worker would refuse the model of {comparison.best.name}: {error}") from error
        return Finished(fitted, model, scorer)

    def compare_onnx(
        self, finished: Finished, batches: Iterable[TableBatch], *, is_text: bool, progress: Progress
    ) -> Parity:
        """Each good row of the table, labelled or not, scored by both; UnfitModel if they differ."""
        contract, y = self.contract, self.study.dataset.y
        unit = float(np.std(y)) if contract.task == "regression" else 1.0
        parity = Parity(finished.fitted, self.study.layout, finished.scorer, unit=unit)
        decoder = BatchDecoder(contract)
        for batch in batches:
            parity.add(decoder.decode(records_of(contract, batch, is_text=is_text)), batch.first_row)
            progress(batch.share_read)
        if parity.n_offenders:
            rows = "".join(f"\n  row {each.row:,} ({each.id}): {each.problem}" for each in parity.offenders)
            more = f"\n  and {parity.n_offenders - len(parity.offenders):,} more" * (
                parity.n_offenders > len(parity.offenders)
            )
            raise UnfitModel(
                f"ONNX does not say what scikit-learn says: {parity.n_offenders:,} of {parity.n_rows:,} rows differ by "
                f"more than {TOLERANCE:g}; nothing was written. Numbers of very different size in one sum, or a step "
                f"before trees that rounds, are the usual causes (docs/training.md){rows}{more}"
            )
        return parity

    def report(
        self, comparison: Comparison, finished: Finished, parity: Parity, source: Source,
        progress: Progress = lambda _share: None,
    ) -> Report:  # fmt: skip
        """All that is told of the model."""
        repeated = n_repeated(self.study.dataset.matrix)
        return Report(
            contract=self.contract,
            source=source,
            counts=self.counts,
            n_trained=len(self.study.dataset.y),
            class_rows=class_counts(self.study.dataset, self.contract),
            n_repeated=repeated,
            split=self.split,
            comparison=comparison,
            importances=importances(self.study, comparison, progress=progress),
            parity=parity,
            model_sha256=finished.scorer.sha256,
            model_bytes=len(finished.model),
            versions={"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            seed=self.study.seed,
            own_definition=self.own_definition,
            notes=self._notes(comparison, finished.fitted, repeated),
        )

    def plots(self, report: Report) -> dict[str, str]:
        """SVG by name, of all held-out rows."""
        folds, numbers = report.comparison.folds, report.comparison.best.numbers
        y = np.concatenate([self.study.dataset.y[fold.test] for fold in folds])
        loss = NAMES[report.loss]
        return plots_of(self.contract, y, np.concatenate(numbers), report.importances, loss)

    def _names(self) -> list[str]:
        found = self.study.candidates(self.study.vocabularies(slice(None)))
        if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found):
            raise ConfigurationError(
                "candidates of definition.py must give a dict of unfitted estimators by name, for example "
                '{"logistic regression": LogisticRegression()}'
            )
        answer = "predict" if self.contract.task == "regression" else "predict_proba"
        for name, estimator in found.items():
            if not hasattr(estimator, "fit") or not hasattr(estimator, answer):
                raise ConfigurationError(f"the candidate {name} of definition.py has no {answer}: {estimator!r:.100}")
        return list(found)

    def _notes(self, comparison: Comparison, fitted: Fitted, repeated: int) -> tuple[str, ...]:
        n_rows, contract, counts = len(self.study.dataset.y), self.contract, self.counts
        notes = list(self.split.notes)
        if not comparison.is_better:
            notes.append(
                f"it is not better than the {comparison.baseline.name} by more than chance, and was written by --force"
            )
        if n_rows < counts.n_usable:
            notes.append(
                f"it was trained on {n_rows:,} of {counts.n_usable:,} usable rows, drawn at random (--max-rows)"
            )
        if repeated:
            notes.append(
                f"{repeated:,} of {n_rows:,} rows equal an earlier one in every feature; where these are copies of one "
                "event, rows that were held out were in fact known"
            )
        if contract.event_time_path is None:
            notes.append("rows have no time, so nothing tells how the model ages (event_time_field in the contract)")
        elif self.split.is_by_time:
            notes.append("folds by time take labels as known at once, while on the stream they come later than events")
        for at, vocabulary, met in zip(
            self._category_features(), fitted.vocabularies, self.study.dataset.values, strict=True
        ):
            if len(vocabulary.values) < len(met) or contract.features[at].categories is None:
                known, name = f"{len(vocabulary.values):,} of {len(met):,}", contract.features[at].name
                notes.append(f"of {name} it knows {known} different values; all others are one and the same to it")
        notes += [f"scikit-learn says: {remark}" for remark in fitted.remarks]
        return tuple(notes)

    def _category_features(self) -> list[int]:
        starts = {span.start: at for at, span in enumerate(self.study.layout.spans)}
        return [starts[column] for column in self.study.layout.categories]


class Finished(NamedTuple):
    """A model trained on all rows."""

    fitted: Fitted
    model: bytes
    """The ONNX file."""
    scorer: Scorer
    """It as a worker would have it."""


def not_better(comparison: Comparison, loss: str) -> UnfitModel:
    """The refusal of a model that is no better than the baseline."""
    best, baseline = comparison.best, comparison.baseline
    return UnfitModel(
        f"the best candidate, {best.name}, is not better than the {baseline.name} by more than chance: its "
        f"{NAMES[loss]} is {shown(best, loss)} against {shown(baseline, loss)}, a gain of {comparison.gain:.2g} with "
        f"a standard error of {comparison.gain_error:.2g} over folds; nothing was written. Do the features tell "
        "anything of the label, and does each label belong to its row? More rows may help; --force writes the model "
        "anyway"
    )
