"""P5: the whole table of counts, folded from its changelog, against what `performance` says.

Read by the layout that app/performance/rows.py documents, with none of its code:

    <pipeline>/<partition>/ledger                               [predictions, labels, E, seen, dropped, counts, totals]
    <pipeline>/<partition>/<version>/all/<window_s>/<start_s>   [predictions, labels, {place: counters}, ...]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

PANES_PER_ROW = 16
CLASS_BITS = 16
SUM_TOLERANCE = 1e-9
JUDGED = ("joined", "expired", "orphan", "duplicate", "conflicting", "too_late")
STATES = (*JUDGED, "duplicate_prediction", "pending_dropped")

Told = Mapping[bytes, dict[str, Any] | None]
"""The newest record of `performance` under each key; None is a tombstone."""


def folded(records: Iterable[tuple[bytes, bytes | None]]) -> dict[str, Any]:
    """The table after all (key, value) *records* of its changelog, values unpacked."""
    rows: dict[bytes, bytes] = {}
    for key, value in records:
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return {key.decode(): msgspec.msgpack.decode(value) for key, value in rows.items()}


def differences(rows: Mapping[str, Any], told: Told, pipeline: str, classes: Sequence[str]) -> list[str]:
    """In what the table and *told* differ; empty if they say the same of every partition, pane and version."""
    found: list[str] = []
    panes: dict[str, Any] = {}
    ledgers: dict[str, Any] = {}
    for key, row in rows.items():
        name, partition, *rest = key.split("/")
        if name != pipeline:
            found.append(f"the table has a row {key} of another pipeline")
        elif rest == ["ledger"]:
            ledgers[f"ledger/{partition}"] = row
        else:
            version, slice_, window_s, start_s = rest
            for place, counters in row[2].items():
                at = int(start_s) + int(place) * int(window_s)
                panes[f"{version}/{slice_}/{window_s}/{at}/{partition}"] = counters
    published = {key.decode(): record for key, record in told.items() if record is not None}
    found += _one_sided({*panes, *ledgers}, set(published))
    for key in sorted(panes.keys() & published.keys()):
        found += [f"{key}: {text}" for text in _unequal(panes[key], published[key], classes)]
    for key in sorted(ledgers.keys() & published.keys()):
        found += [f"{key}: {text}" for text in _unequal_ledgers(ledgers[key], published[key], classes)]
    return found


def _one_sided(table: set[str], published: set[str]) -> list[str]:
    return [f"{key}: in the table, but not in performance" for key in sorted(table - published)] + [
        f"{key}: in performance, but not in the table" for key in sorted(published - table)
    ]


def _unequal_ledgers(row: Sequence[Any], record: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    predictions, labels, event_time_s, seen, dropped, counts, totals = row
    ours = {state: counts.get(state, 0) for state in STATES}
    ours["pending"] = seen - dropped - sum(ours[state] for state in JUDGED)
    found = [
        f"the table has {count} {state}, performance {record.get(state, 0)}"
        for state, count in ours.items()
        if count != record.get(state, 0)
    ]
    if record["positions"] != {"predictions": predictions, "labels": labels}:
        found.append(f"the table is at {predictions}, {labels}, performance at {record['positions']}")
    if record.get("event_time_s") not in (event_time_s, None):
        found.append(f"E is {event_time_s} in the table, {record['event_time_s']} in performance")
    told = record.get("totals", {})
    by_version = {str(version): counters for version, counters in totals.items()}
    found += [f"totals: {text}" for text in _one_sided(set(by_version), set(told))]
    for version in by_version.keys() & told.keys():
        unequal = _unequal(by_version[version], told[version], classes)
        found += [f"totals of version {version}: {text}" for text in unequal]
    return found


def _unequal(counters: Sequence[Any], record: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    predicted, n, confusion, n_log_loss, log_loss_sum, abs_error_sum, sq_error_sum = counters
    cells: dict[str, dict[str, int]] = {}
    for cell, count in confusion.items():
        y_true, y_pred = classes[int(cell) >> CLASS_BITS], classes[int(cell) & (1 << CLASS_BITS) - 1]
        cells.setdefault(y_true, {})[y_pred] = count
    exact = {"predicted": predicted, "n": n, "confusion": cells, "n_log_loss": n_log_loss}
    found = [
        f"{name} is {value} in the table, {told} in performance"
        for name, value in exact.items()
        if value != (told := record.get(name, {} if name == "confusion" else 0))
    ]
    sums = {"log_loss_sum": log_loss_sum, "abs_error_sum": abs_error_sum, "sq_error_sum": sq_error_sum}
    found += [
        f"{name} is {value} in the table, {told} in performance"
        for name, value in sums.items()
        if abs(value - (told := record.get(name, 0.0))) > SUM_TOLERANCE * max(1.0, abs(value))
    ]
    return found
