"""Counts in table rows, and what is published of them."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest

from app.feedback import Contribution, Kind
from app.performance import Counters, PerformanceIndex, Retention, Tallies, performance_records
from app.performance.counters import confusion_cell
from app.records import Positions
from tests.makers import a_contract

DAY = 86400
contract = partial(a_contract, classes=(False, True), name="fraud", windows_s=(60, 3600))


def predicted(offset, event_at, version=1):
    """A first prediction."""
    return Contribution(Kind.PREDICTED, offset, -1, version=version, event_at=event_at)


def joined(prediction_offset, label_offset, event_at, *, version=1, y_true=1, y_pred=1, p_true=0.5):
    """A label that joined when it was read."""
    return Contribution(
        Kind.JOINED,
        prediction_offset,
        label_offset,
        read=True,
        version=version,
        event_at=event_at,
        at=event_at,
        y_true=y_true,
        y_pred=y_pred,
        p_true=p_true,
    )


def other(kind, label_offset, **fields):
    """A label in another state."""
    return Contribution(kind, -1, label_offset, read=True, **fields)


def published(changes, of=None, partition=0):
    """The records as JSON, by key; None for tombstones."""
    records = performance_records(changes, of or contract(), partition)
    return {key.decode(): None if value is None else json.loads(value) for key, value in records}


def test_a_pane_is_published_with_counters_and_rates():
    """The record of a pane, field by field."""
    tallies = Tallies({}, contract(), 3)
    events = [predicted(0, 125.0), predicted(1, 130.0), joined(0, 0, 125.0, y_true=0, p_true=0.25)]
    changes = tallies.apply(events, Positions(2, 1), event_time_s=130.0)
    records = published(changes, partition=3)
    assert set(records) == {"1/all/60/120/3", "1/all/3600/0/3", "ledger/3"}
    assert records["1/all/60/120/3"] == {
        "version": 1,
        "slice": "all",
        "window_s": 60,
        "start_s": 120,
        "end_s": 180,
        "partition": 3,
        "positions": {"predictions": 2, "labels": 1},
        "predicted": 2,
        "n": 1,
        "confusion": {"false": {"true": 1}},
        "n_log_loss": 1,
        "log_loss_sum": pytest.approx(-math.log(0.25)),
        "coverage": 0.5,
        "accuracy": 0.0,
        "precision": 0.0,
        "f1": 0.0,
        "log_loss": pytest.approx(-math.log(0.25)),
    }


def test_the_ledger_record_counts_every_state():
    """Pending is what was read and is in no other state."""
    tallies = Tallies({}, contract(), 0)
    kinds = [Kind.EXPIRED, Kind.ORPHAN, Kind.DUPLICATE, Kind.CONFLICTING, Kind.TOO_LATE, Kind.PENDING, Kind.PENDING]
    events = [predicted(0, 5.0, version=2), joined(0, 0, 5.0, version=2)]
    events += [other(kind, 1 + n) for n, kind in enumerate(kinds)]
    events += [
        Contribution(Kind.DUPLICATE_PREDICTION, 1, -1),
        Contribution(Kind.PENDING_DROPPED, 2, -1, n=5, n_labels=1),
    ]
    changes = tallies.apply(events, Positions(3, 8), event_time_s=5.0)
    assert published(changes)["ledger/0"] == {
        "partition": 0,
        "positions": {"predictions": 3, "labels": 8},
        "pending": 1,
        "joined": 1,
        "expired": 1,
        "orphan": 1,
        "duplicate": 1,
        "conflicting": 1,
        "too_late": 1,
        "duplicate_prediction": 1,
        "pending_dropped": 5,
        "event_time_s": 5.0,
        "totals": {
            "2": {
                "predicted": 1,
                "n": 1,
                "confusion": {"true": {"true": 1}},
                "n_log_loss": 1,
                "log_loss_sum": pytest.approx(math.log(2)),
            }
        },
    }


def test_before_the_first_prediction_there_is_no_event_time():
    """Absent means omitted."""
    tallies = Tallies({}, contract(), 0)
    changes = tallies.apply([other(Kind.PENDING, 0)], Positions(0, 1), event_time_s=-math.inf)
    assert "event_time_s" not in published(changes)["ledger/0"]


def test_a_regression_publishes_errors():
    """And no confusion."""
    of = contract(task="regression", classes=())
    tallies = Tallies({}, of, 0)
    events = [predicted(0, 5.0), joined(0, 0, 5.0, y_true=3.0, y_pred=1.0, p_true=math.nan)]
    record = published(tallies.apply(events, Positions(1, 1), event_time_s=5.0), of)["1/all/60/0/0"]
    assert (record["abs_error_sum"], record["sq_error_sum"], record["mae"], record["rmse"]) == (2.0, 4.0, 2.0, 2.0)
    assert "confusion" not in record
    assert "log_loss_sum" not in record


def test_a_batch_writes_a_handful_of_rows_and_the_ledger_row_last():
    """Sixteen neighbouring panes share a row."""
    rows = {}
    tallies = Tallies(rows, contract(), 0)
    tallies.apply([predicted(n, n * 60.0) for n in range(16)], Positions(16, 0), event_time_s=900.0)
    assert list(rows) == ["fraud/0/1/all/60/0", "fraud/0/1/all/3600/0", "fraud/0/ledger"]


def test_what_the_rows_hold_is_not_counted_again():
    """A row that became durable when the ledger row did not any more is taken back, and counts anew."""
    before = {}
    Tallies(before, contract(), 0).apply([predicted(0, 5.0)], Positions(1, 0), event_time_s=5.0)
    after = dict(before)
    events = [predicted(1, 6.0), predicted(2, 70.0), joined(0, 0, 5.0)]
    tallies = Tallies(after, contract(), 0)
    whole = tallies.apply(events, Positions(3, 1), event_time_s=70.0)
    torn = before | {"fraud/0/1/all/60/0": after["fraud/0/1/all/60/0"]}
    tallies = Tallies(torn, contract(), 0)
    assert tallies.waypoints() == [Positions(1, 0)]
    assert published(tallies.everything())["1/all/60/0/0"]["predicted"] == 1
    tallies.apply([predicted(0, 5.0), *events], Positions(3, 1), event_time_s=70.0)
    assert torn == after
    assert tallies.waypoints() == [Positions(3, 1)]
    assert published(tallies.everything()) == published(Tallies(after, contract(), 0).everything())
    assert published(whole)["ledger/0"] == published(tallies.everything())["ledger/0"]


def test_a_row_that_is_ahead_is_taken_back_even_if_nothing_is_counted_in_it_again():
    """Else the ledger row would pass it by, and it would hold what another reading may count elsewhere."""
    before = {}
    Tallies(before, contract(), 0).apply([predicted(0, 5.0)], Positions(1, 0), event_time_s=5.0)
    after = dict(before)
    Tallies(after, contract(), 0).apply([joined(0, 0, 5.0)], Positions(1, 1), event_time_s=5.0)
    torn = before | {"fraud/0/1/all/60/0": after["fraud/0/1/all/60/0"]}
    tallies = Tallies(torn, contract(), 0)
    tallies.apply([other(Kind.TOO_LATE, 0)], Positions(1, 1), event_time_s=5.0)
    found = published(Tallies(torn, contract(), 0).everything())
    assert (found["1/all/60/0/0"]["n"], found["ledger/0"]["joined"], found["ledger/0"]["too_late"]) == (0, 0, 1)


def test_partitions_do_not_see_each_others_rows():
    """One table holds several partitions and pipelines."""
    rows = {}
    for partition in (1, 11):
        events = [predicted(n, 5.0) for n in range(partition)]
        Tallies(rows, contract(), partition).apply(events, Positions(partition, 0), event_time_s=5.0)
    Tallies(rows, contract(name="other"), 1).apply([], Positions(9, 9), event_time_s=5.0)
    assert Tallies(rows, contract(), 1).waypoints() == [Positions(1, 0)]
    assert Tallies(rows, contract(), 11).ledger.totals[1].predicted == 11
    assert len(Tallies(rows, contract(), 1).everything().panes) == 2


def test_old_panes_are_dropped_and_the_totals_stay():
    """By their width, after so much event time; what is older when it comes is in the totals alone."""
    rows = {}
    tallies = Tallies(rows, contract(), 0, retention=Retention(under_an_hour_s=DAY, under_a_day_s=3 * DAY))
    tallies.apply([predicted(0, 100.0)], Positions(1, 0), event_time_s=100.0)
    kept = tallies.apply([], Positions(1, 1), event_time_s=DAY + 959.0)
    assert kept.gone == []
    changes = tallies.apply([predicted(1, 110.0)], Positions(2, 1), event_time_s=DAY + 960.0)
    records = published(changes)
    assert records["1/all/60/60/0"] is None
    assert records["1/all/3600/0/0"]["predicted"] == 2
    assert records["ledger/0"]["totals"]["1"]["predicted"] == 2
    assert "fraud/0/1/all/60/0" not in rows
    tallies = Tallies(rows, contract(), 0, retention=Retention(under_an_hour_s=DAY, under_a_day_s=3 * DAY))
    records = published(tallies.apply([], Positions(2, 1), event_time_s=9 * DAY))
    assert records["1/all/3600/0/0"] is None
    assert list(rows) == ["fraud/0/ledger"]


def test_default_retention_follows_the_width():
    """Two days under an hour, sixty under a day, four hundred for others."""
    assert [Retention().keep_s(width) / DAY for width in (60, 3599, 3600, DAY - 1, DAY)] == [2, 2, 60, 60, 400]


def test_changes_of_several_batches_are_published_at_once():
    """The later value of a pane, and nothing of one that is gone."""
    tallies = Tallies({}, contract(windows_s=(60,)), 0, retention=Retention(under_an_hour_s=DAY))
    first = tallies.apply([predicted(0, 0.0)], Positions(1, 0), event_time_s=0.0)
    second = tallies.apply([predicted(1, 0.0), predicted(2, 60.0)], Positions(3, 0), event_time_s=60.0)
    records = published(first.then(second))
    assert (records["1/all/60/0/0"]["predicted"], records["1/all/60/60/0"]["predicted"]) == (2, 1)
    third = tallies.apply([predicted(3, 9.0 * DAY)], Positions(4, 0), event_time_s=9.0 * DAY)
    records = published(first.then(second).then(third))
    assert [key for key, value in records.items() if value is None] == ["1/all/60/0/0", "1/all/60/60/0"]
    assert records[f"1/all/60/{9 * DAY}/0"]["predicted"] == 1


@pytest.fixture(name="index")
def _index():
    """Two partitions and two versions: minutes 0 and 60 of each."""
    index = PerformanceIndex(contract())
    for partition in (0, 1):
        tallies = Tallies({}, contract(), partition)
        events = [predicted(n, 60.0 * (n // 2), version=1 + n % 2) for n in range(4)]
        events += [joined(n, n, 60.0 * (n // 2), version=1 + n % 2, y_pred=int(n < 2)) for n in range(4)]
        feed(index, tallies.apply(events, Positions(4, 4), event_time_s=60.0 + partition), partition)
    return index


def feed(index, changes, partition=0):
    """Publish *changes* to *index*."""
    for key, value in performance_records(changes, contract(), partition):
        index.feed(key, value)


def test_the_index_answers_for_all_partitions_and_versions(index):
    """Everything, where nothing is asked for."""
    answer = index.query()
    assert (answer["pipeline"], answer["window_s"]) == ("fraud", 60)
    assert "version" not in answer
    assert {name: answer["total"][name] for name in ("n", "predicted", "coverage", "accuracy", "recall")} == {
        "n": 8,
        "predicted": 8,
        "coverage": 1.0,
        "accuracy": 0.5,
        "recall": 0.5,
    }
    assert [(p["start_s"], p["end_s"], p["n"], p["accuracy"]) for p in answer["panes"]] == [
        (0, 60, 4, 1.0),
        (60, 120, 4, 0.0),
    ]
    assert answer["labels"]["joined"] == 8
    assert answer["labels"]["pending"] == 0


def test_the_index_answers_for_one_version_window_and_time(index):
    """`panes` start in [from, to), and `total` is then their sum."""
    answer = index.query(version=2, from_s=60, to_s=120)
    assert (answer["version"], answer["total"]["n"], len(answer["panes"])) == (2, 2, 1)
    assert index.query(to_s=60)["total"]["n"] == 4
    assert index.query(version=9)["total"] == {"n": 0, "predicted": 0}
    answer = index.query(window_s=3600)
    assert [(p["start_s"], p["n"]) for p in answer["panes"]] == [(0, 8)]
    with pytest.raises(ValueError, match="the contract has 60, 3600"):
        index.query(window_s=61)


#  E = 61; window 60: finest panes that start in (1, 61] | window 3600: those in (-3539, 61]
def test_now_is_the_finest_panes_of_the_last_window(index):
    """Aligned to E, whatever the window's own panes are."""
    assert index.query(window_s=60)["now"]["n"] == 4
    assert index.query(window_s=3600)["now"]["n"] == 8


