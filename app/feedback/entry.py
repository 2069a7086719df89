"""What is remembered of an id, packed: at most 64 bytes with its key, and 4 more per class for multiclass.

    kind       what is known                                   becomes
    WAITING    a prediction without a label                    LABELLED by its label
    LABELLED   a prediction whose first label was judged       WAITING when, long after, the id is used again
    PENDING    a label without a prediction                    LABELLED by its prediction, else JUDGED
    JUDGED     a label that no prediction came for in time     LABELLED or WAITING by a late prediction
    COPY       coordinates of a further prediction of an id    (under a key of its own)

All begin with the kind, a time of the event, E on arrival and the record's offset: enough to tell their age.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

WAITING, LABELLED, PENDING, JUDGED, COPY = 1, 2, 3, 4, 5
_NAN = float("nan")
REUSED = 0x80
"""Flag of WAITING: an earlier prediction of the id was forgotten, so its labels may still come."""

_AGE = struct.Struct("<dd")
_OFFSET = struct.Struct("<q")
_OFFSET_AT = 17
_COPY = struct.Struct("<Bddq")
_WAITING = struct.Struct("<BddqQIHd")
_WAITING_SCORES = struct.Struct("<BddqQIH")
_LABELLED = struct.Struct("<BddqQd")
_LABEL = struct.Struct("<Bddqd")

age_of = _AGE.unpack_from
"""`age_of(entry, 1)`: time of the event (`event_at` or `at`) and E when it came, -inf at the very first."""


class Waiting(NamedTuple):
    """A prediction that has no label yet."""

    event_at: float
    e_before: float
    """E over the predictions before it."""
    offset: int
    coordinates: int
    version: int
    y_pred: float
    score: float
    """Binary: probability of the positive class, NaN without."""
    scores: bytes
    """Multiclass: float32 per class, empty without."""
    reused: bool


WaitingFields = tuple[float, float, int, int, int, float, float, bytes, bool]
"""A `Waiting` that need not be made: thousands are packed in a second."""


class Labelled(NamedTuple):
    """A prediction whose first label is known and judged."""

    event_at: float
    e_before: float
    offset: int
    coordinates: int
    y_true: float


class Label(NamedTuple):
    """A label whose prediction is not known."""

    at: float
    e_arrival: float
    offset: int
    y_true: float


def pack_waiting(waiting: Waiting | WaitingFields, *, multiclass: bool, regression: bool) -> bytes:
    """The entry of a prediction without a label."""
    event_at, e_before, offset, coordinates, version, y_pred, score, scores, reused = waiting
    kind = WAITING | REUSED if reused else WAITING
    if multiclass:
        return _WAITING_SCORES.pack(kind, event_at, e_before, offset, coordinates, version, int(y_pred)) + scores
    if regression:
        return _WAITING.pack(kind, event_at, e_before, offset, coordinates, version, 0, y_pred)
    return _WAITING.pack(kind, event_at, e_before, offset, coordinates, version, int(y_pred), score)


def unpack_waiting(entry: bytes, *, multiclass: bool, regression: bool) -> Waiting:
    """The prediction in an entry of kind WAITING."""
    if multiclass:
        kind, event_at, e_before, offset, coordinates, version, y_pred = _WAITING_SCORES.unpack_from(entry)
        scores = entry[_WAITING_SCORES.size :]
        reused = kind >= REUSED
        return Waiting(event_at, e_before, offset, coordinates, version, y_pred, _NAN, scores, reused)
    kind, event_at, e_before, offset, coordinates, version, y_pred, score = _WAITING.unpack(entry)
    if regression:
        return Waiting(event_at, e_before, offset, coordinates, version, score, _NAN, b"", kind >= REUSED)
    return Waiting(event_at, e_before, offset, coordinates, version, y_pred, score, b"", kind >= REUSED)


def pack_labelled(labelled: Labelled) -> bytes:
    """The entry of a prediction whose first label was judged."""
    return _LABELLED.pack(LABELLED, *labelled)


def unpack_labelled(entry: bytes) -> Labelled:
    """The prediction and label in an entry of kind LABELLED."""
    return Labelled(*_LABELLED.unpack(entry)[1:])


def pack_label(kind: int, at: float, e_arrival: float, offset: int, y_true: float) -> bytes:
    """The entry of a label without a prediction; *kind* is PENDING or JUDGED."""
    return _LABEL.pack(kind, at, e_arrival, offset, y_true)


def unpack_label(entry: bytes) -> Label:
    """The label in an entry of kind PENDING or JUDGED."""
    return Label(*_LABEL.unpack(entry)[1:])


def pack_copy(event_at: float, e_before: float, offset: int) -> bytes:
    """The entry that remembers a prediction's coordinates, which are its key."""
    return _COPY.pack(COPY, event_at, e_before, offset)


def prediction_offset_of(entry: bytes) -> int | None:
    """Offset of the prediction in an entry, None if it is of a label alone."""
    if entry[0] in (PENDING, JUDGED):
        return None
    offset: int = _OFFSET.unpack_from(entry, _OFFSET_AT)[0]
    return offset
