"""Rows that every model of a contract must be able to score: the first thing a loaded model is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.features import DecodedBatch, RowFormat

if TYPE_CHECKING:
    from app.features import Contract, Feature

TRIAL_ROWS = 3
"""More than one, so that rows and columns cannot be taken for each other."""


def trial_batch(contract: Contract) -> DecodedBatch:
    """TRIAL_ROWS equal records of the plainest good values: zero or the nearest in range, or the first category."""
    row_format = RowFormat(contract)
    numbers, texts = row_format.row([_plain_value(feature) for feature in contract.features])
    rows = row_format.rows([numbers] * TRIAL_ROWS, [texts] * TRIAL_ROWS)
    kept = list(range(TRIAL_ROWS))
    return DecodedBatch(
        contract, kept=kept, ids=["trial"] * TRIAL_ROWS, event_at_s=[0.0] * TRIAL_ROWS, rows=rows, rejected=[]
    )


def _plain_value(feature: Feature) -> Any:
    if feature.categories is not None:
        return feature.categories[0]
    if feature.dtype == "string":
        return ""
    if feature.dtype == "bool":
        return False
    number: float = 0 if feature.dtype == "int" else 0.0
    if feature.low is not None:
        number = max(number, feature.low)
    if feature.high is not None:
        number = min(number, feature.high)
    return [number] * feature.width if feature.dtype == "vector" else number
