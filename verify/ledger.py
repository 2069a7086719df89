"""The state of every label by the rules, from whole logs: a prediction, its label, and what E was when they came.

E = greatest min(event_at, Kafka timestamp + 60 s) of the predictions so far.

    prediction  |event_at ------ horizon ------|------ horizon ------| id may be forgotten once E is beyond
    label             at -> joined                  at -> expired
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from verify.contract import same
from verify.decode import Label
from verify.outcomes import Prediction

FUTURE_S = 60.0
STATES = ("pending", "joined", "expired", "orphan", "duplicate", "conflicting", "too_late")


class Joined(NamedTuple):
    """A prediction and the label that counts for it."""

    prediction: Prediction
    label: Any
    may_be_too_late: bool


@dataclass
class Ledger:
    """The recount of one partition."""

    states: Counter[str] = field(default_factory=Counter)
    """Labels by state, were no id ever forgotten."""
    may_be_too_late: Counter[str] = field(default_factory=Counter)
    """How many of each state a worker may count as `too_late` instead, since their id may be forgotten."""
    duplicate_prediction: int = 0
    may_be_new: int = 0
    """How many of the duplicate predictions came after their id may have been forgotten."""
    predicted: list[Prediction] = field(default_factory=list)
    """The first prediction of every id."""
    joined: list[Joined] = field(default_factory=list)
    event_time_s: float = -math.inf
    """E after the last prediction."""


def recount(predictions: Iterable[Prediction], labels: Iterable[Label], horizon_s: float) -> Ledger:
    """The ledger of one partition from its predictions and good labels, each in the order of its topic."""
    ledger = Ledger()
    prediction_of: dict[str, Prediction] = {}
    event_time_before: dict[str, float] = {}
    others: dict[str, set[tuple[Any, ...]]] = {}
    for prediction in predictions:
        first = prediction_of.get(prediction.id)
        if first is None:
            prediction_of[prediction.id] = prediction
            event_time_before[prediction.id] = ledger.event_time_s
        elif prediction.identity != first.identity and prediction.identity not in others.get(prediction.id, ()):
            others.setdefault(prediction.id, set()).add(prediction.identity)
            ledger.duplicate_prediction += 1
            ledger.may_be_new += ledger.event_time_s > first.event_at + 2 * horizon_s
        event_time_s = min(prediction.event_at, prediction.timestamp_ms / 1000 + FUTURE_S)
        ledger.event_time_s = max(ledger.event_time_s, event_time_s)
    ledger.predicted = list(prediction_of.values())

    first_label: dict[str, Label] = {}
    for label in labels:
        known = prediction_of.get(label.id)
        earlier = first_label.setdefault(label.id, label)
        forgotten = known is not None and ledger.event_time_s > known.event_at + 2 * horizon_s
        if earlier is not label:
            state = "duplicate" if same(earlier.label, label.label) else "conflicting"
            forgotten = forgotten or ledger.event_time_s > earlier.at_s + 2 * horizon_s
        elif known is None or event_time_before[label.id] > label.at_s + horizon_s:
            state = "orphan" if ledger.event_time_s > label.at_s + horizon_s else "pending"
        elif label.at_s - known.event_at <= horizon_s:
            state = "joined"
            ledger.joined.append(Joined(known, label.label, forgotten))
        else:
            state = "expired"
        ledger.states[state] += 1
        ledger.may_be_too_late[state] += forgotten
    return ledger
