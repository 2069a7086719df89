"""Predictions and labels as they stand on the topics, decoded or refused."""

from __future__ import annotations

import json
import math
import struct
from functools import partial

import pytest

from app.errors import Reason
from app.feedback import decode_labels, decode_predictions
from app.feedback.seen import entry_key
from tests.makers import Given, a_contract

contract = partial(a_contract, classes=("ham", "spam"))
MULTICLASS = a_contract("multiclass", ("a", "b", "c"))
REGRESSION = a_contract("regression", ())


def prediction(**changes):
    """The value of a prediction; None takes a field away."""
    fields = {"id": "e1", "version": 1, "prediction": "spam", "score": 0.75, "event_at": 1.7e9} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def label(**changes):
    """The value of a label; None takes a field away."""
    fields = {"id": "e1", "label": "spam", "at": 1.7e9 + 5} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def source(offset, *, topic=b"p.features", partition=b"3", row=None):
    """The headers of a prediction of ours."""
    headers = [("source-topic", topic), ("source-partition", partition), ("source-offset", b"%d" % offset)]
    return headers + ([("source-row", b"%d" % row)] if row is not None else [])


def one(found):
    """The only good record of a batch of one."""
    seen, rejected = found
    assert not rejected
    return seen[0]


def test_a_prediction_is_decoded():
    """Offset, id hash, version, times, class index and score are taken over."""
    seen = one(decode_predictions([Given(prediction(model="p", scored_at=1.7e9))], contract()))
    assert (seen.offset, seen.key, seen.version, seen.event_at) == (7, entry_key("e1"), 1, 1.7e9)
    assert (seen.timestamp, seen.y_pred, seen.score) == (1_700_000_000.25, 1, 0.75)


def test_a_foreign_prediction_needs_four_fields():
    """Without a score it is joined, and counts for no log loss."""
    seen = one(decode_predictions([Given(prediction(score=None))], contract()))
    assert math.isnan(seen.score)


def test_multiclass_scores_are_kept_as_float32():
    """One per class in contract order; absent ones are empty."""
    seen = one(
        decode_predictions([Given(prediction(prediction="b", score=None, scores=[0.25, 0.5, 0.25]))], MULTICLASS)
    )
    assert struct.unpack("<3f", seen.scores) == (0.25, 0.5, 0.25)
    assert seen.y_pred == 1
    assert one(decode_predictions([Given(prediction(prediction="b", score=None))], MULTICLASS)).scores == b""


def test_a_regression_predicts_a_number():
    """An integer is a number too."""
    assert one(decode_predictions([Given(prediction(prediction=3, score=None))], REGRESSION)).y_pred == 3.0
    assert one(decode_labels([Given(label(label=2.5))], REGRESSION)).y_true == 2.5


def test_coordinates_are_equal_for_copies_alone():
    """The same source is the same wherever the copy stands; another offset, row, partition or topic is another."""
    headers = [
        source(5),
        source(5),
        source(6),
        source(5, row=1),
        source(5, partition=b"4"),
        source(5, topic=b"other"),
        [],
        [],
        [("source-topic", b"p.features"), ("source-partition", b"3"), ("source-offset", b"five")],
    ]
    events = [Given(prediction(), offset=100 + n, headers=each) for n, each in enumerate(headers)]
    seen, _ = decode_predictions(events, contract())
    assert seen[0].coordinates == seen[1].coordinates
    assert len({each.coordinates for each in seen}) == len(seen) - 1


@pytest.mark.parametrize("row", [None, 0, 7])
def test_coordinates_do_not_depend_on_the_order_of_headers(row):
    """What a worker writes is read on a short way; the same headers in any order say the same, rows included."""
    ours = [*source(5, row=row), ("model-sha256", b"ab")]
    other = [*reversed(ours), ("more", b"")]
    first, second = (one(decode_predictions([Given(prediction(), headers=each)], contract())) for each in (ours, other))
    assert first.coordinates == second.coordinates


def test_rows_of_a_record_are_not_those_of_the_next():
    """Also the last that a record may have, whoever wrote the headers."""
    places = [(5, None), (5, 1), (5, 2**20 - 1), (6, None), (6, 1)]
    events = [
        Given(prediction(), headers=[*source(offset, row=row), ("model-sha256", b"ab")]) for offset, row in places
    ]
    seen, _ = decode_predictions(events, contract())
    assert len({each.coordinates for each in seen}) == len(places)


def test_a_label_defaults_to_its_records_time():
    """`at` absent or null is the Kafka timestamp."""
    assert one(decode_labels([Given(label(at=None))], contract())).at == 1_700_000_000.25
    assert one(decode_labels([Given(b'{"id":"e","label":"ham","at":null}')], contract())).at == 1_700_000_000.25


def test_an_integer_id_is_its_text():
    """7 and "7" are one id."""
    seen, _ = decode_labels([Given(label(id=7)), Given(label(id="7"))], contract())
    assert seen[0].key == seen[1].key == entry_key("7")


@pytest.mark.parametrize(
    ("classes", "value", "index"), [((0, 1), 1.0, 1), ((False, True), True, 1), (("0", "1"), "1", 1)]
)
def test_a_class_is_known_by_its_value(classes, value, index):
    """1 equals 1.0."""
    assert one(decode_labels([Given(label(label=value))], contract(classes=classes))).y_true == index


@pytest.mark.parametrize(("classes", "value"), [((0, 1), "1"), ((0, 1), True), ((False, True), 1), (("a", "b"), "c")])
def test_nothing_else_is_coerced(classes, value):
    """Another JSON type is another class."""
    _, rejected = decode_labels([Given(label(label=value))], contract(classes=classes))
    assert [each.reason for each in rejected] == [Reason.BAD_LABEL]


