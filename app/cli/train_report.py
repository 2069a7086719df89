"""What `faust-onnx model train` says when it has written a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from app.cli.output import print_json, print_table, printable, say
from app.cli.releasing import as_builtins, say_released
from app.training.metrics import NAMES
from app.training.report import as_json as report_as_json
from app.training.report import shown

if TYPE_CHECKING:
    from pathlib import Path

    from app.registry import Published
    from app.training.report import Report


def print_report(report: Report, target: Path, card: Path, released: Published | None, *, as_json: bool) -> None:
    """How good the model is, for people or as JSON."""
    if as_json:
        published: dict[str, Any] = {} if released is None else {"published": as_builtins(released)}
        print_json({**report_as_json(report), "written": {"model": str(target), "card": str(card)}, **published})
        return
    names = ["", *(each.name for each in report.judged)]
    names[1] += " (chosen)"
    print_table(names, ([dict(zip(names, row, strict=True)) for row in _rows(report)]))
    counts = report.counts
    typer.echo()
    say(f"{report.split.how}; mean ± standard deviation over folds, on rows not trained on")
    say(f"{counts.n_rows:,} rows read, {report.n_trained:,} trained on" + _left_out(report))
    if counts.first_refused is not None:
        say(f"the first that is refused: {printable(counts.first_refused)}")
    for note in report.notes:
        say(f"note: {printable(note)}")
    parity = report.parity
    differ = f"they differ by {parity.max_difference:.1g} at most"
    say(f"scikit-learn and ONNX agree on all {parity.n_rows:,} good rows; {differ}")
    say(f"wrote {target} ({report.model_bytes:,} bytes) and {card}\n")
    if released is not None:
        say_released(released)
        say(f"next: faust-onnx worker --pipelines {report.contract.name}")
    else:
        say(
            f"next: look at {card}. Then\n"
            f"  faust-onnx model publish {target} --pipeline {report.contract.name} --activate\n"
            f"  faust-onnx worker --pipelines {report.contract.name}"
        )


def _rows(report: Report) -> list[list[str]]:
    return [[NAMES[metric], *(shown(each, metric) for each in report.judged)] for metric in report.metrics]


def _left_out(report: Report) -> str:
    counts = report.counts
    parts = [f"{n_rows:,} refused ({reason})" for reason, n_rows in counts.refused.most_common()]
    parts += [f"{counts.n_unlabelled:,} without a label"] * bool(counts.n_unlabelled)
    parts += [f"{counts.n_usable - report.n_trained:,} not drawn"] * (report.n_trained < counts.n_usable)
    return f"; {', '.join(parts)}" if parts else ""
