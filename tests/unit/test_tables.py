"""Tables: files of rows as strangers write them, read in batches, and what is wrong with one in words."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import json
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from app.errors import ConfigurationError
from app.tables import batch as batches
from app.tables import columns_of, events_of, labels_of, open_table
from app.tables.cells import Kind, kind_of_cell, numbers_in


@pytest.fixture(name="write")
def _write(tmp_path):
    """Write a file of bytes, or of a text in UTF-8; its path."""

    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path, **options):
    """All columns of a table, by dotted name."""
    columns = {}
    for batch in open_table(path, **options).batches():
        for name, values in batch.columns.items():
            columns.setdefault(".".join(name), []).extend(values)
    return columns


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(write, delimiter):
    """The four usual ones, also where another one stands inside of texts."""
    lines = [["a", "b", "c"], ["1", "x, y; z", "2"], ["3", "", "4"]]
    text = "\n".join(delimiter.join(f'"{cell}"' if " " in cell else cell for cell in line) for line in lines)

    assert read(write(text)) == {"a": ["1", "3"], "b": ["x, y; z", ""], "c": ["2", "4"]}


def test_decimal_commas_are_no_delimiters(write):
    """A file with semicolons between and commas inside its numbers is read as it was meant."""
    assert read(write("a;b\n1,5;2,5\n3,5;4,5\n")) == {"a": ["1,5", "3,5"], "b": ["2,5", "4,5"]}


def test_a_delimiter_may_be_named(write):
    """One that is not looked for, and one that cannot be typed."""
    assert read(write("a~b\n1~2\n"), delimiter="~") == {"a": ["1"], "b": ["2"]}
    assert read(write("a\tb,c\n1\t2\n"), delimiter="tab") == {"a": ["1"], "b,c": ["2"]}
    assert read(write("a b\n1 2\n"), delimiter="space") == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    "content",
    [
        '\ufeffname,n\r\n"Müller, ""Bob""\n2nd line",1\r\n\r\n x,2\r\n'.encode(),
        'name,n\n"Müller, ""Bob""\n2nd line", 1\nx, 2\n'.encode("utf-16"),
        gzip.compress('name\tn\n"Müller, ""Bob""\n2nd line"\t1\nx\t2'.encode()),
    ],
    ids=["BOM and CRLF", "UTF-16", "gzip"],
)
def test_what_spreadsheets_write_is_read(write, content):
    """Byte order marks, quoted newlines and quotes, blank lines, blanks after a delimiter, gzip, no last newline."""
    assert read(write(content)) == {"name": ['Müller, "Bob"\n2nd line', "x"], "n": ["1", "2"]}


def test_without_a_header_columns_are_numbered(write):
    """And so are those of which the name is empty."""
    assert read(write("1,2\n3,4\n"), has_header=False) == {"column_1": ["1", "3"], "column_2": ["2", "4"]}
    assert list(read(write(",b\n3,4\n"))) == ["column_1", "b"]


def test_batches_are_bounded_by_rows_and_by_bytes(write, monkeypatch):
    """However long the table is, or one of its texts; rows are numbered through."""
    monkeypatch.setattr("app.tables.delimited.ROWS_MAX", 10)
    monkeypatch.setattr("app.tables.delimited.BYTES_MAX", 1_000)
    path = write("a,b\n" + "1,2\n" * 25 + f"1,{'x' * 600}\n" * 4)
    found = list(open_table(path).batches())

    assert [(each.first_row, each.n_rows) for each in found] == [(1, 10), (11, 10), (21, 7), (28, 2)]
    assert found[-1].share_read == 1.0


def test_json_lines_become_columns_by_path(write):
    """Nested objects are columns of their own; blank lines and a byte order mark are nothing."""
    lines = '\ufeff{"a": 1, "b": {"c": "x", "d": null}}\n\n{"b": {"c": true}, "e.f": [1, 2]}\n{"g": {}}'

    assert read(write(lines, "data.jsonl")) == {
        "a": [1, None, None], "b.c": ["x", True, None], "b.d": [None] * 3, "e.f": [None, [1, 2], None],
        "g": [None, None, {}],
    }  # fmt: skip


def test_parquet_has_the_values_that_json_would_have(tmp_path):
    """Times in ISO 8601, decimals as numbers, NaN as missing, categories as texts, structs by path."""
    utc = pa.timestamp("ns", tz="UTC")
    table = pa.table({
        "at": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None], utc),
        "day": pa.array([dt.date(2026, 1, 1)] * 2),
        "price": pa.array([decimal.Decimal("1.50"), None]),
        "n": pa.array([1, None], pa.int32()),
        "x": pa.array([0.5, float("nan")]),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "inner": pa.array([{"flag": True}, None]),
        "list": pa.array([[1.0, 2.0], None]),
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "data.bin")

    assert read(tmp_path / "data.bin") == {
        "at": ["2026-01-01T00:00:00+00:00", None], "day": ["2026-01-01"] * 2, "price": [1.5, None], "n": [1, None],
        "x": [0.5, None], "kind": ["a", "b"], "inner.flag": [True, None], "list": [[1.0, 2.0], None],
    }  # fmt: skip


def test_parquet_without_pyarrow_names_what_to_install(tmp_path, monkeypatch):
    """Beside a worker there is no pyarrow: the message says so and what else one can do."""
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "data.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigurationError, match=r"package pyarrow, which is not installed; .*dev\.txt.*CSV"):
        open_table(tmp_path / "data.parquet")


@pytest.mark.parametrize(
    ("content", "name", "text"),
    [
        ("", "a.csv", "is empty"),
        ("a,b\n1,2\n3\n", "a.csv", "line 3: 1 cell where the header has 2"),
        ('a,b\n"x\ny",2\n1,2,3\n', "a.csv", "line 4: 3 cells where the header has 2"),
        ('a,b\n1,"x\n3,4\n', "a.csv", "is a quotation mark never closed"),
        ("a,a\n1,2\n", "a.csv", 'two columns are named "a"; .*--no-header'),
        ("name\nM\xfcller\n".encode("latin-1"), "a.csv", r"is not UTF-8 \(byte 0xfc\); .*iconv"),
        (gzip.compress(b"a,b\n" * 9000)[:-12], "a.csv.gz", "is damaged"),
        (b"PK\x03\x04zzz", "a.xlsx", "Excel workbook"),
        ('[{"a": 1}]', "a.json", "jq -c"),
        ('{"a": 1}\n{"a": \n', "a.jsonl", "line 2: is not JSON"),
        ('{"a": 1}\n[2]\n', "a.jsonl", "line 2: is JSON, but no object"),
        (b"PAR1 and nothing more", "a.parquet", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(write, content, name, text):
    """What, where, and what to do: never a traceback of a parser."""
    path = write(content, name)
    with pytest.raises(ConfigurationError, match=f"{name}: {text}|{name}: .*{text}"):
        read(path)


def test_a_misspelt_file_is_guessed(write):
    """The nearest name in its folder is offered."""
    path = write("a\n1\n", "customers.csv")
    with pytest.raises(ConfigurationError, match=r"there is no such file; did you mean customers\.csv\?"):
        open_table(path.with_name("custmers.csv"))
    with pytest.raises(ConfigurationError, match="--delimiter ab: must be one character"):
        open_table(path, delimiter="ab")


def test_keys_that_are_data_are_refused(monkeypatch):
    """Objects whose keys are, say, ids would fill the memory with columns."""
    monkeypatch.setattr(batches, "COLUMNS_MAX", 5)
    with pytest.raises(ConfigurationError, match="keys seem to be data"):
        columns_of([{"by_user": {f"user-{n}": n}} for n in range(10)])


@pytest.mark.parametrize(
    "cells",
    [
        *(["1", "2"], ["1", ""], ["1.5", "-2e3", "+.5", "5."], ["01", "2"], ["0.5", "00.5"], ["1", "nan"]),
        *(["1", "1_000"], ["1e999"], ["1\n2"], ["1", "\u0663"], ["-", "+"]),
    ],
)
def test_many_cells_are_told_as_each_alone(cells):
    """The fast look at a column of numbers is the slow one, only faster."""
    kinds = {kind_of_cell(cell) for cell in cells}
    found = numbers_in(cells)

    assert (found is not None) == (kinds <= {Kind.INT, Kind.FLOAT, Kind.MISSING})
    if found is not None:
        assert found == ([float(cell) for cell in cells if cell], Kind.FLOAT not in kinds)


def test_events_have_the_types_of_the_contract(make_contract, write):
    """Cells become what the dtypes say; what is missing is absent, what does not fit stays a text."""
    contract = make_contract(
        '{ name = "x" }', '{ name = "n", dtype = "int" }', '{ name = "b", dtype = "bool" }',
        '{ name = "s", dtype = "string" }',
        id_field='"id"', event_time_field='"at"', event_time_format='"ms"', label_field='"y"',
    )  # fmt: skip
    path = write("id,at,x,n,b,s,y,other\n7,60000,1e3,5,Yes,NA,yes,?\n8,,NA,5.0,0,,no,?\n9,1,abc,x,maybe,5,,?\n")
    (batch,) = open_table(path).batches()

    assert events_of(contract, batch, is_text=True) == [
        {"id": "7", "at": 60000.0, "x": 1000.0, "n": 5, "b": True, "s": "NA"},
        {"id": "8", "n": 5.0, "b": False},
        {"id": "9", "at": 1.0, "x": "abc", "n": "x", "b": "maybe", "s": "5"},
    ]
    assert labels_of(contract, batch, is_text=True) == ["yes", "no", None]


@pytest.mark.parametrize(
    ("classes", "cells", "labels"),
    [
        ("[0, 1]", ["0", "1.0", "", "7"], [0, 1, None, 7]),
        ("[false, true]", ["True", "false", "", "x"], [True, False, None, "x"]),
        ('["01", "02"]', ["01", "02", "", "1"], ["01", "02", None, "1"]),
    ],
)
def test_labels_are_classes_of_the_contract(make_contract, write, classes, cells, labels):
    """Numbers, booleans and texts, as the contract's classes are; an unknown one stays to be named."""
    contract = make_contract('{ name = "x" }', classes=classes, label_field='"y"')
    (batch,) = open_table(write("x,y\n" + "".join(f"1,{cell}\n" for cell in cells))).batches()

    assert json.dumps(labels_of(contract, batch, is_text=True)) == json.dumps(labels)


def test_a_nested_event_is_built_by_its_paths(make_contract, write):
    """JSON values pass as they are, into the objects from which they came."""
    contract = make_contract('{ name = "x", path = "tx.amount" }', label_field='"tx.y"', id_field='"tx.id"')
    (batch,) = open_table(write('{"tx": {"id": 5, "amount": 2, "y": "no"}, "z": 1}\n', "a.jsonl")).batches()

    assert events_of(contract, batch, is_text=False) == [{"tx": {"id": 5, "amount": 2}}]
    assert labels_of(contract, batch, is_text=False) == ["no"]
