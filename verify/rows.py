"""The newest record under each key of `performance`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from verify.read import Record
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


def newest_rows(records: Iterable[Record], check: Check) -> dict[str, Row]:
    """The record with the newest positions under each key."""
    rows: dict[str, Row] = {}
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
    return rows


def _row(key: str, record: Record) -> Row:
    if record.value is None:
        return Row(key, record.where, Positions(0, 0), None)
    content = json.loads(record.value)
    positions = Positions(content["positions"]["predictions"], content["positions"]["labels"])
    if not all(type(position) is int for position in positions):
        raise ValueError(f"positions {positions} are no offsets")
    return Row(key, record.where, positions, content)


def _older(row: Row, known: Row) -> bool:
    """Whether a record must be ignored: it has counted less than one already read."""
    fewer = row.positions.predictions <= known.positions.predictions and row.positions.labels <= known.positions.labels
    return fewer and row.positions != known.positions
