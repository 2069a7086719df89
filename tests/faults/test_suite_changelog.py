"""The table folded from its changelog against `performance`: whatever the two say differently is found."""

from __future__ import annotations

import copy

import msgspec
import pytest

from tests.faults.suite.changelog import differences, folded

COUNTERS = [3, 2, {0: 1, 1 << 16: 1}, 2, 1.5, 0.0, 0.0]
PUBLISHED = {
    "predicted": 3, "n": 2, "confusion": {"0": {"0": 1}, "1": {"0": 1}}, "n_log_loss": 2, "log_loss_sum": 1.5,
}  # fmt: skip
LEDGER = [7, 5, 90.0, 4, 0, {"joined": 2, "orphan": 1, "predicted": 3}, {1: COUNTERS}]
KEY, PANE, ROW = b"p/0/ledger", b"1/all/10/1010/0", b"p/0/1/all/10/960"


def changelog():
    """Records of a changelog: a block with one pane, its ledger row, and what that was before."""
    rows = {KEY: LEDGER, ROW: [7, 5, {5: COUNTERS}, [0, 0], {}]}
    return [(KEY, msgspec.msgpack.encode([0] * 7)), *((key, msgspec.msgpack.encode(row)) for key, row in rows.items())]


def told():
    """What `performance` says of the same."""
    ledger = {
        "positions": {"predictions": 7, "labels": 5}, "event_time_s": 90.0, "joined": 2, "orphan": 1, "pending": 1,
        "totals": {"1": copy.deepcopy(PUBLISHED)},
    }  # fmt: skip
    return {b"ledger/0": ledger, PANE: copy.deepcopy(PUBLISHED), b"1/all/10/0/0": None}


def test_a_table_that_says_the_same_differs_in_nothing():
    """The last row of a key counts; panes that are gone from both are none."""
    assert differences(folded(changelog()), told(), "p", ("0", "1")) == []
    assert folded([*changelog(), (ROW, None)]).keys() == {KEY.decode()}


@pytest.mark.parametrize(
    ("key", "path", "value"),
    [
        (PANE, ("n",), 3),
        (PANE, ("predicted",), 2),
        (PANE, ("confusion", "0"), {"1": 1}),
        (PANE, ("log_loss_sum",), 1.6),
        (b"ledger/0", ("joined",), 3),
        (b"ledger/0", ("too_late",), 1),
        (b"ledger/0", ("pending",), 0),
        (b"ledger/0", ("pending_dropped",), 1),
        (b"ledger/0", ("event_time_s",), 91.0),
        (b"ledger/0", ("positions", "labels"), 6),
        (b"ledger/0", ("totals", "1", "n"), 1),
        (b"ledger/0", ("totals", "2"), {}),
    ],
)
def test_each_number_that_differs_is_told(key, path, value):
    """Counts, sums, states, positions, E and totals."""
    other = told()
    *way, last = path
    at = other[key]
    for name in way:
        at = at[name]
    at[last] = value

    assert len(differences(folded(changelog()), other, "p", ("0", "1"))) == 1


def test_rows_that_only_one_of_them_has_are_told():
    """Panes that were never published, or whose row was lost, and partitions likewise."""
    without_pane, gone = {key: each for key, each in told().items() if key != PANE}, told() | {PANE: None}
    rows = folded(changelog())

    for other in (without_pane, gone):
        assert differences(rows, other, "p", ("0", "1")) == [f"{PANE.decode()}: in the table, but not in performance"]
    assert len(differences({}, told(), "p", ("0", "1"))) == 2
