"""When a replay has come to its end, and which counts are told then."""

from __future__ import annotations

import json

import pytest

from app.performance import Counters
from app.replay.advice import Surroundings, advice, remarks
from app.replay.outcome import Outcome, versions_of
from app.replay.tracker import OPEN_MAX, Tracker
from tests.makers import Given, a_contract

PREDICTED = {"version": 1, "event_at": 1.0, "prediction": "b"}


def a_tracker(contract=None, *, delay_s=0.0):
    """A tracker of two partitions that are empty so far."""
    tracker = Tracker(contract or a_contract(), features={0: 0, 1: 0}, labels={0: 0, 1: 0}, label_delay_s=delay_s)
    tracker.begin()
    return tracker


def source(topic, partition, offset):
    """Headers that name a record."""
    named = {"topic": topic, "partition": b"%d" % partition, "offset": b"%d" % offset}
    return [(f"source-{name}", value) for name, value in named.items()]


def prediction(offset, *, partition=0, at=None, **fields):
    """A prediction of the event at *offset*."""
    headers = [
        ("source-topic", b"p.features"),
        ("source-partition", b"%d" % partition),
        ("source-offset", b"%d" % offset),
    ]
    value = json.dumps({"id": f"{partition}-{offset}", **PREDICTED, **fields}).encode()
    return Given(
        value, topic="p.predictions", partition=partition, offset=offset if at is None else at, headers=headers
    )


def ledger(partition, predictions, labels, *, totals=None, **states):
    """What `performance` tells of a partition."""
    record = {"partition": partition, "positions": {"predictions": predictions, "labels": labels}, **states}
    value = json.dumps(record | {"totals": totals or {}}).encode()
    return Given(value, topic="p.performance", partition=0, key=b"ledger/%d" % partition)


def test_a_keyed_pipeline_is_through_when_each_ledger_has_read_its_records():
    """Predictions and labels of each partition that has any; markers between them do not matter."""
    tracker = a_tracker()
    tracker.sent_events(0, 0, [1.0, 0.0])
    tracker.sent_labels(0, 0, 2)
    tracker.all_sent()
    for offset in range(2):
        tracker.take(prediction(offset, at=10 + offset, prediction="yes", score=0.5))
    seen = []
    for positions in ((12, 1), (11, 2), (12, 2)):
        tracker.take(ledger(0, *positions))
        seen.append(tracker.has_judged_all)

    # (11, 2) has fewer predictions than what was known and is ignored, as it would be of a zombie.
    assert seen == [False, False, True]


def test_a_pipeline_by_id_is_through_when_all_is_on_the_ledger_topic_and_read_there():
    """Its positions are offsets of that topic; a label that became a dead letter is not waited for."""
    tracker = a_tracker(a_contract(join="by-id"))
    tracker.sent_events(0, 0, [1.0])
    tracker.sent_labels(1, 0, 2)
    tracker.all_sent()
    tracker.take(prediction(0, prediction="yes", score=0.5))
    event = [("event-topic", b"p.features"), ("event-partition", b"0"), ("event-offset", b"0")]
    dead = [
        ("source-topic", b"p.labels"),
        ("source-partition", b"1"),
        ("source-offset", b"1"),
        ("reason", b"bad_label"),
    ]
    seen = []
    for record in (
        Given(b"{}", topic="p.ledger", partition=2, offset=6, headers=[*source(b"p.predictions", 1, 0), *event]),
        Given(b"{}", topic="p.ledger", partition=2, offset=7, headers=source(b"p.labels", 1, 0)),
        Given(b"{}", topic="p.dead-letters", partition=1, offset=0, headers=dead),
        ledger(2, 7, 7),
        ledger(2, 8, 8),
    ):
        tracker.take(record)
        seen.append(tracker.has_judged_all)

    assert seen == [False, False, False, False, True]
    assert tracker.dead_labels == {"bad_label": 1}


def test_classes_and_numbers_are_counted_as_the_workers_do():
    """Multiclass with the probability of the true class, and a regression."""
    classes = a_tracker(a_contract("multiclass", ("a", "b", "c")))
    classes.sent_events(0, 0, [classes.truth_of("c"), classes.truth_of("d")])
    for offset in range(2):
        classes.take(prediction(offset, scores=[0.25, 0.5, 0.25]))
    numbers = a_tracker(a_contract("regression", ()))
    numbers.sent_events(1, 0, [numbers.truth_of(3), numbers.truth_of("3")])
    for offset in range(2):
        numbers.take(prediction(offset, partition=1, prediction=1.5))

    assert classes.counted()[1].confusion == {2 << 16 | 1: 1}
    assert classes.counted()[1].log_loss_sum == pytest.approx(1.3862943611198906)
    assert (numbers.counted()[1].n, numbers.counted()[1].abs_error_sum, numbers.counted()[1].predicted) == (1, 1.5, 2)


