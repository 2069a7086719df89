"""The model card: what the model is for, from which data, how good it is beside a baseline, and where its limits are.

After M. Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, https://arxiv.org/abs/1810.03993
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.features import class_key
from app.training.metrics import NAMES
from app.training.parity import TOLERANCE
from app.training.report import shown
from app.training.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.training.report import Report

MARK = "<!-- written by `faust-onnx model train`, which replaces it -->"
_IMPORTANCES_MAX = 30
_PICTURES = {
    "curves": "The ROC curve, and precision over recall, of held-out rows",
    "calibration": "The share of positives against the score, of held-out rows",
    "confusion": "The classes of held-out rows, and what was said of them",
    "predicted": "The answers to held-out rows against their labels",
    "importance": "How much the loss grows when a feature is shuffled",
}


def card_text(report: Report, plots: Iterable[str], *, model: str, folder: str) -> str:
    """The card in Markdown; *plots* are in *folder*, as `<name>.svg`, and the model's file is called *model*."""
    parts = [
        [f"# Model card: {report.contract.name}, {model}", "", MARK],
        _what(report),
        _data(report),
        _worth(report),
        [f"![{_PICTURES[name]}]({folder}/{name}.svg)\n" for name in plots],
        _importance(report),
        _made(report, model),
        _limits(report),
    ]
    return "\n".join("\n".join(part).strip() + "\n" for part in map(list, parts))


def _what(report: Report) -> Iterator[str]:
    contract, best = report.contract, report.comparison.best
    features = ", ".join(f"`{_code(feature.name)}`" for feature in contract.features[:50])
    more = f" and {len(contract.features) - 50} more" if len(contract.features) > 50 else ""  # noqa: PLR2004  # as cut
    yield "## What it does\n"
    if contract.task == "regression":
        yield f"Says the number `{_code(contract.label_field or '')}` of an event, by {best.name}."
    else:
        classes = ", ".join(f"`{_code(class_key(value))}`" for value in contract.classes)
        yield f"Says which of {classes} an event is (`{_code(contract.label_field or '')}`), by {best.name}."
    if contract.positive is not None:
        yield f"Positive is `{_code(class_key(contract.positive))}`, from a score of {contract.threshold:g} on."
    yield f"It looks at {features}{more}."


def _data(report: Report) -> Iterator[str]:
    counts, source = report.counts, report.source
    yield "## Data\n"
    yield f"`{_code(source.name)}`, {source.size:,} bytes, sha256 `{source.sha256}`.\n"
    yield "| rows | |"
    yield "| --- | ---: |"
    yield f"| read | {counts.n_rows:,} |"
    for reason, n_rows in sorted(counts.refused.items()):
        yield f"| refused by the contract, `{reason}` | {n_rows:,} |"
    yield f"| without a label | {counts.n_unlabelled:,} |"
    yield f"| trained on | {report.n_trained:,} |"
    for value, n_rows in zip(report.contract.classes, report.class_rows, strict=True):
        yield f"| of them `{_code(class_key(value))}` | {n_rows:,} |"
    if counts.first_at_s is not None and counts.last_at_s is not None:
        yield f"\nTheir times are from {_time(counts.first_at_s)} to {_time(counts.last_at_s)}."


def _worth(report: Report) -> Iterator[str]:
    comparison = report.comparison
    yield "## What it is worth\n"
    yield f"Judged on {report.split.how}: mean over folds ± standard deviation, on rows that were not trained on.\n"
    judged = report.judged
    yield f"| | {' | '.join(_cell(each.name) for each in judged)} |"
    yield f"| --- |{' --- |' * len(judged)}"
    for metric in report.metrics:
        yield f"| {NAMES[metric]} | {' | '.join(shown(each, metric) for each in judged)} |"
    verdict = (
        "is better than the baseline"
        if comparison.is_better
        else "is **not** better than the baseline by more than chance"
    )
    yield (
        f"\nThe first is this model. It was chosen by its {NAMES[report.loss]}, and {verdict}: that is lower by "
        f"{comparison.gain:.3g}, with a standard error of {comparison.gain_error:.2g} over folds. The model itself was "
        "then trained on all rows."
    )


def _importance(report: Report) -> Iterator[str]:
    yield f"How much the {NAMES[report.loss]} of held-out rows grows when a feature is shuffled:\n"
    yield "| feature | growth | ± |"
    yield "| --- | ---: | ---: |"
    for each in report.importances[:_IMPORTANCES_MAX]:
        yield f"| `{_code(each.name)}` | {each.increase:.3g} | {each.spread:.2g} |"


def _made(report: Report, model: str) -> Iterator[str]:
    parity, contract = report.parity, report.contract
    yield "## How it was made\n"
    yield f"`{model}`, {report.model_bytes:,} bytes, sha256 `{report.model_sha256}`.\n"
    yield f"- contract: sha256 `{contract.sha256}`; of what the model depends on `{contract.model_sha256}`"
    if report.own_definition:
        yield "- candidates: those of `definition.py`"
    yield f"- seed {report.seed}; the same file, seed and versions give the same bytes"
    yield f"- {', '.join(f'{name} {version}' for name, version in report.versions.items())}"
    unit = " (in units of the label's standard deviation, or of the answer)" if contract.task == "regression" else ""
    yield (
        f"- scikit-learn and ONNX agree on all {parity.n_rows:,} good rows of the file, training rows included: the "
        f"largest difference is {parity.max_difference:.2g}{unit}, allowed is {TOLERANCE:g}"
    )


def _limits(report: Report) -> Iterator[str]:
    yield "## Limits\n"
    for note in report.notes:
        yield f"- {_cell(note)}"
    yield (
        "- What is said here holds for rows like those of the file. How the model does on the stream is told by "
        "`/api/performance`, once labels come."
    )


def _time(at_s: float) -> str:
    try:
        return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return str(at_s)


def _code(text: str) -> str:
    r"""*text* as it may stand between backticks, in a table too.

    >>> _code("a|b`c\nd")
    "a\\|b'c d"
    """
    return re.sub(r"\s+", " ", visible(text)).replace("`", "'").replace("|", "\\|")


def _cell(text: str) -> str:
    """*text* as prose may hold it: strangers' names in it make neither tables nor tags."""
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", re.sub(r"\s+", " ", visible(text)))
