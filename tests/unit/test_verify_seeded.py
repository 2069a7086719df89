"""The checker passes a clean pipeline and finds each kind of violation that is seeded into it."""

import json

import pytest

from tests import verify_hand_made as hand_made
from verify.report import CannotCheck

Rules = hand_made.Rules


def found(report):
    """All violations as (check, kind), with their counts."""
    return {(check.name, kind): n for check in report.checks.values() for kind, n in check.counts.items()}


def test_a_clean_pipeline_passes():
    """Nothing is found in a consistent pipeline, and every check has judged something."""
    report = hand_made.HandMade().judge()

    assert report.as_text().endswith("all invariants hold")
    assert {name: check.checked for name, check in report.checks.items()} == {
        "partitions": 4,
        "models": 2,
        "panes": 10,
        "predictions": 28,
        "dead_letters": 3,
        "outcomes": 30,
        "versions": 28,
        "scores": 28,
        "sums": 30,
        "labels": 22,
        "ledger": 21,
        "totals": 3,
    }


@pytest.mark.parametrize("seed", hand_made.SEEDS, ids=lambda seed: seed.__name__)
def test_a_seeded_violation_is_found(seed):
    """Each kind of violation is told under its check, and the report fails."""
    made = hand_made.HandMade()
    seed(made)

    report = made.judge()

    assert hand_made.SEEDS[seed] in found(report)
    assert not report.ok


def copy_of(made, text=b'"e3"', **content):
    """A second prediction of an event, counted as read in the tallies; *content* is what it has otherwise."""
    at = made.find("predictions", 0, text)
    record = made.records["predictions", 0][at]
    copy = made.append("predictions", 0, record.key, record.value, record.timestamp_ms, record.headers)
    made.amend("predictions", 0, copy.offset, content=content or {"scored_at": 1.0})
    row = made.find("performance", 0, b"ledger/0")
    positions = {"predictions": copy.offset + 1, "labels": len(made.records["labels", 0])}
    made.amend("performance", 0, row, content={"positions": positions})
    return json.loads(record.value)


def test_a_copy_is_no_violation_where_redelivery_may_be():
    """Equal coordinates, equal id and version, close scores; `scored_at` may differ."""
    made = hand_made.HandMade()
    score = json.loads(made.records["predictions", 0][made.find("predictions", 0, b'"e3"')].value)["score"]
    copy_of(made, score=score * (1 + 5e-6), scored_at=1.0)

    assert found(made.judge(rules=Rules())) == {}
    assert found(made.judge()) == {("outcomes", "doubled"): 1}


@pytest.mark.parametrize("change", [{"id": "e3x"}, {"version": 2}, {"score": 0.1, "prediction": "good"}])
def test_a_copy_that_says_something_else_is_told(change):
    """Id, version and scores are those of the first."""
    made = hand_made.HandMade()
    copy_of(made, **change)

    assert found(made.judge(rules=Rules()))["outcomes", "copy_differs"] == 1


def test_a_copy_of_a_dead_letter_is_no_violation_where_redelivery_may_be():
    """The same bytes and reason again."""
    made = hand_made.HandMade()
    made.dead_letter(made.records["features", 0][7], "not_json")

    assert found(made.judge(rules=Rules())) == {}
    assert found(made.judge()) == {("outcomes", "doubled"): 1}


def test_only_committed_records_must_have_an_outcome():
    """What is not committed yet may still be under way."""
    made = hand_made.HandMade()
    hand_made.lose_event(made)
    made.committed = lambda _topic, partition: 19 if partition == 0 else 10

    waiting = made.judge(rules=Rules(committed_only=True), feedback=False)
    lost = made.judge(feedback=False)

    assert (found(waiting), found(lost)[("outcomes", "lost")]) == ({}, 1)


def test_a_record_far_ahead_of_the_clock_did_not_wait_for_activations():
    """It may be scored with any version that was in force to a reader who knew less."""
    made = hand_made.HandMade()
    at = made.find("predictions", 0, b'"e15"')
    hand_made.wrong_version(made)
    assert ("versions", "wrong_version") in found(made.judge(feedback=False))

    made.amend("predictions", 0, at, content={"scored_at": hand_made.START_S + 80.0})

    assert found(made.judge(feedback=False)) == {}


def test_a_large_value_may_be_cut_if_size_and_digest_are_told():
    """The beginning stands there, headers tell the whole."""
    made = hand_made.HandMade()
    record = made.records["dead-letters", 0][0]
    headers = {"truncated": b"true", "size": str(len(record.value)).encode()}
    headers["sha256"] = hand_made.digest_of(record.value).encode()
    made.amend("dead-letters", 0, 0, value=record.value[:3], headers=headers)

    assert found(made.judge()) == {}


def test_a_prediction_of_a_foreign_program_is_joined_but_not_rescored():
    """It needs little, and is no outcome of a record."""
    made = hand_made.HandMade()
    content = {"id": "theirs", "version": 9, "prediction": "good", "event_at": hand_made.START_S}
    made.append("predictions", 0, b"acc", content, hand_made.START_S * 1000)

    report = made.judge()

    assert "partition 0: 1 predictions of foreign programs" in report.notes
    assert set(found(report)) == {("ledger", "behind")}


