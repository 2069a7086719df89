"""A drafted contract is good for what it was drafted from: it loads, and the rows are decoded by it."""

from __future__ import annotations

import csv
import gzip
import json
import string
from pathlib import Path

import pytest
import river
import sklearn
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.drafting import Choices, TableTally, contract_text, draft_contract
from app.drafting.check import checked, checked_records
from app.drafting.head_room import head_room
from app.errors import ConfigurationError
from app.features import Contract
from app.tables import RowRecord, labels_of, open_table

SKLEARN = Path(sklearn.__file__).parent / "datasets" / "data"
RIVER = Path(river.__file__).parent / "datasets"
WORDS = ["", "NA", "nan", "?", "null", "-"]
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
CELLS = {
    "ints": st.integers(-1000, 1000).map(str),
    "large ints": st.integers(-(2**70), 2**70).map(str),
    "floats": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "few": st.sampled_from(["red", "green", "blue, dark"]),
    "texts": TEXTS,
    "bools": st.sampled_from(["true", "false", "True"]),
    "flags": st.sampled_from(["0", "1"]),
    "codes": st.integers(0, 99).map("{:03}".format),
    "dates": st.datetimes().map(str),
    "commas": st.sampled_from(["1,5", "1.000,5", "7"]),
}
COLUMN = st.tuples(st.sampled_from(sorted(CELLS)), st.booleans()).flatmap(
    lambda chosen: st.just(CELLS[chosen[0]] | st.sampled_from(WORDS) if chosen[1] else CELLS[chosen[0]])
)
TABLES = st.lists(COLUMN, min_size=1, max_size=4).flatmap(
    lambda columns: st.lists(st.tuples(st.sampled_from(["no", "yes"]), *columns), min_size=6, max_size=30)
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.lists(st.integers(0, 9), min_size=2, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c.d", ""]), inner, max_size=3),
    max_leaves=4,
)
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def drafted(path, label, tmp_path, **options):
    """The contract for the table in *path*, loaded; with its tally and what remains of the rows by it."""
    table = open_table(path, **options)
    rows = TableTally(is_text=table.is_text, label=(label,))
    for batch in table.batches():
        rows.add(batch)
    draft = draft_contract(Choices("p", label=(label,)), rows, where=path.name)
    file = tmp_path / "contract.toml"
    file.write_text(contract_text(draft), encoding="utf-8")
    contract = Contract.load(file)
    for feature, loaded in zip(draft.features, contract.features, strict=True):
        assert (feature.path, feature.missing, feature.default, feature.categories) == (
            loaded.path, loaded.missing, loaded.default, loaded.categories
        )  # fmt: skip
    return contract, [(checked(contract, batch, is_text=table.is_text), batch) for batch in table.batches()]


def accepted(checks):
    """The share of rows that would be scored."""
    return sum(check.n_accepted for check, _ in checks) / sum(check.n_rows for check, _ in checks)


@given(TABLES)
@QUICK
def test_the_rows_of_a_csv_file_are_good_by_its_contract(tmp_path, rows):
    """Whatever stands in its cells: numbers, texts in several lines, dates, words for missing values."""
    assume(len({row[0] for row in rows}) == 2)
    names = ["label", "odd.name", 'quo"ted', "new\nline", "\x7fb#", "x"][: len(rows[0])]
    path = tmp_path / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*names, "sure"], *([*row, n * n] for n, row in enumerate(rows))])

    contract, checks = drafted(path, "label", tmp_path, delimiter=",")

    assert accepted(checks) == 1
    for _, batch in checks:
        assert all(type(contract.label_class(label)) is int for label in labels_of(contract, batch, is_text=True))


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c.d", "e"]), JSON_VALUES), min_size=6, max_size=30))
@QUICK
def test_the_lines_of_a_json_file_are_good_by_its_contract(tmp_path, objects):
    """The very bytes of the lines, as they would come on a topic; fields may nest, lack, and be of several types."""
    objects = [{**each, "label": n % 3, "sure": n * n} for n, each in enumerate(objects)]
    lines = [json.dumps(each).encode() for each in objects]
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join(lines))

    contract, checks = drafted(path, "label", tmp_path)
    raw = checked_records(contract, [RowRecord(line, offset) for offset, line in enumerate(lines)])

    assert (accepted(checks), raw.n_accepted) == (1, len(lines))


@given(st.lists(st.floats(-1e38, 1e38, allow_nan=False), min_size=2, unique=True))
def test_a_range_holds_what_was_seen_and_more(values):
    """It leaves room on both sides, but for the negative side of what is never negative."""
    low, high = head_room(min(values), max(values), values)

    assert low < min(values) or low == 0 <= min(values)
    assert high > max(values)


@pytest.mark.parametrize(
    ("path", "label", "options", "task", "n_features"),
    [
        (SKLEARN / "iris.csv", "virginica", {}, "multiclass", 4),
        (SKLEARN / "digits.csv.gz", "column_65", {"has_header": False}, "multiclass", 61),
        (RIVER / "phishing.csv.gz", "is_phishing", {}, "binary", 9),
        (RIVER / "shuttle.csv.gz", "anomaly", {}, "binary", 9),
        (RIVER / "sp500.csv.gz", "next_day_return", {}, "regression", 10),
        (RIVER / "trump_approval.csv.gz", "five_thirty_eight", {}, "regression", 5),
        (RIVER / "chick-weights.csv", "weight", {}, "regression", 3),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_real_files_are_understood(tmp_path, path, label, options, task, n_features):
    """Task, features and every row of data sets that nobody here made."""
    contract, checks = drafted(path, label, tmp_path, **options)

    assert (contract.task, len(contract.features)) == (task, n_features)
    assert accepted(checks) == 1


@pytest.mark.parametrize(
    ("name", "n_features", "task"), [("breast_cancer.csv", 30, "binary"), ("wine_data.csv", 13, "multiclass")]
)
def test_real_files_without_their_first_line_are_understood(tmp_path, name, n_features, task):
    """Their first line has other cells than the rows: with it they are refused, without it they have no header."""
    with pytest.raises(ConfigurationError, match=f"line 2: {n_features + 1} cells where the header has"):
        drafted(SKLEARN / name, "x", tmp_path)
    path = tmp_path / name
    path.write_text((SKLEARN / name).read_text().partition("\n")[2])

    contract, checks = drafted(path, f"column_{n_features + 1}", tmp_path, has_header=False)

    assert (contract.task, len(contract.features), accepted(checks)) == (task, n_features, 1)


@pytest.mark.parametrize("name", ["iris.csv", "digits.csv.gz"])
def test_the_later_half_of_real_data_is_not_refused_wholesale(tmp_path, name):
    """By the contract of every second row at least 99 % of the other rows are good."""
    opened = gzip.open if name.endswith("gz") else open
    with opened(SKLEARN / name, "rt") as file:
        rows = [line.strip() for line in file][1:]
    header = ",".join(string.ascii_lowercase[n // 26] + str(n) for n in range(rows[0].count(",") + 1))
    halves = [tmp_path / "even.csv", tmp_path / "odd.csv"]
    for at, half in enumerate(halves):
        half.write_text("\n".join([header, *rows[at::2]]))

    contract, _ = drafted(halves[0], header.rpartition(",")[2], tmp_path)
    others = [(checked(contract, batch, is_text=True), batch) for batch in open_table(halves[1]).batches()]

    assert accepted(others) >= 0.99
