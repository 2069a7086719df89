"""Which record of the demo is due when; pure, so that a run can be told from its arguments."""

from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from app.demo.broken import FAULTS
from app.demo.phishing import load_cases
from app.demo.schedule import BROKEN_EVERY, LABEL_DELAY_S, Schedule
from app.errors import Reason
from app.features import BatchDecoder, Contract
from models.fraud import definition
from tests.makers import Given

CASES = load_cases().streamed
CONTRACT = Contract.load(definition.RELEASES.with_name("contract.toml"))


def taken(seconds: float, *, rate: float = 100.0, step_s: float = 0.25, cases=CASES) -> list:
    """What a schedule gives in *seconds* when asked every *step_s*."""
    schedule = Schedule(cases, rate=rate, start_s=1_000.0)
    steps = int(seconds / step_s)
    return [record for step in range(steps + 1) for record in schedule.take(1_000.0 + step * step_s)]


def decoded(records):
    """The features among *records*, decoded by the demo's contract."""
    return BatchDecoder(CONTRACT).decode(
        [Given(r.value, offset=i, key=r.key) for i, r in enumerate(r for r in records if not r.is_label)]
    )


def test_features_come_at_the_rate_that_was_asked_for():
    """Ten seconds at 100 a second are the record at second 0 and 1,000 more."""
    features = [record for record in taken(10) if not record.is_label]

    assert len(features) == 1001
    assert all(later.due_s - earlier.due_s == pytest.approx(0.01) for earlier, later in pairwise(features))


def test_it_does_not_matter_how_often_one_asks():
    """Asking every 5 ms or once at the end gives the same records."""
    assert sorted(taken(10, step_s=0.005)) == sorted(taken(10, step_s=10))


def test_records_are_due_in_order():
    """What one call gives is in order of due time, features and labels mixed."""
    records = taken(20, step_s=20)

    assert records == sorted(records, key=lambda record: record.due_s)


def test_each_valid_event_gets_its_label_seconds_later_under_its_key():
    """Every event is labelled once, 1 to 5 s after it happened, and nothing else is."""
    schedule = Schedule(CASES, rate=100.0, start_s=1_000.0)
    records = schedule.take(1_030.0)
    assert schedule.labels_waiting > 0
    records += schedule.take(1_040.0, intake=False)

    events = decoded(records)
    labels = {record.key.decode(): msgspec.json.decode(record.value) for record in records if record.is_label}

    assert schedule.labels_waiting == 0
    assert sorted(labels) == sorted(events.ids)
    for event_id, at_s in zip(events.ids, events.event_at_s, strict=True):
        assert labels[event_id]["id"] == event_id
        assert LABEL_DELAY_S[0] <= labels[event_id]["at"] - at_s <= LABEL_DELAY_S[1]


def test_without_intake_only_labels_come():
    """After the intake stopped the labels that are owed still follow."""
    schedule = Schedule(CASES, rate=100.0, start_s=1_000.0)
    schedule.take(1_010.0)

    later = schedule.take(1_020.0, intake=False)

    assert later
    assert all(record.is_label for record in later)


def test_ids_are_unique_although_the_cases_come_again():
    """A second pass streams the same cases under new ids."""
    cases = CASES[:50]
    schedule = Schedule(cases, rate=100.0, start_s=1_000.0)

    events = decoded(schedule.take(1_002.0))

    assert schedule.pass_number == 4
    assert len(events.ids) == len(set(events.ids)) == 199
    assert events.ids[0] == cases[0].id
    assert events.ids[50] == f"{cases[0].id}~2"
    assert (events.matrix()[:50] == events.matrix()[50:100]).all()


def test_the_labels_are_the_truth_of_the_data_set():
    """Nobody made the labels up: each is that of its row."""
    truth = {case.id: case.label for case in CASES}

    labels = [msgspec.json.decode(record.value) for record in taken(20) if record.is_label]

    assert all(truth[label["id"].partition("~")[0]] == label["label"] for label in labels)


def test_each_hundredth_record_is_broken_and_every_fault_comes_round():
    """The contract rejects exactly the broken ones, for exactly the reasons they were broken for."""
    rejected = decoded(taken(16)).rejected

    assert [fault.position + 1 for fault in rejected] == [BROKEN_EVERY * n for n in range(1, 17)]
    assert Counter(fault.reason for fault in rejected) == dict.fromkeys(FAULTS, 2)
    assert len(FAULTS) >= 6
    assert set(FAULTS) <= set(Reason)
