"""The checker's ledger against a naiver definition, and the worker's ledger against the checker's."""

import math
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.feedback import DictStore, Kind, Ledger, SeenLabel, SeenPrediction
from app.feedback.seen import entry_key
from tests.makers import a_contract, a_prediction
from verify.contract import same
from verify.decode import Label
from verify.ledger import FUTURE_S, recount
from verify.reading import Course, Waypoint

H = 10.0
CONTRACT = a_contract(label_horizon_s=H, windows_s=(5, 20))


def logs(*, furthest):
    """Predictions and labels of a few ids, event times up to *furthest*; some predictions are copies.

    Where ids are forgotten for good there are none: then nobody could tell a copy from an id that is used again.
    """
    times = st.integers(0, furthest)
    ids = st.sampled_from("abcd")
    copies = st.booleans() if furthest < 4 * H else st.just(value=False)
    predictions = st.lists(st.tuples(ids, times, st.integers(-80, 5), copies), max_size=14)
    labels = st.lists(st.tuples(ids, times, st.sampled_from(["no", "yes"])), max_size=12)
    return st.builds(make_logs, predictions, labels)


def make_logs(predictions, labels):
    """The drawn tuples as logs; a copy repeats the prediction before it in all but its offset."""
    made = []
    for offset, (event_id, at, lag_s, is_copy) in enumerate(predictions):
        if is_copy and made:
            made.append(a_prediction(offset, made[-1].id, made[-1].event_at, source=made[-1].source.offset))
            made[-1].timestamp_ms = made[-2].timestamp_ms
        else:
            made.append(a_prediction(offset, event_id, at, timestamp_s=max(at + lag_s, 0)))
    return made, [Label(offset, event_id, label, float(at)) for offset, (event_id, at, label) in enumerate(labels)]


def naive(predictions, labels):
    """State of every label and duplicates, straight from the words of the rules, looking through everything again."""

    def event_time(of):
        return max((min(p.event_at, p.timestamp_ms / 1000 + FUTURE_S) for p in of), default=-math.inf)

    states = []
    for number, label in enumerate(labels):
        earlier = [other for other in labels[:number] if other.id == label.id]
        places = [place for place, p in enumerate(predictions) if p.id == label.id]
        counts = bool(places) and event_time(predictions[: places[0]]) <= label.at_s + H
        if earlier:
            states.append("duplicate" if same(earlier[0].label, label.label) else "conflicting")
        elif counts:
            states.append("joined" if label.at_s - predictions[places[0]].event_at <= H else "expired")
        else:
            states.append("orphan" if event_time(predictions) > label.at_s + H else "pending")
    coordinates = {(p.id, p.identity) for p in predictions}
    return Counter(states), len(coordinates) - len({event_id for event_id, _ in coordinates})


@given(logs(furthest=20))
def test_the_recount_is_the_naive_definition(drawn):
    """Where no id is ever forgotten each label has one state, and it is the one of the rules."""
    predictions, labels = drawn

    ledger = recount(predictions, labels, H)

    states, duplicates = naive(predictions, labels)
    assert (ledger.least, ledger.most) == (states, states)
    assert ledger.duplicate_prediction == duplicates
    assert len(ledger.joined) == states["joined"]
    assert {p.id for p in ledger.predicted} == {p.id for p in predictions}


@given(logs(furthest=20), st.integers(0, 14), st.integers(0, 12))
def test_a_recount_of_a_beginning_is_what_was_known_then(drawn, n_predictions, n_labels):
    """A prefix of both logs is judged as if there were no more."""
    predictions, labels = drawn
    some = predictions[:n_predictions], labels[:n_labels]

    assert recount(*some, H).least == naive(*some)[0]


def worker(predictions, labels, steps):
    """What the worker's ledger counts, reading the logs interleaved as *steps* say, and what it tells between them."""
    seen_predictions = [
        SeenPrediction(p.offset, entry_key(p.id), p.source.offset, 1, p.event_at, p.timestamp_ms / 1000, 1.0, 0.5)
        for p in predictions
    ]
    seen_labels = [SeenLabel(r.offset, entry_key(r.id), r.at_s, float(r.label == "yes")) for r in labels]
    ledger = Ledger(DictStore(), CONTRACT)
    found, waypoints = [], []
    read = SimpleNamespace(predictions=0, labels=0)
    for is_label, many in [*steps, (True, 99), (False, 99)]:
        if is_label:
            part = seen_labels[read.labels : read.labels + many]
            read.labels += len(part)
            found += ledger.add_labels(part, read.labels)
        else:
            part = seen_predictions[read.predictions : read.predictions + many]
            read.predictions += len(part)
            found += ledger.add_predictions(part, read.predictions)
        ledger.checkpoint()
        too_late = sum(contribution.kind.value == "too_late" for contribution in found)
        waypoints.append(Waypoint(read.predictions, read.labels, too_late))
    counted = Counter(contribution.kind.value for contribution in found)
    judged = ("joined", "expired", "orphan", "duplicate", "conflicting", "too_late")
    counted["pending"] = len(labels) - sum(counted[state] for state in judged)
    joined = [c for c in found if c.kind is Kind.JOINED]
    return counted, joined, [c for c in found if c.kind is Kind.PREDICTED], ledger.event_time_s, waypoints


@pytest.mark.parametrize("furthest", [20, 39, 80, 400])
@settings(deadline=None)
@given(data=st.data())
def test_the_worker_never_leaves_the_bounds_of_the_checker(furthest, data):
    """However the two topics are read, ids forgotten and used again: what the worker counts passes the checker.

    Also if some of the records that tell how they were read are gone.
    """
    predictions, labels = data.draw(logs(furthest=furthest))
    steps = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=10))

    counted, joined, predicted, event_time_s, waypoints = worker(predictions, labels, steps)

    kept = [each for each in waypoints[:-1] if data.draw(st.booleans())] + waypoints[-1:]
    ledger = recount(predictions, labels, H, course=Course(kept))
    assert event_time_s == ledger.event_time_s
    for state in ("pending", "joined", "expired", "orphan", "duplicate", "conflicting", "too_late"):
        assert ledger.least[state] <= counted[state] <= ledger.most[state], (state, counted, ledger)
    assert counted["duplicate_prediction"] == ledger.duplicate_prediction
    assert sorted(c.event_at for c in predicted) == sorted(p.event_at for p in ledger.predicted)
    sure = Counter(j.prediction.event_at for j in ledger.joined if j.is_sure)
    possible = Counter(j.prediction.event_at for j in ledger.joined)
    found = Counter(c.event_at for c in joined)
    assert sure <= found <= possible
