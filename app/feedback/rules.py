"""What a prediction or a label changes for its id: the ledger's rules, without a store and without a clock.

E is the event time that the predictions so far have reached. Every rule is a function of the id's entry, of the
record, and of E before the record.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import msgspec

from app.feedback.contribution import Contribution, Kind
from app.feedback.entry import (
    JUDGED,
    LABELLED,
    PENDING,
    Label,
    Labelled,
    Waiting,
    pack_label,
    pack_labelled,
    pack_waiting,
    unpack_label,
    unpack_labelled,
    unpack_waiting,
)

if TYPE_CHECKING:
    from app.features import Contract
    from app.feedback.entry import WaitingFields
    from app.feedback.seen import SeenLabel, SeenPrediction

REMEMBER_HORIZONS = 2
"""For so long after its event an id is remembered; a label that comes later is too late."""
KEEP_HORIZONS = 4
KEEP_EXTRA_S = 60.0
"""For so long, and no less after its arrival, an entry is kept as a marker that tells a late label from an orphan."""
COPIES_WITHIN = 200_000
"""Predictions among which a copy is known, however far event times leap: more than may be in flight at a crash."""

Change = tuple[float, int, int, int]
"""Arguments of `Census.change`."""


class Step(msgspec.Struct, gc=False):
    """What follows from one record for its id."""

    contributions: tuple[Contribution, ...] = ()
    entry: bytes | None = None
    """The id's new entry; None leaves the old one."""
    changes: tuple[Change, ...] = ()
    waits_until: float | None = None
    """The deadline of a label that begins to wait."""
    waited_until: float | None = None
    """The deadline of a label that waits no longer."""
    is_other: bool = False
    """Whether the prediction's coordinates are not those of the id's entry: it may be a copy of an older one."""
    replaced: int | None = None
    """Coordinates that the entry held before the id was used again."""


_NOTHING = Step()


