"""The checker on events that are rows of records: a clean pipeline passes, and what is wrong with one row is told."""

from collections import defaultdict

import pyarrow as pa
import pytest

from tests import verify_hand_made as hand_made
from tests.arrow_streams import stream
from verify.events import Rules
from verify.report import CannotCheck

ROWS = [(0.5, 1.0), (None, 1.0), (-1.0, 0.25)]
"""a and b of the rows of each record; the second of them lacks a feature."""


def row_headers(record, row):
    """The headers that say which row of *record* an outcome is of."""
    return [*hand_made.coordinates(record), ("source-row", str(row).encode())]


class Rows(hand_made.HandMade):
    """Two records of three rows and one that cannot be read, with their outcomes."""

    def __init__(self):
        self.name = "rows"
        self.contract_text = hand_made.CONTRACT.format(name=self.name).replace("[[", 'encoding = "arrow"\n[[', 1)
        self.records = defaultdict(list)
        self._write_models()
        for number in range(2):
            at = hand_made.START_S + number
            table = self._table(number, ROWS)
            event = self.append("features", 0, b"acc", stream(table, rows_per_batch=2), at * 1000)
            for row, (a, b) in enumerate(ROWS):
                if a is None:
                    self.bury(event, row, stream(table.slice(row, 1)))
                else:
                    self.foretell(event, row, f"r{number}-{row}", a, b, at)
        self.dead_letter(self.append("features", 0, b"acc", b"\xff\xff\xff\xff", at * 1000), "not_json")

    def _table(self, number, rows):
        columns = {"id": [f"r{number}-{row}" for row in range(len(rows))], "account": ["acc"] * len(rows)}
        columns |= {"at": [hand_made.START_S + number] * len(rows), "a": [a for a, _ in rows]}
        return pa.table(columns | {"inner": [{"b": b} for _, b in rows]})

    def foretell(self, event, row, *prediction):
        """The prediction of a row."""
        self.predict(event, prediction[0], 1, *prediction[1:])
        made = self.records["predictions", 0][-1]
        self.amend("predictions", 0, made.offset, headers={"source-row": str(row).encode()})

    def bury(self, event, row, value):
        """The dead letter of a row."""
        self.dead_letter(event, "missing_feature")
        made = self.records["dead-letters", 0][-1]
        self.amend("dead-letters", 0, made.offset, headers={"source-row": str(row).encode()}, value=value)

    def found(self, **rules):
        """What the checker finds, as (check, kind)."""
        report = self.judge(rules=Rules(**{"copies": False, **rules}), feedback=False)
        return {(check.name, kind) for check in report.checks.values() for kind in check.counts}


def lose(made):
    """The prediction of one row is gone, that of its neighbour stands."""
    made.remove("predictions", 0, 1)


def lose_letter(made):
    """A bad row has no dead letter."""
    made.remove("dead-letters", 0, 0)


def double(made):
    """The prediction of a row stands twice."""
    made.records["predictions", 0].append(made.records["predictions", 0][0]._replace(offset=4))


def no_such_row(made):
    """A prediction is of a row that the record has not."""
    made.amend("predictions", 0, 1, headers={"source-row": b"3"})


def without_row(made):
    """A prediction does not say of which row it is."""
    made.amend("predictions", 0, 1, drop_header="source-row")


def another_row(made):
    """Two predictions have changed places: ids and scores are not those of their rows."""
    made.amend("predictions", 0, 0, headers={"source-row": b"2"})
    made.amend("predictions", 0, 1, headers={"source-row": b"0"})


def whole_record(made):
    """The dead letter of a row has all of its record."""
    made.amend("dead-letters", 0, 0, value=made.records["features", 0][0].value)


def altered_row(made):
    """The dead letter of a row has another number in it."""
    made.amend("dead-letters", 0, 0, value=stream(made._table(0, [(None, 1.0), (None, 1.5)]).slice(1, 1)))


def no_arrow(made):
    """The dead letter of a row has no Arrow stream."""
    made.amend("dead-letters", 0, 0, value=b"{}")


def other_key(made):
    """The dead letter of a row has another key."""
    made.amend("dead-letters", 0, 0, key=b"other")


def other_reason(made):
    """The dead letter of a row has another reason than its first fault."""
    made.amend("dead-letters", 0, 0, headers={"reason": b"wrong_type"})


def cut_row(made):
    """The dead letter of a row is cut to nothing, and names another record than its own."""
    told = {"truncated": b"true", "size": b"7", "sha256": b"00"}
    made.amend("dead-letters", 0, 0, value=b"", headers=told)


def good_row(made):
    """A good row is a dead letter too."""
    event = made.records["features", 0][0]
    made.bury(event, 0, stream(made._table(0, ROWS).slice(0, 1)))


SEEDS = {
    lose: ("outcomes", "lost"), lose_letter: ("outcomes", "lost"), double: ("outcomes", "doubled"),
    no_such_row: ("outcomes", "no_source"), without_row: ("predictions", "malformed"),
    another_row: ("predictions", "wrong_id"), whole_record: ("dead_letters", "altered_bytes"),
    altered_row: ("dead_letters", "altered_bytes"), no_arrow: ("dead_letters", "altered_bytes"),
    other_key: ("dead_letters", "altered_key"), other_reason: ("dead_letters", "wrong_reason"),
    cut_row: ("dead_letters", "altered_bytes"), good_row: ("outcomes", "both"),
}  # fmt: skip


def test_each_row_with_its_outcome_passes():
    """Seven events: six rows, and the record that cannot be read."""
    made = Rows()
    assert made.found() == set()
    assert made.judge(feedback=False).checks["outcomes"].checked == 7


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.__name__)
def test_what_is_wrong_with_a_row_is_found(seed):
    """Each kind is told under its check."""
    made = Rows()
    seed(made)
    assert SEEDS[seed] in made.found()


def test_a_copy_of_a_row_is_one_of_the_same_row():
    """Where copies may be the same row may stand twice; the next row of the record is no copy of it."""
    made = Rows()
    double(made)
    assert made.found(copies=True) == set()


def test_a_row_that_is_cut_and_names_its_record_passes():
    """Its letter has nothing of it, but the record can be found and told from others."""
    made = Rows()
    value = made.records["features", 0][0].value
    told = {"truncated": b"true", "size": b"%d" % len(value), "sha256": hand_made.digest_of(value).encode()}
    made.amend("dead-letters", 0, 0, value=b"", headers=told)
    assert made.found() == set()


def test_rows_need_the_library_that_reads_them(monkeypatch):
    """Without it the checker says so and gives no verdict."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(CannotCheck, match="pyarrow"):
        Rows.judge(MADE, feedback=False)


MADE = Rows()
