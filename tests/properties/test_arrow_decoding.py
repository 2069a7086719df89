"""Rows of Arrow streams against the meaning of a record: what the JSON of the same values would have become."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.features import BatchDecoder, Contract
from app.features.arrow.decoding import ArrowDecoder
from tests.arrow_streams import rows_of, stream
from tests.arrow_tables import TEXT, tables
from tests.makers import Given


def as_json(row):
    """The JSON of a row: infinity is a number that is too large, and NaN, which JSON has not, does not come here."""
    return json.dumps(row).replace("Infinity", "1e999").encode()


@pytest.fixture(scope="module")
def contract(tmp_path_factory):
    """One with features of all kinds."""
    path: Path = tmp_path_factory.mktemp("contracts") / "contract.toml"
    path.write_text(TEXT)
    return Contract.load(path)


@settings(max_examples=120, deadline=None)
@given(table=tables(), rows_per_batch=st.integers(1, 7), has_key=st.booleans())
def test_a_row_becomes_what_its_json_would(contract, table, rows_per_batch, has_key):
    """The same rows are good, with the same id, time and values; the others have the same reason and the same text."""
    key = b"acc" if has_key else None
    record = Given(stream(table, rows_per_batch=rows_per_batch), key=key)
    rows = table.to_pylist()
    decoded = ArrowDecoder(contract).decode([record])
    expected = BatchDecoder(contract).decode([Given(as_json(row), key=key, offset=at) for at, row in enumerate(rows)])

    assert decoded.kept == [0] * len(expected)
    assert decoded.source_rows.tolist() == expected.kept
    assert (decoded.ids, decoded.event_at_s) == (expected.ids, expected.event_at_s)
    assert [(each.row, each.reason, each.error) for each in decoded.rejected] == [
        (each.position, each.reason, each.error) for each in expected.rejected
    ]
    for feature in contract.features:
        column = decoded.column(feature.name)
        assert column.dtype == expected.column(feature.name).dtype
        np.testing.assert_array_equal(column, expected.column(feature.name))


@settings(max_examples=40, deadline=None)
@given(table=tables(), rows_per_batch=st.integers(1, 7))
def test_a_row_alone_is_that_row(contract, table, rows_per_batch):
    """What a dead letter carries is a stream that Arrow's own library reads, of this one row with all its columns."""
    decoder, record = ArrowDecoder(contract), Given(stream(table, rows_per_batch=rows_per_batch), key=b"acc")
    whole = decoder.decode([record])
    for row, content in enumerate(table.to_pylist()):
        alone = decoder.alone(record, row)
        assert repr(rows_of(alone)) == repr([content])
        again = decoder.decode([Given(alone, key=b"acc")])
        assert [each.error for each in again.rejected] == [each.error for each in whole.rejected if each.row == row]
        assert again.ids == [id_ for id_, kept in zip(whole.ids, whole.source_rows, strict=True) if kept == row]
