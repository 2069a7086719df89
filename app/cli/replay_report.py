"""What `faust-onnx replay` says when it is over, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.output import print_table, say
from app.replay.advice import remarks
from app.replay.outcome import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.features import Contract
    from app.replay import Outcome

_RATES = ("coverage", "accuracy", "precision", "recall", "f1", "log_loss", "mae", "rmse")


def print_outcome(outcome: Outcome, contract: Contract) -> None:
    """The table of versions on standard output, all else on standard error."""
    if outcome.was_followed and outcome.versions:
        rows = [_row(str(version), shown(each, contract)) for version, each in outcome.versions.items()]
        if len(rows) > 1:
            rows.append(_row("all", shown(outcome.total, contract)))
        known = [name for name in _RATES if any(name in row for row in rows)]
        print_table(["version", "predicted", "joined", *known], rows)
    for line in (*summary(outcome), *(remarks(outcome, contract) if outcome.was_followed else ())):
        say(line)


def summary(outcome: Outcome) -> Iterator[str]:
    """Sentences on what was sent and what became of it."""
    yield (
        f"{'stopped: ' if outcome.was_stopped else ''}{outcome.events:,} of {outcome.rows:,} rows sent as events, "
        f"{outcome.labels:,} labels; {outcome.seconds:.1f} s, {outcome.rows_per_s:,.0f} rows/s"
    )
    if outcome.too_large:
        yield f"{outcome.too_large:,} rows are larger than what Kafka takes: nothing was sent of them"
    if outcome.without_label:
        yield f"{outcome.without_label:,} rows have no label, or no id that one could name"
    if outcome.labels_waiting:
        yield f"{outcome.labels_waiting:,} labels were not due yet and were not sent"
    if not outcome.was_followed:
        yield "the workers are too far behind for their outcomes to be followed: --until-joined waits for them"
        return
    dead = sum(outcome.dead_events.values())
    left = f", {outcome.open_events:,} without an outcome yet" if outcome.open_events else ""
    yield f"{outcome.predicted:,} predictions, {dead:,} dead letters{left}"
    for what, reasons in (("events", outcome.dead_events), ("labels", outcome.dead_labels)):
        if reasons:
            yield f"dead {what}: {_counts(reasons)}"
    if any(outcome.states.values()):
        yield f"labels, as the workers count: {_counts({state: n for state, n in outcome.states.items() if n})}"


def _row(version: str, counts: Mapping[str, Any]) -> dict[str, Any]:
    rates = {name: f"{counts[name]:.4f}" for name in _RATES if name in counts}
    return {"version": version, "predicted": f"{counts['predicted']:,}", "joined": f"{counts['n']:,}"} | rates


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items()))