def test_labels_beyond_the_horizon_join_nothing():
    """As the ledger will say: expired."""
    tracker = a_tracker(delay_s=10.5)
    tracker.sent_events(0, 0, [1.0])
    tracker.take(prediction(0, prediction="yes", score=0.5))

    assert (tracker.counted()[1].predicted, tracker.counted()[1].n) == (1, 0)


def test_workers_that_are_far_behind_are_followed_no_more():
    """What is remembered has a bound."""
    tracker = a_tracker()
    tracker.sent_events(0, 0, [1.0] * (OPEN_MAX + 1))
    tracker.take(prediction(0, prediction="yes"))

    assert tracker.has_given_up
    assert tracker.predicted == 0


@pytest.mark.parametrize(
    ("told", "alone", "expected"),
    [
        ({"predicted": 1, "n": 0}, True, (1, 0, True)),  # an id that was there before: the workers know better
        ({"predicted": 1, "n": 0}, False, (2, 2, False)),  # others write as well: theirs is not ours
        ({"predicted": 3, "n": 3}, True, (2, 2, False)),  # something from before is among it
        ({"predicted": 2, "n": 2}, True, (2, 2, False)),
    ],
)
def test_the_workers_counts_stand_where_they_can_only_be_the_replays(told, alone, expected):
    """Counted by coordinates, unless the workers have less and nobody else was there."""
    tracker = a_tracker()
    tracker.sent_events(0, 0 if alone else 1, [1.0, 1.0])
    for offset in range(2):
        tracker.take(prediction(offset + (not alone), prediction="yes"))
    tracker.take(ledger(0, 9, 9, totals={"1": told}))
    versions, is_told = versions_of(tracker)

    assert (versions[1].predicted, versions[1].n, is_told) == expected


def an_outcome(**changes):
    """A replay of ten rows that came to its end."""
    fields = {
        "pipeline": "p", "rows": 10, "events": 10, "labels": 10, "too_large": 0, "without_label": 0,
        "labels_waiting": 0, "seconds": 5.0,
        "sending_seconds": 2.0, "predicted": 10, "dead_events": {}, "dead_labels": {}, "states": {},
        "versions": {1: Counters(10, 10, {0: 6, 1 << 16 | 1: 4})}, "is_told_by_workers": False, "was_followed": True,
        "is_complete": True,
    }  # fmt: skip
    return Outcome(**fields | changes)


def test_the_report_for_programs_has_counts_and_rates():
    """As /api/performance has them."""
    said = an_outcome().as_json(a_contract())

    assert said["total"] == said["versions"]["1"]
    assert (said["total"]["accuracy"], said["total"]["coverage"], said["rows_per_s"]) == (1.0, 1.0, 5.0)
    assert "problem" not in said
    assert "versions" not in an_outcome(was_followed=False).as_json(a_contract())


@pytest.mark.parametrize(
    ("changes", "there", "texts"),
    [
        ({"predicted": 0}, (0, 1, (1,)), ["faust-onnx worker --pipelines p"]),
        ({"predicted": 0}, (1, None, (1, 2)), ["faust-onnx model activate 2"]),
        ({"predicted": 0}, (0, None, ()), ["faust-onnx worker", "faust-onnx model publish"]),
        ({"predicted": 3}, (None, 1, (1,)), ["/readyz"]),
        ({"is_complete": False}, (2, 1, (1,)), ["faust-onnx doctor --pipeline p"]),
        ({"is_complete": False}, (0, 1, (1,)), ["faust-onnx worker"]),
    ],
)
def test_whoever_waits_in_vain_is_told_what_helps(changes, there, texts):
    """The command for what is missing."""
    told = list(advice(an_outcome(**changes), a_contract(), Surroundings("g", *there)))

    assert len(told) == len(texts)
    assert all(text in sentence for text, sentence in zip(texts, told, strict=True))


@pytest.mark.parametrize("state", ["duplicate_prediction", "expired", "orphan", "pending_dropped"])
def test_labels_that_do_not_count_are_explained(state):
    """Each state that costs a label says why and what to do."""
    (told,) = remarks(an_outcome(states={state: 7}), a_contract())

    assert told.startswith("7 ")