class Rules:
    """The rules for one pipeline."""

    def __init__(self, contract: Contract, *, copies_within: int = COPIES_WITHIN) -> None:
        self.copies_within = copies_within
        self.horizon_s = contract.label_horizon_s
        self.remember_s = REMEMBER_HORIZONS * self.horizon_s
        self.keep_s = KEEP_HORIZONS * self.horizon_s + KEEP_EXTRA_S
        self._multiclass = contract.task == "multiclass"
        self._regression = contract.task == "regression"
        self._positive = contract.positive_index

    def after_prediction(self, entry: bytes | None, prediction: SeenPrediction, e: float) -> Step:
        """What *prediction* changes; e: E over the predictions before it."""
        if entry is None:
            return self._first(prediction, e)
        kind = entry[0]
        if kind in (PENDING, JUDGED):
            return self._prediction_after_label(kind, unpack_label(entry), prediction, e)
        known = unpack_labelled(entry) if kind == LABELLED else self._waiting(entry)
        event_at, e_before, coordinates = known.event_at, known.e_before, known.coordinates
        age = max(event_at, e_before)
        if self.is_gone(age, known.offset, e, prediction.offset):
            return self._first(prediction, e)
        if coordinates == prediction.coordinates:
            return _NOTHING
        if e <= event_at + self.remember_s:
            duplicate = Contribution(Kind.DUPLICATE_PREDICTION, prediction.offset, -1, version=prediction.version)
            return Step((duplicate,), is_other=True)
        step = self._first(prediction, e, reused=True)
        step.changes += ((age, -1, -int(kind != LABELLED), 0),)
        step.is_other, step.replaced = True, coordinates
        return step

    def is_gone(self, age: float, offset: int, e: float, next_offset: int) -> bool:
        """Whether the prediction at *offset* is known no more to the one at *next_offset*, E being *e* before that."""
        return e > age + self.keep_s and next_offset - offset > self.copies_within

    def after_label(self, entry: bytes | None, label: SeenLabel, e: float, *, unknown: Kind) -> Step:
        """What *label* changes; e: E over the predictions read so far.

        unknown: the state of a label whose time has run out and whose id has no entry: orphan, or too late if an
        entry may have been there once.
        """
        if entry is None:
            return self._label_alone(label, e, unknown)
        kind = entry[0]
        if kind in (PENDING, JUDGED):
            first = unpack_label(entry)
            state = self._later(label, first.y_true, forgotten=e > first.at + self.remember_s)
            return Step((_label_only(state, label),))
        if kind == LABELLED:
            labelled = unpack_labelled(entry)
            state = self._later(label, labelled.y_true, forgotten=e > labelled.event_at + self.remember_s)
            return Step((_label_only(state, label),))
        waiting = self._waiting(entry)
        if waiting.e_before > label.at + self.horizon_s:
            state = Kind.TOO_LATE if waiting.reused else Kind.ORPHAN
        elif e > waiting.event_at + self.remember_s:
            state = Kind.TOO_LATE
        else:
            state = self._matched(waiting.event_at, label.at)
        return Step(
            (self._judged(state, waiting, Label(label.at, e, label.offset, label.y_true), read=True),),
            pack_labelled(
                Labelled(waiting.event_at, waiting.e_before, waiting.offset, waiting.coordinates, label.y_true)
            ),
            ((max(waiting.event_at, waiting.e_before), 0, -1, 0),),
        )

    def first_entry(self, prediction: SeenPrediction, e: float, *, reused: bool = False) -> bytes:
        """The entry of a first prediction of an id, or of an id that was forgotten."""
        fields = _waiting_fields(prediction, e, reused=reused)
        return pack_waiting(fields, multiclass=self._multiclass, regression=self._regression)

    def _first(self, prediction: SeenPrediction, e: float, *, reused: bool = False) -> Step:
        """A first prediction of an id, or of an id that was forgotten."""
        return Step(
            (predicted(prediction),),
            self.first_entry(prediction, e, reused=reused),
            ((max(e, prediction.event_at), 1, 1, 0),),
        )

    def _prediction_after_label(self, kind: int, label: Label, prediction: SeenPrediction, e: float) -> Step:
        """The first prediction of an id whose label came before it."""
        age = max(label.at, label.e_arrival)
        if kind == JUDGED and e > label.at + self.remember_s:
            step = self._first(prediction, e, reused=True)
            step.changes += ((age, -1, 0, 0),)
            return step
        event_at = prediction.event_at
        contributions: tuple[Contribution, ...] = (predicted(prediction),)
        waited_until = None
        if kind == PENDING:
            # It still waits, so E has not passed its deadline, and this prediction counts for it.
            waited_until = label.at + self.horizon_s
            state = self._matched(event_at, label.at)
            waiting = Waiting._make(_waiting_fields(prediction, e, reused=False))
            contributions += (self._judged(state, waiting, label, read=False),)
        return Step(
            contributions,
            pack_labelled(Labelled(event_at, e, prediction.offset, prediction.coordinates, label.y_true)),
            ((age, -1, 0, -int(kind == PENDING)), (max(event_at, e), 1, 0, 0)),
            waited_until=waited_until,
        )

    def _label_alone(self, label: SeenLabel, e: float, unknown: Kind) -> Step:
        """The first label of an id without a prediction."""
        deadline = label.at + self.horizon_s
        waits = e <= deadline
        return Step(
            (_label_only(Kind.PENDING if waits else unknown, label),),
            pack_label(PENDING if waits else JUDGED, label.at, e, label.offset, label.y_true),
            ((max(label.at, e), 1, 0, int(waits)),),
            waits_until=deadline if waits else None,
        )

    def _waiting(self, entry: bytes) -> Waiting:
        return unpack_waiting(entry, multiclass=self._multiclass, regression=self._regression)

    def _matched(self, event_at: float, at: float) -> Kind:
        return Kind.JOINED if at - event_at <= self.horizon_s else Kind.EXPIRED

    @staticmethod
    def _later(label: SeenLabel, first_y_true: float, *, forgotten: bool) -> Kind:
        """The state of a label that is not the first of its id."""
        if forgotten:
            return Kind.TOO_LATE
        return Kind.DUPLICATE if label.y_true == first_y_true else Kind.CONFLICTING

    def _judged(self, state: Kind, waiting: Waiting, label: Label, *, read: bool) -> Contribution:
        """The contribution of a label whose prediction is known."""
        return Contribution(
            state,
            waiting.offset,
            label.offset,
            read,
            waiting.version,
            waiting.event_at,
            label.at,
            label.y_true,
            waiting.y_pred,
            self.p_true(label.y_true, waiting.score, waiting.scores),
        )

    def p_true(self, y_true: float, score: float, scores: bytes) -> float:
        """The published probability of the true class, NaN if there is none; *score*, *scores* as in `Waiting`."""
        if self._regression:
            return math.nan
        if self._multiclass:
            if not scores:
                return math.nan
            p_true: float = struct.unpack_from("<f", scores, 4 * int(y_true))[0]
            return p_true
        return score if y_true == self._positive else 1.0 - score


def _waiting_fields(prediction: SeenPrediction, e: float, *, reused: bool) -> WaitingFields:
    """The fields of `Waiting`, which is made only where it is looked at: nearly all are packed at once."""
    return (
        prediction.event_at,
        e,
        prediction.offset,
        prediction.coordinates,
        prediction.version,
        prediction.y_pred,
        prediction.score,
        prediction.scores,
        reused,
    )


def predicted(prediction: SeenPrediction) -> Contribution:
    """The contribution of a first prediction."""
    return Contribution(Kind.PREDICTED, prediction.offset, -1, False, prediction.version, prediction.event_at)


def _label_only(state: Kind, label: SeenLabel) -> Contribution:
    return Contribution(state, -1, label.offset, True, at=label.at, y_true=label.y_true)
