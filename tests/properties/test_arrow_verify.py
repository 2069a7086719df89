"""Worker and checker read Arrow records alike, though one takes columns with numpy and the other rows with pyarrow."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.features import Contract
from app.features.arrow.decoding import ArrowDecoder
from tests.arrow_streams import stream
from tests.arrow_tables import TEXT, tables
from verify.arrow import decode_rows
from verify.contract import parse_contract
from verify.decode import Event
from verify.read import Record

NAN = float("nan")
ODD = [
    ["text"], [1.5], [True], [7], [None], [b"bytes"], [dt.date(2024, 1, 1)], [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)],
    [[1.0, 2.0]], [["x"]], [[None, None]], [{"id": "i", "g": 1.0, "o": {"w": [1.0]}}], [NAN], [[NAN, 1.0]],
]  # fmt: skip
"""Values of columns of all kinds, which take the place of one that the contract reads."""
STREAMS = [
    b"", b"{}", None, stream({"f": [1.0] * 50}, compression="zstd"), stream({"f": [1.0] * 50}, compression="lz4"),
    stream({"f": pa.array([], pa.float64())}), stream({"f": [1.0] * 50})[:-30], stream({"f": pa.nulls(5000)}),
    stream({"u": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}),
]  # fmt: skip


@st.composite
def values(draw):
    """Values of records: tables that can be read, some with a column of another kind or without one, and others."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(STREAMS))
    table = draw(tables())
    if draw(st.booleans()):
        name = draw(st.sampled_from(table.column_names))
        table = table.drop_columns([name])
        if draw(st.booleans()):
            table = table.append_column(name, pa.array(draw(st.sampled_from(ODD)) * table.num_rows))
    return stream(table, rows_per_batch=draw(st.integers(1, 7)))


def by_worker(contract, record):
    """Of each row its id, time and values or the reason of its dead letter; under -1 that of the record."""
    given_record = SimpleNamespace(**record._asdict(), timestamp=record.timestamp_ms)
    decoded = ArrowDecoder(contract).decode([given_record])
    found = {each.row: each.reason.value for each in decoded.rejected}
    columns = [decoded.column(feature.name).tolist() for feature in contract.features]
    for at, row in enumerate(decoded.source_rows.tolist()):
        found[row] = decoded.ids[at], decoded.event_at_s[at], [column[at] for column in columns]
    return found


def by_checker(record):
    """The same as the checker has it."""
    checker = parse_contract(TEXT)
    found = {}
    for row in decode_rows(checker, record):
        outcome = row.event
        if isinstance(outcome, Event):
            pairs = zip(checker.features, outcome.values, strict=True)
            outcome = outcome.id, outcome.event_at_s, [as_column(feature, value) for feature, value in pairs]
        else:
            outcome = outcome.reason
        found[-1 if row.number is None else row.number] = outcome
    return found


def as_column(feature, value):
    """A value as the column of a model's input has it."""
    each = list(value) if feature.dtype == "vector" else [value]
    return [float(np.float32(number)) for number in each] if feature.dtype in ("float", "vector") else each


def test_rows_are_read_alike(tmp_path_factory):
    """The same reason for the same row or record, or the same id, time and values."""
    path = tmp_path_factory.mktemp("models") / "contract.toml"
    path.write_text(TEXT)
    contract = Contract.load(path)

    @settings(max_examples=150, deadline=None)
    @given(values(), st.sampled_from([b"acc", b"q", None]))
    def check(value, key):
        record = Record("toy.features", 1, 5, 2500, key, value)
        expected = by_checker(record)
        assert repr(dict(sorted(by_worker(contract, record).items()))) == repr(expected)

    check()