BROKEN = [
    (None, Reason.NULL_VALUE),
    (b"{", Reason.NOT_JSON),
    (b'{"id": NaN}', Reason.NOT_JSON),
    (b"\xff\xfe", Reason.NOT_JSON),
    (b"[1]", Reason.NOT_OBJECT),
    (b"{}", Reason.BAD_ID),
    (b" " * 2000, Reason.OVERSIZED),
]


@pytest.mark.parametrize(("value", "reason"), BROKEN)
@pytest.mark.parametrize("decode", [decode_labels, decode_predictions])
def test_what_is_no_record_is_refused(decode, value, reason):
    """Size, JSON, object and id are judged in this order, for both topics."""
    seen, rejected = decode([Given(value)], contract(), max_record_bytes=1000)
    assert not seen
    assert [(each.position, each.reason) for each in rejected] == [(0, reason)]


@pytest.mark.parametrize("bad", [{"id": ""}, {"id": True}, {"id": 1.5}, {"id": [1]}, {"id": None}, {"id": "\ud800"}])
def test_a_bad_id_is_refused(bad):
    """An id is a non-empty text or an integer, and is judged before time and label."""
    _, rejected = decode_labels([Given(label(**bad, label=None))], contract())
    assert [each.reason for each in rejected] == [Reason.BAD_ID]
    _, rejected = decode_predictions([Given(prediction(**bad, event_at="x"))], contract())
    assert [each.reason for each in rejected] == [Reason.BAD_ID]


@pytest.mark.parametrize("at", [-1, 1e12, "2020-01-01", True, 1e400])
def test_a_bad_time_is_refused(at):
    """Times are seconds from 1970 to 9999."""
    value = label(label="none such").replace(b"1700000005.0", json.dumps(at).replace("Infinity", "1e400").encode())
    _, rejected = decode_labels([Given(value)], contract())
    assert [each.reason for each in rejected] == [Reason.BAD_TIME]


def test_a_label_without_at_on_a_record_without_time_is_refused():
    """Kafka's timestamp may be -1."""
    _, rejected = decode_labels([Given(label(at=None), timestamp=-1)], contract())
    assert [each.reason for each in rejected] == [Reason.BAD_TIME]


@pytest.mark.parametrize("bad", [{"label": None}, {"label": [1]}, {"label": {"a": 1}}, {"label": "none such"}])
def test_a_bad_label_is_refused(bad):
    """A label is a class of the contract."""
    _, rejected = decode_labels([Given(label(**bad))], contract())
    assert [each.reason for each in rejected] == [Reason.BAD_LABEL]


@pytest.mark.parametrize("value", ["1", True, None, "many"])
def test_a_label_of_a_regression_is_a_number(value):
    """Nothing is coerced."""
    _, rejected = decode_labels([Given(label(label=value))], REGRESSION)
    assert [each.reason for each in rejected] == [Reason.BAD_LABEL]


@pytest.mark.parametrize(
    ("task", "bad", "reason"),
    [
        (contract(), {"version": "1"}, Reason.WRONG_TYPE),
        (contract(), {"version": -1}, Reason.WRONG_TYPE),
        (contract(), {"version": 2**32}, Reason.WRONG_TYPE),
        (contract(), {"version": None}, Reason.WRONG_TYPE),
        (contract(), {"prediction": "egg"}, Reason.WRONG_TYPE),
        (contract(), {"prediction": [1]}, Reason.WRONG_TYPE),
        (contract(), {"prediction": None}, Reason.WRONG_TYPE),
        (contract(), {"event_at": None}, Reason.BAD_TIME),
        (contract(), {"score": "high"}, Reason.WRONG_TYPE),
        (contract(), {"score": 1.5}, Reason.OUT_OF_RANGE),
        (MULTICLASS, {"prediction": "a", "scores": [0.5, 0.5]}, Reason.WRONG_TYPE),
        (MULTICLASS, {"prediction": "a", "scores": [0.5, 2, 0]}, Reason.OUT_OF_RANGE),
        (MULTICLASS, {"prediction": "a", "scores": 0.5}, Reason.WRONG_TYPE),
        (REGRESSION, {"prediction": "a"}, Reason.WRONG_TYPE),
    ],
)
def test_a_prediction_that_cannot_count_is_refused(task, bad, reason):
    """Other people's predictions are checked like anything else."""
    _, rejected = decode_predictions([Given(prediction(**bad))], task)
    assert [each.reason for each in rejected] == [reason]


def test_what_is_unusual_but_good_is_taken():
    """1.0 for a version; unknown fields; null for an absent score."""
    value = b'{"id":"e1","version":1.0,"prediction":"ham","event_at":5,"score":null,"scores":null,"more":{"x":[1]}}'
    seen = one(decode_predictions([Given(value)], contract()))
    assert (seen.version, seen.event_at, seen.y_pred) == (1, 5.0, 0)
    value = b'{"id":"e1","version":1.0,"prediction":"ham","event_at":5,"score":0.5,"scores":[0.5,1]}'
    assert one(decode_predictions([Given(value)], contract())).score == 0.5


def test_good_neighbours_of_bad_records_are_taken():
    """Positions of the refused are those in the batch."""
    events = [Given(label()), Given(b"{"), Given(label(), offset=9)]
    seen, rejected = decode_labels(events, contract())
    assert [each.offset for each in seen] == [7, 9]
    assert [each.position for each in rejected] == [1]
