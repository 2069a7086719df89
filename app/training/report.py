"""What a training came to, as values: for the card, for the screen and for programs alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.features import class_key
from app.training.metrics import LOSS, NAMES
from app.training.parity import TOLERANCE

if TYPE_CHECKING:
    from app.features import Contract
    from app.training.cross_validation import Comparison, Judged
    from app.training.dataset import Counts
    from app.training.importance import Importance
    from app.training.parity import Parity
    from app.training.split import Split


class Source(NamedTuple):
    """The file that the rows came from."""

    name: str
    """Without its folder."""
    sha256: str
    size: int


class Report(NamedTuple):
    """All that is told of a model."""

    contract: Contract
    source: Source
    counts: Counts
    n_trained: int
    """Rows that the model was trained on; fewer than are usable where these were sampled."""
    class_rows: list[int]
    """How many of these have each class."""
    n_repeated: int
    """How many of these equal an earlier one in every feature."""
    split: Split
    comparison: Comparison
    importances: list[Importance]
    parity: Parity
    model_sha256: str
    model_bytes: int
    versions: dict[str, str]
    seed: int
    own_definition: bool
    """Whether the candidates are those of the pipeline's definition.py."""
    notes: tuple[str, ...]
    """What a person should know."""

    @property
    def loss(self) -> str:
        """The metric by which candidates were compared."""
        return LOSS[self.contract.task]

    @property
    def metrics(self) -> list[str]:
        """Those of the task, in the order in which they are shown."""
        judged = (self.comparison.best, self.comparison.baseline)
        return [name for name in NAMES if any(each.mean(name) is not None for each in judged)]

    @property
    def judged(self) -> tuple[Judged, ...]:
        """The best, the other candidates, the baseline."""
        best = self.comparison.best
        others = tuple(each for each in self.comparison.candidates if each is not best)
        return (best, *others, self.comparison.baseline)


def as_json(report: Report) -> dict[str, Any]:
    """*report* for programs; what is not there is left out."""
    counts, parity, comparison = report.counts, report.parity, report.comparison
    times = {} if counts.first_at_s is None else {"first_at": counts.first_at_s, "last_at": counts.last_at_s}
    classes = [class_key(value) for value in report.contract.classes]
    return {
        "pipeline": report.contract.name,
        "task": report.contract.task,
        "file": report.source._asdict(),
        "rows": {
            "read": counts.n_rows,
            "refused": dict(counts.refused),
            "unlabelled": counts.n_unlabelled,
            "usable": counts.n_usable,
            "trained": report.n_trained,
            "repeated": report.n_repeated,
            **({"classes": dict(zip(classes, report.class_rows, strict=True))} if classes else {}),
            **times,
        },
        "folds": [{"train": len(fold.train), "test": len(fold.test)} for fold in report.split.folds],
        "split": report.split.how,
        "chosen": comparison.best.name,
        "loss": report.loss,
        "gain": comparison.gain,
        "gain_error": comparison.gain_error,
        "candidates": {each.name: _metrics(report, each) for each in comparison.candidates},
        "baseline": {"name": comparison.baseline.name, **_metrics(report, comparison.baseline)},
        "importance": {each.name: {"increase": each.increase, "spread": each.spread} for each in report.importances},
        "parity": {
            "rows": parity.n_rows,
            "max_difference": parity.max_difference,
            "tolerance": TOLERANCE,
            "other_class": parity.n_other_class,
        },
        "model": {"sha256": report.model_sha256, "size": report.model_bytes},
        "contract": {"sha256": report.contract.sha256, "model_sha256": report.contract.model_sha256},
        "versions": report.versions,
        "seed": report.seed,
        "notes": list(report.notes),
    }


_NOISE = 1e-9
"""A smaller spread, as a share of the mean, is the rounding of float64."""


def shown(judged: Judged, metric: str) -> str:
    """A metric's mean over folds and its spread, for people; empty if no fold has it."""
    mean, spread = judged.mean(metric), judged.spread(metric)
    if mean is None:
        return ""
    if spread is None:
        return f"{mean:.4g}"
    return f"{mean:.4g} ± {0.0 if spread < _NOISE * abs(mean) else spread:.2g}"


def _metrics(report: Report, judged: Judged) -> dict[str, Any]:
    return {
        name: {"mean": judged.mean(name), "spread": judged.spread(name), "folds": judged.values(name)}
        for name in report.metrics
        if judged.mean(name) is not None
    }
