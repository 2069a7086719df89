"""The newest record under each key of `performance`, and how the counting of each partition went on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from verify.ledger import STATES
from verify.read import Record
from verify.reading import Waypoint
from verify.report import Check


class Positions(NamedTuple):
    """The next offsets of the predictions and the labels that a record has counted."""

    predictions: int
    labels: int


class Row(NamedTuple):
    """The newest record under a key; `content` is None for a tombstone."""

    key: str
    where: str
    positions: Positions
    content: dict[str, Any] | None


@dataclass
class Rows:
    """What `performance` tells."""

    newest: dict[str, Row] = field(default_factory=dict)
    """By key, the record with the newest positions."""
    waypoints: dict[str, list[Waypoint]] = field(default_factory=lambda: defaultdict(list))
    """By key `ledger/<partition>`, those of all records that count, in order."""


def read_rows(records: Iterable[Record], check: Check) -> Rows:
    """The rows in *records*; those with positions lower than known ones are ignored."""
    found = Rows()
    rows = found.newest
    for record in records:
        key = (record.key or b"").decode("utf-8", "replace")
        try:
            row = _row(key, record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            check.violation("malformed", record.where, f"{key}: {error!r}")
            continue
        known = rows.get(key)
        if known is None or known.content is None or row.content is None or not _older(row, known):
            rows[key] = row
            if row.content is not None and key.startswith("ledger/"):
                found.waypoints[key].append(Waypoint(*row.positions, row.content.get("too_late", 0)))
    return found


def _row(key: str, record: Record) -> Row:
    if record.value is None:
        return Row(key, record.where, Positions(0, 0), None)
    content = json.loads(record.value)
    positions = Positions(content["positions"]["predictions"], content["positions"]["labels"])
    if not all(type(position) is int for position in positions):
        raise ValueError(f"positions {positions} are no offsets")
    if key.startswith("ledger/"):
        _check_ledger_form(content)
    return Row(key, record.where, positions, content)


def _check_ledger_form(content: dict[str, Any]) -> None:
    """ValueError if a ledger record is not made of counts, a time and totals."""
    for name in (*STATES, "duplicate_prediction", "pending_dropped"):
        if type(content.get(name, 0)) is not int or content.get(name, 0) < 0:
            raise ValueError(f"{name} is {content[name]!r}, no count")
    if type(content.get("event_time_s", 0)) not in (int, float):
        raise ValueError(f"event_time_s is {content['event_time_s']!r}, no time")
    totals = content.get("totals", {})
    if not isinstance(totals, dict) or not all(isinstance(of_version, dict) for of_version in totals.values()):
        raise ValueError("totals are no counters by version")


def _older(row: Row, known: Row) -> bool:
    """Whether a record must be ignored: of one topic it has counted less than a record already read."""
    return row.positions.predictions < known.positions.predictions or row.positions.labels < known.positions.labels
