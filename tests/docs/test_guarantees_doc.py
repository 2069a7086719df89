"""The table of faults in docs/guarantees.md is that of the recorded long run."""

from __future__ import annotations

import json

import pytest

from tests.faults.suite import cases
from tests.faults.suite.registry import CASES
from tests.faults.suite.table import PAGE, RECORDED, page_with

SEEDS, RECORDS = 10, 5_000_000
"""Of the long run, in each mode."""

pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="no long run of the fault suite was recorded yet")


def test_the_table_says_what_was_recorded():
    """Seeds, records, copies, violations and times stand on the page as `tests.faults.suite.table` wrote them."""
    text = PAGE.read_text()

    assert page_with(text, json.loads(RECORDED.read_text())) == text


def test_every_case_was_recorded_without_a_violation():
    """In both modes, with ten seeds each and five million records in all, and exactly_once without a copy."""
    assert cases.__all__
    rows = json.loads(RECORDED.read_text())["rows"]

    for mode in ("at_least_once", "exactly_once"):
        of_mode = {row["case"]: row for row in rows if row["mode"] == mode}
        assert of_mode.keys() == {*CASES, "all"}
        assert {name: row["runs"] for name, row in of_mode.items() if row["runs"] < SEEDS} == {}
        assert of_mode["all"]["records"] >= RECORDS
    assert not [row for row in rows if row["violations"] or row["red"]]
    assert not [row for row in rows if row["mode"] == "exactly_once" and row["copies"]]
