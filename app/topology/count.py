"""Counters for Prometheus, from the difference between two states of a partition's ledger row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.features import class_key
from app.metrics import LABEL_STATES
from app.performance import Counters, classes_of_cell

if TYPE_CHECKING:
    from app.features import Contract
    from app.metrics import Metrics
    from app.performance import LedgerRow


def count_outcomes(metrics: Metrics, contract: Contract, before: LedgerRow, after: LedgerRow) -> None:
    """Add to *metrics* what was counted between *before* and *after*; what is read again is not counted again."""
    grown = {name: n - before.counts.get(name, 0) for name, n in after.counts.items()}
    metrics.labels(contract.name, {name: n for name in LABEL_STATES if (n := grown.get(name, 0))})
    metrics.ledger_anomalies(
        contract.name,
        duplicate_predictions=grown.get("duplicate_prediction", 0),
        pending_dropped=grown.get("pending_dropped", 0),
    )
    for version, total in after.totals.items():
        known = before.totals.get(version, Counters())
        if total.n == known.n:
            continue
        if contract.task == "regression":
            metrics.errors(
                contract.name,
                version,
                n=total.n - known.n,
                absolute=total.abs_error_sum - known.abs_error_sum,
                squared=total.sq_error_sum - known.sq_error_sum,
            )
            continue
        metrics.outcomes(contract.name, version, _confusion(contract, known, total))
        metrics.log_loss(
            contract.name,
            version,
            n=total.n_log_loss - known.n_log_loss,
            total=total.log_loss_sum - known.log_loss_sum,
        )


def _confusion(contract: Contract, known: Counters, total: Counters) -> dict[str, dict[str, int]]:
    grown: dict[str, dict[str, int]] = {}
    names = [class_key(value) for value in contract.classes]
    for cell, n in total.confusion.items():
        if more := n - known.confusion.get(cell, 0):
            y_true, y_pred = classes_of_cell(cell)
            grown.setdefault(names[y_true], {})[names[y_pred]] = more
    return grown
