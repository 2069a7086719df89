"""The public records of the `performance` topic: raw counters, and the rates from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from app.features import class_key
from app.performance.counters import Counters, classes_of_cell
from app.performance.rates import rates
from app.performance.rows import JUDGED_STATES, SLICE

if TYPE_CHECKING:
    from app.features import Contract
    from app.performance.rows import LedgerRow
    from app.performance.tallies import Changes, Pane, PaneKey
    from app.records import Positions

LABEL_STATES = ("pending", *JUDGED_STATES)
OTHER_COUNTS = ("duplicate_prediction", "pending_dropped")


def performance_records(changes: Changes, contract: Contract, partition: int) -> list[tuple[bytes, bytes | None]]:
    """(key, value) of each record to be published; None is a tombstone."""
    records: list[tuple[bytes, bytes | None]] = [
        (pane_record_key(key, partition), _pane(key, pane, contract, partition)) for key, pane in changes.panes.items()
    ]
    records += [(pane_record_key(key, partition), None) for key in changes.gone]
    records.append((b"ledger/%d" % partition, _ledger(changes.ledger, contract, partition)))
    return records


def pane_record_key(key: PaneKey, partition: int) -> bytes:
    """The key under which a pane is published."""
    return f"{key.version}/{SLICE}/{key.window_s}/{key.start_s}/{partition}".encode()


def counters_json(counters: Counters, contract: Contract) -> dict[str, Any]:
    """The raw counters as JSON has them; those of the other kind of task are left out."""
    found: dict[str, Any] = {"predicted": counters.predicted, "n": counters.n}
    if contract.task == "regression":
        return found | {"abs_error_sum": counters.abs_error_sum, "sq_error_sum": counters.sq_error_sum}
    names = [class_key(value) for value in contract.classes]
    confusion: dict[str, dict[str, int]] = {}
    for cell, count in sorted(counters.confusion.items()):
        y_true, y_pred = classes_of_cell(cell)
        confusion.setdefault(names[y_true], {})[names[y_pred]] = count
    return found | {
        "confusion": confusion,
        "n_log_loss": counters.n_log_loss,
        "log_loss_sum": counters.log_loss_sum,
    }


def counters_of_json(record: dict[str, Any], contract: Contract) -> Counters:
    """The counters in a published record; KeyError, TypeError or ValueError if it holds none."""
    places = {class_key(value): place for place, value in enumerate(contract.classes)}
    confusion = {
        places[y_true] << 16 | places[y_pred]: int(count)
        for y_true, row in record.get("confusion", {}).items()
        for y_pred, count in row.items()
    }
    return Counters(
        int(record["predicted"]),
        int(record["n"]),
        confusion,
        int(record.get("n_log_loss", 0)),
        float(record.get("log_loss_sum", 0.0)),
        float(record.get("abs_error_sum", 0.0)),
        float(record.get("sq_error_sum", 0.0)),
    )


def _pane(key: PaneKey, pane: Pane, contract: Contract, partition: int) -> bytes:
    return msgspec.json.encode(
        {
            "version": key.version,
            "slice": SLICE,
            "window_s": key.window_s,
            "start_s": key.start_s,
            "end_s": key.start_s + key.window_s,
            "partition": partition,
            "positions": _positions(pane.positions),
        }
        | counters_json(pane.counters, contract)
        | rates(pane.counters, contract)
    )


def _ledger(row: LedgerRow, contract: Contract, partition: int) -> bytes:
    record: dict[str, Any] = {
        "partition": partition,
        "positions": {"predictions": row.predictions, "labels": row.labels},
        "pending": row.pending,
    }
    record |= {name: row.counts.get(name, 0) for name in (*JUDGED_STATES, *OTHER_COUNTS)}
    if math.isfinite(row.event_time_s):
        record["event_time_s"] = row.event_time_s
    record["totals"] = {str(version): counters_json(each, contract) for version, each in sorted(row.totals.items())}
    return msgspec.json.encode(record)


def _positions(positions: Positions) -> dict[str, int]:
    return {"predictions": positions.predictions, "labels": positions.labels}
