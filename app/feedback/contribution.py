"""What a record changed in the ledger: the only thing that a tally ever adds up."""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What happened; all but `PREDICTED`, `DUPLICATE_PREDICTION` and `PENDING_DROPPED` are states of a label."""

    PREDICTED = "predicted"
    """The first prediction of an id."""
    PENDING = "pending"
    """A label waits for its prediction."""
    JOINED = "joined"
    EXPIRED = "expired"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    CONFLICTING = "conflicting"
    TOO_LATE = "too_late"
    DUPLICATE_PREDICTION = "duplicate_prediction"
    PENDING_DROPPED = "pending_dropped"
    """`n` predictions and labels that still waited for each other were dropped, to stay within `pending_max`."""


class Contribution(msgspec.Struct, gc=False):
    """One change, and the two offsets from which on a count holds it.

    It is part of what is counted at positions (p, l) iff `prediction_offset` < p and `label_offset` < l.
    """

    kind: Kind
    prediction_offset: int
    """-1 where no prediction is involved."""
    label_offset: int
    """-1 where no label is involved."""
    read: bool = False
    """Whether it came of reading the label: each label has exactly one such contribution."""
    version: int = -1
    event_at: float = math.nan
    """Of the prediction, in epoch seconds; NaN where none is involved, as are the fields below."""
    at: float = math.nan
    """Of the label."""
    y_true: float = math.nan
    """A class index, or the number that a regression was to predict."""
    y_pred: float = math.nan
    p_true: float = math.nan
    """Published probability of the true class, in [0, 1]; NaN where the prediction carried none."""
    n: int = 1
    n_labels: int = 0
    """How many of the `n` dropped are labels."""