def test_the_edges_of_now():
    """The pane that starts at E counts; the one that starts a window before does not."""
    index = PerformanceIndex(contract())
    tallies = Tallies({}, contract(), 0)
    feed(index, tallies.apply([predicted(n, 60.0 * n) for n in range(3)], Positions(3, 0), event_time_s=120.0))
    assert index.query(window_s=60)["now"]["predicted"] == 1
    assert PerformanceIndex(contract()).query()["now"] == {"n": 0, "predicted": 0}


def test_the_index_ignores_lower_positions_and_takes_tombstones(index):
    """A zombie's late record changes nothing; a repeated one may."""
    old = Tallies({}, contract(), 0).apply([predicted(0, 0.0)], Positions(1, 0), event_time_s=0.0)
    feed(index, old)
    assert index.ignored == 3
    assert index.query()["total"]["predicted"] == 8
    index.feed(b"1/all/60/0/0", None)
    assert [p["n"] for p in index.query()["panes"]] == [3, 4]
    index.feed(b"1/all/60/0/1", None)
    index.feed(b"2/all/60/0/0", None)
    index.feed(b"2/all/60/0/1", None)
    assert [p["start_s"] for p in index.query()["panes"]] == [60]
    assert index.query()["total"]["n"] == 8
    index.feed(b"ledger/0", None)
    assert index.query()["total"]["n"] == 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"\xff", b"{}"),
        (b"ledger/x", b"{}"),
        (b"ledger/0", b"{}"),
        (b"ledger/0", b"[]"),
        (b"1/all/60/0/0", b"{"),
        (b"1/all/61/0/0", b"{}"),
        (
            b"1/all/60/0/0",
            b'{"positions":{"predictions":9,"labels":9},"predicted":1,"n":1,"confusion":{"egg":{"egg":1}}}',
        ),
        (b"1/vip/60/0/0", b"{}"),
    ],
)
def test_the_index_ignores_what_it_does_not_know(index, key, value):
    """The topic is open to others."""
    before = index.query()
    index.feed(key, value)
    assert index.ignored == 1
    assert index.query() == before


def test_the_summary_tells_each_version(index):
    """Totals and now, labels and E."""
    found = index.summary()
    assert found["event_time_s"] == 61.0
    assert {version: each["total"]["n"] for version, each in found["versions"].items()} == {"1": 4, "2": 4}
    assert found["versions"]["1"]["now"]["n"] == 2
    assert found["labels"]["joined"] == 8
    assert "event_time_s" not in PerformanceIndex(contract()).summary()


def test_counters_never_change_in_place():
    """A sum is a new value."""
    one = Counters(1, 1, {confusion_cell(0, 1): 1}, 1, 0.5)
    assert one + one == Counters(2, 2, {confusion_cell(0, 1): 2}, 2, 1.0)
    assert one == Counters(1, 1, {confusion_cell(0, 1): 1}, 1, 0.5)
    with pytest.raises(AttributeError):
        one.n = 5
