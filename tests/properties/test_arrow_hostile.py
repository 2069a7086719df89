"""Arrow streams with bytes that were changed, cut or made up: refused or read, never an error, never much memory."""

import datetime as dt
import struct
import tracemalloc

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.features import Contract, dead_letter, decoder_of
from tests.arrow_streams import rows_of, stream
from tests.makers import Given

TEXT = """
name = "toy"
task = "regression"
label_horizon_s = 60
encoding = "arrow"
event_time_field = "at"
event_time_format = "ms"
features = [{ name = "f", missing = "nan" }, { name = "g", low = 0 }, { name = "s", dtype = "string" },
 { name = "d", dtype = "string", default = "q" }, { name = "v", dtype = "vector[2]", default = 1 },
 { name = "l", dtype = "vector[2]" },
 { name = "b", dtype = "bool" }, { name = "i", dtype = "int", path = "o.i", default = 0 }]
"""
TABLE = pa.table(
    {
        "f": [1.0, 2.0, None, 4.0], "g": pa.array([1, 2, 3, 4], pa.float32()),
        "s": pa.array(["x", "ü" * 9, "", "z"], pa.string_view()),
        "d": pa.array(["x", "y", None, "x"]).dictionary_encode(),
        "v": pa.array([[1, 2], [3, 4], None, [5, 6]], pa.list_(pa.float32(), 2)),
        "l": [[1, 2], [3, 4], [5, 6], [7, 8]], "b": [True, False, True, True],
        "o": [{"i": 1, "t": "u"}, None, {"i": None, "t": "v"}, {"i": 4, "t": None}],
        "at": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 4, pa.timestamp("us")),
        "more": pa.array([[{"k": ["deep"]}], [], None, [None]]), "u": pa.nulls(4),
    }
)  # fmt: skip
STREAMS = [stream(TABLE), stream(TABLE, rows_per_batch=2)]
WORDS = [0, 1, 7, 100, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """Of a contract that reads columns of every kind."""
    path = tmp_path_factory.mktemp("contracts") / "contract.toml"
    path.write_text(TEXT.replace(",\n {", ", {"))
    return decoder_of(Contract.load(path), max_record_bytes=1 << 20)


@st.composite
def damaged(draw):
    """A good stream of which bits, bytes or words were changed, or the end cut off."""
    value = bytearray(draw(st.sampled_from(STREAMS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value) - 1))
        kind = draw(st.sampled_from(["bit", "byte", "word", "long"]))
        if kind == "bit":
            value[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte":
            value[at] = draw(st.integers(0, 255))
        else:
            size = 4 if kind == "word" else 8
            at -= at % size
            value[at : at + size] = (draw(st.sampled_from(WORDS)) % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(value[: draw(st.integers(0, len(value)))] if draw(st.integers(0, 9)) == 0 else value)


def read(decoder, value):
    """Decode *value* and use all that comes of it, as scoring does; the rows that were good and bad, WHOLE for all."""
    record = Given(value)
    decoded = decoder.decode([record])
    for feature in decoder.contract.features:
        assert len(decoded.column(feature.name)) == len(decoded)
    for _, reason, error, row in decoded.rejected:
        alone = None if row < 0 else decoder.alone(record, row)
        dead_letter(record, reason, error, failed_at_s=0.0, row=row, value=alone)
    for row in decoded.source_rows.tolist():
        decoder.alone(record, row)
    return decoded.source_rows.tolist(), [each.row for each in decoded.rejected]


@settings(max_examples=500, deadline=None)
@given(value=damaged() | st.binary(max_size=64))
def test_a_damaged_stream_is_refused_or_has_an_outcome_for_each_row(decoder, value):
    """Either the record is refused whole or all of its rows are good or bad, whatever the bytes are."""
    good, bad = read(decoder, value)

    assert bad == [-1] or sorted(good + bad) == list(range(len(good + bad)))


@given(cut=st.integers(0, len(STREAMS[1]) - 1))
def test_a_stream_that_was_cut_off_has_whole_batches_or_nothing(decoder, cut):
    """A stream may lack its end mark; whatever else is missing refuses it."""
    good, bad = read(decoder, STREAMS[1][:cut])

    assert bad == [-1] or len(good) in (0, 2, 4)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(STREAMS[0]) // 8 - 1), word=st.sampled_from(WORDS))
@example(at=0, word=2**63 - 1)
def test_a_length_without_bounds_takes_no_memory(decoder, at, word):
    """Whichever eight bytes of a small stream claim to be much: a megabyte is enough to see that they lie."""
    value = STREAMS[0][: 8 * at] + struct.pack("<Q", word) + STREAMS[0][8 * at + 8 :]
    tracemalloc.start()
    try:
        read(decoder, value)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_columns_over_the_same_bytes_are_refused(decoder):
    """Buffers that overlap would have a few bytes stand for any number of values."""
    value = stream({name: pa.array([1.0] * 100) for name in ("f", "g", "x", "y")})
    # Of each column two buffers: no nulls, and the values.
    places = [struct.pack("<4q", number * 800, 0, number * 800, 800) for number in range(4)]
    changes = [(place, places[0]) for place in places[1:]]
    for place, first in [*changes, (struct.pack("<q", 3200), struct.pack("<q", 800))]:
        assert value.count(place) == 1
        value = value.replace(place, first)
    shorter = value[: -8 - 2400] + value[-8:]

    [refused] = decoder.decode([Given(shorter)]).rejected
    assert "overlap" in refused.error


def test_what_is_read_is_what_arrow_reads(decoder):
    """The streams that are damaged above are good before."""
    for value in STREAMS:
        assert len(rows_of(value)) == 4
        assert read(decoder, value) == ([0, 1, 2, 3], [])
