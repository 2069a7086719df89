"""What becomes of a column, and of a label: each rule on a table made for it."""

from __future__ import annotations

import re
import tomllib

import pytest

from app.drafting import Choices, TableTally, contract_text, draft_contract
from app.errors import ConfigurationError
from app.tables import TableBatch

N = 200
LABELS = ["no", "yes", "no"] * N
SURE = [str(n * n) for n in range(N)]


def tallied(columns, *, is_text=True, label="y", batches=1):
    """The tally of columns that are given by name, in so many batches."""
    n_rows = len(next(iter(columns.values())))
    rows = TableTally(is_text=is_text, label=(label,) if label else None)
    step = -(-n_rows // batches)
    for start in range(0, n_rows, step):
        part = {(name,): values[start : start + step] for name, values in columns.items()}
        rows.add(TableBatch(start + 1, len(range(start, min(n_rows, start + step))), part, 1.0))
    return rows


def drafted(columns, *, is_text=True, batches=1, **choices):
    """The draft for columns that are given by name; the label is `y` unless chosen otherwise."""
    named = {key: (choices.pop(key),) for key in ("id", "key", "time") if key in choices}
    rows = tallied(columns, is_text=is_text, batches=batches)
    return draft_contract(Choices("p", label=("y",), **named, **choices), rows, where="data.csv")


def judged(values, *, is_text=True, batches=1):
    """What becomes of one column of *values* beside a label and a feature that is sure."""
    sure = [str(n * n) if is_text else n * n for n in range(len(values))]
    labels = [LABELS[n % N] for n in range(len(values))]
    draft = drafted({"x": values, "sure": sure, "y": labels}, is_text=is_text, batches=batches)
    (found,) = [each for each in (*draft.features, *draft.left_out) if each.path == ("x",)]
    return found


def cycle(*values):
    """N values, again and again those."""
    return [values[n % len(values)] for n in range(N)]


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize(
    ("values", "dtype", "low", "high", "categories", "missing"),
    [
        (cycle("0", "1"), "int", 0, 1, None, "reject"),
        (cycle("3", "-5", "16"), "int", -26, 37, None, "reject"),
        (cycle("3", "5", ""), "float", 1, 7, None, "nan"),
        (cycle("3", "5", "NA", "?"), "float", 1, 7, None, "nan"),
        (cycle("1.5", "2", "1e1"), "float", 0, 19, None, "reject"),
        (cycle("true", "False"), "bool", None, None, None, "reject"),
        (cycle("true", "true", "false", ""), "bool", None, None, None, "default"),
        (cycle("yes", "no"), "string", None, None, ("no", "yes"), "reject"),
        (cycle("NA", "EU", "AS"), "string", None, None, ("AS", "EU", "NA"), "reject"),
        (cycle("a", "b", ""), "string", None, None, ("", "a", "b"), "default"),
        (cycle("00501", "10001"), "string", None, None, ("00501", "10001"), "reject"),
        (["a"] * (N // 2) + ["b"] * (N // 2 - 1) + ["c"], "string", None, None, None, "reject"),
    ],
)
def test_a_column_of_texts_becomes_a_feature(values, dtype, low, high, categories, missing, batches):
    """Numbers, truth, categories and codes are told apart, and what a missing value means goes with the type."""
    found = judged(values, batches=batches)

    assert (found.dtype, found.low, found.high, found.categories, found.missing) == (
        dtype,
        low,
        high,
        categories,
        missing,
    )


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([""] * N, "has no values"),
        (cycle("NA", "?"), "has no values"),
        (cycle("7"), "is 7 in every row"),
        (cycle("red", ""), "is 'red' in every row that has it"),
        (cycle("true"), "is true in every row"),
        ([str(n) for n in range(5, 5 + N)], "counts the rows, 5 to 204"),
        ([f"user {n}" for n in range(N)], "every row has another value"),
        ([f"user {n % 150}" for n in range(N)], "150 different texts, more than the 100"),
        ([f"user {n}" for n in range(2000)], "its first values all differ"),
        (cycle("2026-01-01", "2026-01-02"), "dates, such as '2026-01-01' in row 1: .*--time"),
        (cycle("1.2.2026", "2.2.2026"), r"dates, such as '1\.2\.2026' in row 1"),
        (cycle("1,5", "2"), "numbers with a comma, such as '1,5' in row 1"),
        ([str(n * n % 1009) for n in range(N - 1)] + ["unknown"], "numbers but for 'unknown' in row 200"),
        ([str(2**60 + 5 * n * n) for n in range(N)], r"not exact beyond 2\^53"),
        (cycle("1e39", "2"), "of which a 32-bit float is infinite"),
        (LABELS[:N], "equals the label in every row"),
        ([{"no": "N", "yes": "Y"}[label] for label in LABELS[:N]], "is the label under other names"),
    ],
)  # fmt: skip
def test_a_column_that_teaches_nothing_is_left_out(values, why, batches):
    """With a reason that names what was seen, and where."""
    found = judged(values, batches=batches)

    assert not hasattr(found, "dtype")
    assert re.search(why, found.why), found.why


@pytest.mark.parametrize(
    ("values", "dtype", "why"),
    [
        (cycle("1", "2"), "string", ""),
        (cycle(1.0, 2.5, None), "float", "NaN"),
        (cycle(True, None, False), "bool", "missing is taken for true"),
        (cycle([1, 2.5], [3, None]), "vector[2]", "NaN"),
        (cycle("", "a"), "string", ""),
        (cycle(1, "1"), None, "is not of one type: whole numbers .1 in row 1., texts .'1' in row 2."),
        (cycle([1], [1, 2]), None, "different lengths"),
        (cycle(["a"], ["b"]), None, "no number, text or list of numbers"),
        (cycle("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), None, "dates"),
    ],
)
def test_a_column_of_json_values_keeps_their_types(values, dtype, why):
    """A text that looks like a number stays a text, for so it will arrive; lists of one length are vectors."""
    found = judged(values, is_text=False)

    assert getattr(found, "dtype", None) == dtype
    assert re.search(why, found.why), found.why


def test_a_long_tail_has_more_room():
    """Where a few values lie far out, the next may lie farther: ten widths instead of one."""
    amounts = [str(n % 20) for n in range(N - 1)] + ["1000"]

    assert (judged(amounts).low, judged(amounts).high) == (0, 11_000)


@pytest.mark.parametrize(
    ("labels", "task", "classes", "positive", "why"),
    [
        (cycle("genuine", "fraud"), "binary", ("fraud", "genuine"), "fraud", "guessed by its name"),
        (cycle("0", "1"), "binary", (0, 1), 1, "guessed by its name"),
        (cycle("-1.0", "1.0"), "binary", (-1, 1), 1, "guessed by its name"),
        (cycle("TRUE", "false"), "binary", (False, True), True, "guessed by its name"),
        (cycle("good", "odd"), "binary", ("good", "odd"), "odd", "guessed by its name"),
        (cycle("a", "b", "a"), "binary", ("a", "b"), "b", "guessed: it is the rarer"),
        (cycle("a", "b"), "binary", ("a", "b"), "b", "guessed: neither name nor number tells"),
        (cycle("3", "4", "5"), "multiclass", (3, 4, 5), None, ""),
        (cycle("low", "mid", "high", ""), "multiclass", ("high", "low", "mid"), None, ""),
        ([str(n % 50) for n in range(N)], "regression", (), None, ""),
        (cycle("1.5", "2.5", "3.5"), "regression", (), None, ""),
    ],
)
def test_the_task_follows_from_the_label(labels, task, classes, positive, why):
    """Two values, few, or numbers; of two the positive one is guessed, and it is said how."""
    label = drafted({"sure": SURE, "y": labels}).label

    assert (label.task, label.classes, label.positive, label.why_positive) == (task, classes, positive, why)
    assert [type(each) for each in label.classes] == [type(each) for each in classes]


def test_what_was_said_goes_before_what_was_guessed():
    """--task and --positive are taken at their word."""
    columns = {"sure": SURE, "y": cycle("3", "4", "5")}

    assert drafted(columns, task="regression").label.classes == ()
    assert drafted({"sure": SURE, "y": cycle("a", "b")}, positive="a").label.positive == "a"


@pytest.mark.parametrize(
    ("labels", "choices", "text"),
    [
        ([""] * N, {}, "label y: has no values in data.csv"),
        (cycle("1,5", "2,5"), {}, "label y: '1,5' in row 1 of data.csv has a comma"),
        (cycle("a"), {}, r"one value only \(a\)"),
        ([f"t{n}" for n in range(1001)], {}, "very many different texts"),
        (cycle("a", "b", "c"), {"task": "binary"}, "the label has 3 values, not two"),
        (cycle("a", "b"), {"task": "regression"}, "label y is not of numbers"),
        (cycle("Fraud", "ok"), {"positive": "fraud"}, 'no value "fraud"; did you mean "Fraud"'),
        (cycle("1", "2", "3"), {"positive": "1"}, "a multiclass task has no positive class"),
    ],
)
def test_a_label_that_cannot_be_predicted_is_refused(labels, choices, text):
    """What, where, and what would be right."""
    with pytest.raises(ConfigurationError, match=text):
        drafted({"sure": [str(n * n) for n in range(len(labels))], "y": labels}, **choices)


def test_a_regression_is_not_told_its_answer_in_another_unit():
    """A column on one line with the label is the label."""
    euros = [f"{n * n % 997 + 0.5}" for n in range(N)]
    draft = drafted({"cents": [str(100 * float(each)) for each in euros], "sure": SURE, "y": euros})

    assert [each.path for each in draft.features] == [("sure",)]
    assert "the same in another unit" in draft.left_out[0].why


@pytest.mark.parametrize(
    ("times", "form"),
    [
        (cycle("2026-01-01", "2026-01-02 10:00"), "iso8601"),
        ([str(1_767_225_600 + n * n) for n in range(N)], "s"),
        ([str(1_767_225_600_000 + n * n) for n in range(N)], "ms"),
        ([str(1_767_225_600_000_000 + n * n) for n in range(N)], "us"),
        (cycle("1.2.2026"), "'1.2.2026' in row 1 of data.csv is no time from 1970 on"),
        (cycle("5", "7"), "numbers from 5 to 7 in data.csv are neither seconds"),
        (cycle(""), "has no values"),
    ],
)
def test_the_form_of_a_time_is_seen(times, form):
    """ISO 8601, or numbers by their size; what is neither is refused with an example of what would do."""
    columns = {"at": times, "sure": SURE, "y": cycle("a", "b", "b")}
    if len(form) > 7:
        with pytest.raises(ConfigurationError, match=f"--time at: .*{form}"):
            drafted(columns, time="at")
    else:
        draft = drafted(columns, time="at")
        assert draft.time[0] == form
        assert f'event_time_format = "{form}"' in contract_text(draft)


def test_what_is_wrong_with_named_columns_is_noted():
    """Rows without an id or a label, and ids that come twice."""
    columns = {"id": cycle("a", "b", "", "c"), "sure": SURE, "y": cycle("no", "yes", "yes", "")}
    notes = drafted(columns, id="id").notes

    assert [note.partition(":")[0] for note in notes] == ["50 rows (25 %) have no label", "--id id", "--id id"]
    assert "refused (bad_id)" in notes[1]
    assert "more than once" in notes[2]


def test_a_table_without_a_feature_is_refused_with_all_reasons():
    """The message has a line for each column."""
    with pytest.raises(ConfigurationError, match=r"none of its columns can be a feature:\n  x: is 7 in every row"):
        drafted({"x": cycle("7"), "y": cycle("a", "b")})


def test_memory_does_not_grow_with_the_rows():
    """Values are remembered while they are few, rows as a sample spread over the table."""
    rows = TableTally(is_text=True, label=("y",))
    for start in range(0, 50_000, 1_000):
        numbers = range(start, start + 1_000)
        columns = {("x",): [f"{n}.5" for n in numbers], ("t",): [f"t{n}" for n in numbers], ("y",): ["a", "b"] * 500}
        rows.add(TableBatch(start + 1, 1_000, columns, 1.0))

    assert rows.columns["x",].values is None
    assert rows.columns["t",].values is None
    assert 2_000 <= rows.sample().n_rows <= 4_000
    assert [float(each) for each in rows.sample().columns["x",]] == [n * 16 + 0.5 for n in range(50_000 // 16)]


def test_what_strangers_wrote_cannot_end_a_comment(tmp_path):
    """Names and texts with newlines, quotes and escapes stay inside of their strings and comments."""
    from app.features import Contract  # noqa: PLC0415

    columns = {'a\n"b"\x7f': cycle("x\ny", 'q"', "\x1b[2J"), "constant\nname = 5": cycle("1"), "y": cycle("no", "yes")}
    path = tmp_path / "contract.toml"
    path.write_text(contract_text(drafted(columns)), encoding="utf-8")

    (feature,) = Contract.load(path).features
    assert (feature.name, feature.categories) == ('a\n"b"\x7f', ("\x1b[2J", 'q"', "x\ny"))
    assert "\x1b" not in path.read_text(encoding="utf-8")


def test_categories_that_are_not_complete_stand_as_a_comment():
    """Where other texts will come any is accepted, and who knows better only has to delete a sign."""
    text = contract_text(drafted({"x": [*cycle("a", "b", "c d")[1:], "rare"], "y": cycle("no", "yes", "yes", "no")}))

    assert '# categories = ["a", "b", "c d", "rare"]\n' in text
    table = tomllib.loads(text.replace("# categories", "categories"))
    assert table["features"][0]["categories"] == ["a", "b", "c d", "rare"]


def test_a_table_of_many_columns_keeps_fewer_rows():
    """The sample is bounded by cells as well as by rows."""
    rows = TableTally(is_text=True)
    rows.add(TableBatch(1, 1_000, {(f"c{n}",): ["1"] * 1_000 for n in range(4_000)}, 1.0))

    assert rows.sample().n_rows == 250