def test_a_record_that_is_no_prediction_may_be_a_dead_letter():
    """Another program's mistake is noted; a dead letter of a good prediction is a violation."""
    made = hand_made.HandMade()
    nonsense = made.append("predictions", 1, b"acc", b"nonsense", hand_made.START_S * 1000)
    made.dead_letter(nonsense, "not_json")
    copied = made.records["predictions", 1][0]
    ledger = made.find("performance", 0, b"ledger/1")
    made.amend("performance", 0, ledger, content={"positions": {"predictions": 11, "labels": 10}})
    assert found(made.judge()) == {}

    made.dead_letter(copied, "not_json")

    assert found(made.judge()) == {("dead_letters", "undeserved"): 1}


def test_what_retention_has_deleted_is_not_missed():
    """An outcome may be older than the first record that is left."""
    made = hand_made.HandMade()
    del made.records["features", 0][:5]

    report = made.judge()

    assert found(report) == {}
    assert "partition 0: 5 predictions are of records that retention has deleted" in report.notes


def test_a_pane_may_be_gone_after_its_time():
    """Panes under an hour are kept for two days of event time."""
    made = hand_made.HandMade()
    hand_made.missing_pane(made)
    for partition in (0, 1):
        row = made.find("performance", 0, f"ledger/{partition}".encode())
        made.amend("performance", 0, row, content={"event_time_s": ...})

    two_days_s = 2 * 86400
    late = {"id": "z", "version": 1, "prediction": "good", "event_at": hand_made.START_S + two_days_s + 60}
    made.append("predictions", 1, b"acc", late, (hand_made.START_S + two_days_s) * 1000)
    row = made.find("performance", 0, b"ledger/1")
    made.amend("performance", 0, row, content={"positions": {"predictions": 11, "labels": 10}})

    told = made.judge().checks["panes"].violations

    assert not any(f"/60/{hand_made.START_S}/0" in violation.where for violation in told)


def test_nothing_exact_is_claimed_after_pending_was_dropped():
    """The report says so, and judges neither states nor panes of that partition."""
    made = hand_made.HandMade()
    row = made.find("performance", 0, b"ledger/0")
    made.amend("performance", 0, row, content={"pending_dropped": 3, "joined": 5})

    report = made.judge()

    assert found(report) == {}
    assert any("has dropped 3 pending ids" in note for note in report.notes)
    assert report.facts["pending_dropped"] == {"0": 3}


def test_tallies_that_are_behind_are_judged_at_their_own_positions():
    """With allow_behind what they have counted must be right, what they have not is no violation."""
    made = hand_made.HandMade()
    made.label(1, "f3", "bad", 90)
    assert found(made.judge()) == {("ledger", "behind"): 1}

    report = made.judge(allow_behind=True)

    assert found(report) == {}
    assert any("ledger/1 is behind" in note for note in report.notes)


def test_topics_that_are_missing_cannot_be_judged():
    """Unless feedback is not asked for."""
    made = hand_made.HandMade()
    made.partitions = lambda topic: 0 if topic.endswith(("labels", "performance")) else 2

    with pytest.raises(CannotCheck, match=r"toy\.performance, toy\.labels"):
        made.judge()
    assert found(made.judge(feedback=False)) == {}


def test_topics_must_have_equal_partition_counts():
    """That number is how far a pipeline scales."""
    made = hand_made.HandMade()
    made.partitions = lambda topic: 1 if topic.endswith((".models", "bytes", "events", "performance")) else 2
    made.records["labels", 2] = []
    before = made.partitions
    made.partitions = lambda topic: 3 if topic.endswith("labels") else before(topic)

    assert ("partitions", "unequal") in found(made.judge())


def test_a_report_keeps_the_first_violations_of_a_kind_and_counts_all():
    """So that a broken pipeline does not fill the memory."""
    made = hand_made.HandMade()
    hand_made.late_activation_obeyed(made)

    report = made.judge(keep=3)

    told = report.as_json()["checks"]["versions"]
    assert told["found"] == {"wrong_version": 10}
    assert [violation["where"] for violation in told["violations"]] == [f"toy.predictions[0]@{n}" for n in (8, 9, 10)]
    assert "versions: wrong_version: 10, the first 3" in report.as_text()


def test_a_pane_that_is_older_than_its_ledger_is_judged_at_its_own_positions():
    """The two are written one after the other, so while the tallies are behind a pane may be as of before."""
    made = hand_made.HandMade()
    row = made.find("performance", 0, hand_made.PANE)
    was = json.loads(made.records["performance", 0][row].value)
    # As of 2 predictions and no label: e0 and e1 were predicted, nothing had joined.
    before = {"predicted": 2, "n": 0, "confusion": {}, "n_log_loss": 0, "log_loss_sum": 0.0, "coverage": 0.0}
    gone = dict.fromkeys(was.keys() & {"accuracy", "precision", "recall", "f1", "log_loss"}, ...)
    made.amend("performance", 0, row, content={**before, **gone, "positions": {"predictions": 2, "labels": 0}})

    assert found(made.judge(allow_behind=True)) == {}
    assert ("panes", "wrong_counter") in found(made.judge())
