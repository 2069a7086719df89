"""The checker on pipelines that are joined by id: a clean one passes, and each kind of violation is found."""

import pytest

from tests import verify_by_id
from tests.verify_by_id import ByIdHandMade


def found(report):
    """All violations as (check, kind), with their counts."""
    return {(check.name, kind): n for check in report.checks.values() for kind, n in check.counts.items()}


def test_a_clean_pipeline_passes():
    """Nothing is found, and each good prediction and label was looked for on the ledger topic."""
    report = ByIdHandMade().judge()

    assert report.as_text().endswith("all invariants hold"), report.as_text()
    assert report.checks["rekeyed"].checked == 28 + 21
    assert (report.checks["ledger"].checked, report.checks["labels"].checked) == (21, 22)


@pytest.mark.parametrize("seed", verify_by_id.SEEDS, ids=lambda seed: seed.__name__)
def test_a_seeded_violation_is_found(seed):
    """Each is told under its check and kind, and the report fails."""
    made = ByIdHandMade()
    seed(made)
    report = made.judge()

    assert verify_by_id.SEEDS[seed] in found(report), report.as_text()
    assert not report.ok


def test_what_is_not_re_keyed_yet_may_wait():
    """With allow_behind the last records of a topic need not be on the ledger topic, the earlier ones must."""
    made = ByIdHandMade()
    label = made.append("labels", 2, None, {"id": made.id_of("f3"), "label": "bad", "at": 1_700_000_100.0}, 1)
    report = made.judge(allow_behind=True)
    assert found(report) == {}
    assert "toy.labels[2]: its last 1 good records are not on the ledger topic" in report.notes

    made.rekey(label)
    verify_by_id.lost_label(made)
    assert ("rekeyed", "lost") in found(made.judge(allow_behind=True))


def test_dead_letters_need_room_for_every_partition_number():
    """A bad label of partition 2 has no place where dead letters have two partitions."""
    made = ByIdHandMade()
    before = made.partitions
    made.partitions = lambda topic: 2 if topic.endswith("dead-letters") else before(topic)

    assert ("partitions", "too_few") in found(made.judge())
