"""Label states by hand-drawn timelines, horizon 10 s; forgetting begins 20 s after an event."""

import pytest

from tests.makers import a_prediction
from verify.decode import Label
from verify.ledger import recount
from verify.reading import Course, Waypoint

H = 10.0


def predictions(*entries):
    """Predictions as (id, event_at) or (id, event_at, offset of the event)."""
    return [
        a_prediction(offset, event_id, at, source=rest[0] if rest else None)
        for offset, (event_id, at, *rest) in enumerate(entries)
    ]


def labels(*entries):
    """Labels as (id, at) or (id, at, label)."""
    return [
        Label(offset, event_id, rest[0] if rest else "yes", float(at))
        for offset, (event_id, at, *rest) in enumerate(entries)
    ]


def states(made, judged, *waypoints):
    """(sure, possible) counts of the states; waypoints: (predictions, labels, too late so far) as they were read."""
    course = Course(Waypoint(*each) for each in waypoints) if waypoints else None
    ledger = recount(predictions(*made), labels(*judged), H, course=course)
    return dict(ledger.least), dict(ledger.most)


@pytest.mark.parametrize(
    ("made", "judged", "state"),
    [
        #  prediction 0 |---- 10 ----|              label at 10 joins, at 10.1 is expired
        ([("a", 0)], [("a", 10)], "joined"),
        ([("a", 0)], [("a", 10.1)], "expired"),
        ([("a", 5)], [("a", 1)], "joined"),
        #  label at 0 waits until E > 10; a prediction counts for it if E had not passed 10 before it came
        ([("b", 10)], [("a", 0)], "pending"),
        ([("b", 10.1)], [("a", 0)], "orphan"),
        ([("b", 10), ("a", 2)], [("a", 0)], "joined"),
        ([("b", 10.1), ("a", 2)], [("a", 0)], "orphan"),
        ([], [("a", 0)], "pending"),
    ],
)
def test_a_first_label_has_one_state(made, judged, state):
    """Bounds are inclusive: passed means strictly greater."""
    assert states(made, judged) == ({state: 1}, {state: 1})


def test_later_labels_are_held_against_the_first():
    """Equal ones are duplicates, 1 and 1.0 being equal; others conflict, and the first stands."""
    judged = [("a", 1, 1), ("a", 2, 1.0), ("a", 3, 0), ("a", 4, True)]

    assert states([("a", 0)], judged)[0] == {"joined": 1, "duplicate": 1, "conflicting": 2}


def test_copies_are_ignored_and_further_predictions_counted():
    """Equal coordinates are a copy, also of a duplicate; the first prediction of the id stands."""
    ledger = recount(predictions(("a", 0), ("a", 0, 0), ("a", 4), ("a", 4, 2), ("a", 5)), [], H)

    assert ledger.duplicate_prediction == 2
    assert [prediction.event_at for prediction in ledger.predicted] == [0.0]


def test_an_event_time_far_ahead_of_its_record_moves_e_by_a_minute_only():
    """E takes the lesser of the event time and the record's timestamp + 60 s."""
    far, near = predictions(("a", 1000), ("b", 7))
    far.timestamp_ms = 5000

    assert recount([far, near], [], H).event_time_s == 65.0


#  a: 0 |---- 10 ----|---- 10 ----| forgotten once E > 20
def test_a_label_of_a_forgotten_id_may_be_too_late():
    """It depends on how far the reader had come, unless it is known that none was too late."""
    made, judged = [("a", 0), ("b", 21)], [("a", 3), ("a", 4)]

    assert states(made, judged) == ({}, {"joined": 1, "duplicate": 1, "too_late": 2})
    assert states(made, judged, (2, 2, 0))[0] == {"joined": 1, "duplicate": 1}
    assert states([("a", 0), ("b", 20)], judged)[0] == {"joined": 1, "duplicate": 1}


def test_a_label_that_was_read_in_time_is_in_its_true_state():
    """No more predictions had been read by then than the next ledger record says: b, which makes E pass, was not."""
    made, judged = [("a", 0), ("b", 21)], [("a", 3), ("a", 4)]

    assert states(made, judged, (1, 1, 0), (2, 2, 1)) == ({"joined": 1}, {"joined": 1, "duplicate": 1, "too_late": 1})
    assert states(made, judged, (1, 2, 1), (2, 2, 1))[1] == {"joined": 1, "duplicate": 1}
    assert states(made, judged, (2, 1, 1), (2, 2, 1))[0] == {"duplicate": 1}


def test_where_records_of_the_ledger_are_gone_less_is_known():
    """A label beyond the last one, or long before it, may have been read at any time until then."""
    made, judged = [("a", 0), ("b", 21)], [("a", 3), ("a", 4)]

    assert states(made, judged, (2, 2, 2))[1] == {"joined": 1, "duplicate": 1, "too_late": 2}
    assert states(made, judged, (1, 1, 0))[1] == {"joined": 1, "duplicate": 1, "too_late": 1}


def test_an_id_that_comes_back_after_it_was_forgotten_is_predicted_again():
    """Which of the two a label meets depends on the reading; one whose time had run out joins neither."""
    made = [("a", 0), ("b", 30), ("a", 31)]
    ledger = recount(predictions(*made), labels(("a", 25)), H)

    assert [prediction.event_at for prediction in ledger.predicted] == [0.0, 30.0, 31.0]
    assert ledger.duplicate_prediction == 0
    assert set(ledger.most) == {"expired", "joined", "too_late"}
    assert [joined.is_sure for joined in ledger.joined] == [False]
    assert "joined" not in states(made, [("a", 12)])[1]
