"""The state of every label by the rules, from whole logs: its prediction, and what E was when that came.

E = greatest min(event_at, Kafka timestamp + 60 s) of the predictions so far.

    prediction  |event_at ------ horizon ------|------ horizon ------| id forgotten once E is beyond
    label             at -> joined                  at -> expired      read from here on -> perhaps too_late

E when a label was read is not known, but what it was at most (reading.py): a label that was read in time is in its true
state.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from verify.contract import same
from verify.decode import Label
from verify.outcomes import Prediction
from verify.reading import Course

FUTURE_S = 60.0
STATES = ("pending", "joined", "expired", "orphan", "duplicate", "conflicting", "too_late")

LATER = {"duplicate", "conflicting"}
"""States of a label that is not the first of its id."""


class Use(NamedTuple):
    """The first prediction of an id, or the first after the id was forgotten: what labels are held against."""

    prediction: Prediction
    event_time_before_s: float
    """E over the predictions before it."""


class Joined(NamedTuple):
    """A prediction and the label that counts for it."""

    prediction: Prediction
    label: Any
    is_sure: bool
    """False where the label may also be in another state."""


@dataclass
class Ledger:
    """The recount of one partition."""

    labels: int = 0
    least: Counter[str] = field(default_factory=Counter)
    """How many labels are surely in a state."""
    most: Counter[str] = field(default_factory=Counter)
    """How many labels may be in a state: more than `least` only where ids may have been forgotten."""
    duplicate_prediction: int = 0
    predicted: list[Prediction] = field(default_factory=list)
    """What counts as predicted: one prediction for each use of an id."""
    joined: list[Joined] = field(default_factory=list)
    event_time_s: float = -math.inf
    """E after the last prediction."""
    _offsets: list[int] = field(default_factory=list)
    _event_times_s: list[float] = field(default_factory=list)
    """E after the prediction of each of the offsets."""

    def pass_by(self, prediction: Prediction) -> None:
        """Move E on."""
        event_time_s = min(prediction.event_at, prediction.timestamp_ms / 1000 + FUTURE_S)
        self.event_time_s = max(self.event_time_s, event_time_s)
        self._offsets.append(prediction.offset)
        self._event_times_s.append(self.event_time_s)

    def event_time_before(self, position: float) -> float:
        """E over the predictions before the offset *position*."""
        count = bisect_left(self._offsets, position)
        return self._event_times_s[count - 1] if count else -math.inf

    def put(self, states: set[str]) -> None:
        """Count a label that is in one of *states*."""
        self.labels += 1
        self.most.update(states)
        if len(states) == 1:
            self.least.update(states)


def recount(
    predictions: Iterable[Prediction], labels: Iterable[Label], horizon_s: float, *, course: Course | None = None
) -> Ledger:
    """The ledger of one partition from its predictions and good labels, each in the order of its topic.

    course: how far predictions were read when labels were; without it any label of an id that was ever forgotten may
    have been too late.
    """
    ledger = Ledger()
    course = course or Course()
    uses = _uses(ledger, predictions, horizon_s)
    first_label: dict[str, Label] = {}
    restarted: set[str] = set()
    for label in labels:
        of_id = uses.get(label.id, [])
        first = first_label.setdefault(label.id, label)
        if _is_used_again(of_id, first, horizon_s):
            states, joined = _possible(label, first, of_id, horizon_s)
        else:
            states, joined = _only(ledger, label, first, of_id, horizon_s)
        remembered_s = [first.at_s, *(use.prediction.event_at for use in of_id)]
        read = course.of_label(label.offset)
        event_time_s = ledger.event_time_before(read.predictions)
        if event_time_s > min(remembered_s) + 2 * horizon_s:
            states.add("too_late")
        if label.id in restarted:
            states |= LATER
        if min(event_time_s, label.at_s) > remembered_s[-1] + 2 * horizon_s:
            # Nobody remembers for ever that an id was there: a label from beyond its time may be taken for one of an
            # unknown id, and those after it are then held against that one.
            states.add(_alone(ledger, label, horizon_s))
            restarted.add(label.id)
        if not read.may_be_late:
            states.discard("too_late")
        ledger.put(states)
        ledger.joined.extend(Joined(use.prediction, label.label, len(states) == 1) for use in joined)
    return ledger


def _uses(ledger: Ledger, predictions: Iterable[Prediction], horizon_s: float) -> dict[str, list[Use]]:
    """The uses of every id; also counts duplicates and moves E."""
    uses: dict[str, list[Use]] = {}
    others: dict[str, set[tuple[Any, ...]]] = {}
    for prediction in predictions:
        of_id = uses.setdefault(prediction.id, [])
        if not of_id:
            of_id.append(Use(prediction, ledger.event_time_s))
            ledger.predicted.append(prediction)
        elif prediction.identity not in (of_id[0].prediction.identity, *others.get(prediction.id, ())):
            others.setdefault(prediction.id, set()).add(prediction.identity)
            if ledger.event_time_s > of_id[-1].prediction.event_at + 2 * horizon_s:
                of_id.append(Use(prediction, ledger.event_time_s))
                ledger.predicted.append(prediction)
            else:
                ledger.duplicate_prediction += 1
        ledger.pass_by(prediction)
    return uses


def _only(ledger: Ledger, label: Label, first: Label, of_id: list[Use], horizon_s: float) -> tuple[set[str], list[Use]]:
    """The state of a label whose id is used once at most, and the use that it joins."""
    deadline_s = label.at_s + horizon_s
    if first is not label:
        return {"duplicate" if same(first.label, label.label) else "conflicting"}, []
    if not of_id or of_id[0].event_time_before_s > deadline_s:
        return {_alone(ledger, label, horizon_s)}, []
    if label.at_s - of_id[0].prediction.event_at <= horizon_s:
        return {"joined"}, of_id
    return {"expired"}, []


def _is_used_again(of_id: list[Use], first: Label, horizon_s: float) -> bool:
    """Whether an id came back after it was forgotten; which use a label meets then depends on the reading."""
    return len(of_id) > 1 or (bool(of_id) and of_id[0].event_time_before_s > first.at_s + 2 * horizon_s)


def _possible(label: Label, first: Label, of_id: list[Use], horizon_s: float) -> tuple[set[str], list[Use]]:
    """Every state that a label may be in whose id is used again, and the uses that it may join."""
    states = set() if first is label else set(LATER)
    joined = []
    for use in of_id:
        if use.event_time_before_s > label.at_s + horizon_s:
            states.add("orphan")
        elif label.at_s - use.prediction.event_at <= horizon_s:
            states.add("joined")
            joined.append(use)
        else:
            states.add("expired")
    return states, joined


def _alone(ledger: Ledger, label: Label, horizon_s: float) -> str:
    """The state of a label that no prediction counts for."""
    return "orphan" if ledger.event_time_s > label.at_s + horizon_s else "pending"
