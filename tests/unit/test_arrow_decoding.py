"""Records that are Arrow streams: which rows are good, and why others, or whole records, are not."""

import datetime as dt
import hashlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from app.errors import Reason
from app.features import WHOLE, dead_letter, decoder_of
from app.features.arrow.stream import ROWS_MAX
from tests.arrow_streams import rows_of, stream


@pytest.fixture
def make_decoder(make_contract):
    """Makes decoders of Arrow contracts `toy`; keywords as for `make_contract`."""

    def make(*features, max_record_bytes=1 << 20, **keys):
        return decoder_of(make_contract(*features, encoding='"arrow"', **keys), max_record_bytes=max_record_bytes)

    return make


def reasons(decoded):
    """Row and reason of each dead letter to come."""
    return [(each.row, each.reason.value) for each in decoded.rejected]


def test_each_row_of_each_record_is_an_event(make_decoder, make_record):
    """Rows are counted over the batches of a record, each record from 0, and by default the ids tell of it."""
    decoder = make_decoder('{ name = "a" }')
    records = [
        make_record(stream({"a": [1.0, 2.0, 3.0]}, rows_per_batch=2), offset=5),
        make_record(stream({"a": [4.0]}), offset=6, timestamp=2500),
    ]

    decoded = decoder.decode(records)

    assert (decoded.kept, decoded.source_rows.tolist()) == ([0, 0, 0, 1], [0, 1, 2, 0])
    assert decoded.ids == ["toy.features-3-5-0", "toy.features-3-5-1", "toy.features-3-5-2", "toy.features-3-6-0"]
    assert decoded.event_at_s[2:] == [1_700_000_000.25, 2.5]
    assert decoded.matrix().tolist() == [[1], [2], [3], [4]]


def test_a_part_of_the_rows_keeps_their_numbers(make_decoder, make_record):
    """As the scorers select them, and as a part of a longer batch."""
    decoded = make_decoder('{ name = "a" }', '{ name = "s", dtype = "string" }').decode(
        [make_record(stream({"a": [1.0, 2.0, 3.0], "s": ["x", "y", "z"]}))]
    )
    part = decoded.select([0, 2]).moved(4)

    assert (part.kept, part.source_rows.tolist(), part.row_of(1)) == ([4, 4], [0, 2], 2)
    assert (part.column("a").tolist(), part.column("s").tolist()) == ([[1], [3]], [["x"], ["z"]])


def test_numbers_of_every_width_lie_side_by_side_in_the_matrix(make_decoder, make_record):
    """Integers, floats of any width, booleans and vectors, with and without nulls, in the order of the contract."""
    decoder = make_decoder(
        '{ name = "a" }', '{ name = "n", dtype = "int" }', '{ name = "v", dtype = "vector[2]" }',
        '{ name = "b", dtype = "bool" }', '{ name = "z", default = 9 }', '{ name = "c" }', '{ name = "d" }',
    )  # fmt: skip
    columns = {
        "a": pa.array([1, 2], pa.float16()), "n": pa.array([3.0, 4.0]), "v": pa.array([[5, 6], [7, 8]]),
        "b": [True, False], "z": pa.array([None, 1], pa.uint8()), "c": pa.array([0.5, 1.5], pa.float32()),
        "d": pa.array([2.5, 3.5], pa.float32()),
    }  # fmt: skip
    decoded = decoder.decode([make_record(stream(columns))])

    assert decoded.matrix().tolist() == [[1, 3, 5, 6, 1, 9, 0.5, 2.5], [2, 4, 7, 8, 0, 1, 1.5, 3.5]]
    assert decoded.matrix().dtype == np.float32


def test_nan_is_no_number_and_missing_where_the_contract_says_so(make_decoder, make_record):
    """JSON has no NaN: a row with one is `not_finite`, unless a missing value is NaN anyway."""
    decoder = make_decoder(
        '{ name = "a", low = 0 }', '{ name = "b", missing = "nan", high = 5 }', '{ name = "c", default = 1 }',
        '{ name = "v", dtype = "vector[2]", missing = "nan" }', '{ name = "i", dtype = "int", default = 0 }',
    )  # fmt: skip
    nan = float("nan")
    good = {"a": 1.0, "b": 2.0, "c": 3.0, "v": [1.0, 2.0], "i": 4.0}
    rows = [good | change for change in ({"a": nan}, {"b": nan}, {"c": nan}, {"v": [nan, 1.0]}, {"i": nan}, {})]
    decoded = decoder.decode([make_record(stream(pa.Table.from_pylist(rows)))])

    assert reasons(decoded) == [(0, "not_finite"), (2, "not_finite"), (4, "not_finite")]
    assert np.isnan(decoded.column("b")[0, 0])
    assert np.isnan(decoded.column("v")).tolist() == [[False, False], [True, False], [False, False]]


@pytest.mark.parametrize("dtype", [pa.float32(), pa.float64()])
def test_a_bound_is_what_it_says(make_decoder, make_record, dtype):
    """A 32-bit 0.1 is a little more than 0.1, taken by itself or in a run of columns."""
    decoder = make_decoder('{ name = "a", high = 0.1 }', '{ name = "b", low = -0.1, high = 1 }')
    columns = {"a": pa.array([0.1, 0.0, 0.0, 0.0], dtype), "b": pa.array([0.0, -0.1, 1.0, 1.01], dtype)}
    expected = [2] if dtype == pa.float32() else [0, 1, 2]

    for table in (columns, columns | {"b": pa.array([*columns["b"].to_pylist()[:3], None], dtype)}):
        assert decoder.decode([make_record(stream(table))]).source_rows.tolist() == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("time_format", ["s", "iso8601"])
def test_a_timestamp_says_its_own_unit(make_decoder, make_record, unit, time_format):
    """Whatever the format that the contract names for numbers or texts; without a zone it is UTC."""
    decoder = make_decoder('{ name = "a" }', event_time_field='"at"', event_time_format=f'"{time_format}"')
    moments = [
        dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC),
        None,
        dt.datetime(1969, 1, 1, tzinfo=dt.UTC),
    ]
    for zone in (None, "Europe/Vienna"):
        at = pa.array(moments, pa.timestamp(unit, tz=zone))
        decoded = decoder.decode([make_record(stream({"a": [1.0, 2.0, 3.0], "at": at}))])
        assert decoded.event_at_s == [1709294400.0]
        assert reasons(decoded) == [(1, "bad_time"), (2, "bad_time")]


def test_times_may_be_texts_and_ids_may_stand_in_a_dictionary(make_decoder, make_record):
    """As in JSON, with a bad one among them."""
    decoder = make_decoder('{ name = "a" }', id_field='"id"', event_time_field='"at"', event_time_format='"iso8601"')
    columns = {
        "a": [1.0, 2.0, 3.0], "id": pa.array(["p", "q", None]).dictionary_encode(),
        "at": ["2024-03-01T12:00:00Z", "noon", "2024-03-01"],
    }  # fmt: skip
    decoded = decoder.decode([make_record(stream(columns))])

    assert (decoded.ids, decoded.event_at_s) == (["p"], [1709294400.0])
    assert reasons(decoded) == [(1, "bad_time"), (2, "bad_id")]


def test_a_record_without_rows_has_no_outcome(make_decoder, make_record):
    """There is no event in it."""
    decoded = make_decoder('{ name = "a" }').decode([make_record(stream({"a": pa.array([], pa.float32())}))])

    assert (len(decoded), decoded.rejected, decoded.matrix().shape) == (0, [], (0, 1))


def delta():
    """A stream whose dictionary grows by a delta."""
    return stream(
        pa.Table.from_batches(
            [pa.record_batch({"a": pa.array(words).dictionary_encode()}) for words in (["x"], ["x", "y"])]
        ),
        emit_dictionary_deltas=True,
    )


UNREADABLE = {
    "nothing": b"",
    "JSON": b'{"a": 1}',
    "text": b"no Arrow at all",
    "a file instead of a stream": b"ARROW1\0\0" + stream({"a": [1.0]}),
    "lz4": stream({"a": [1.0] * 100}, compression="lz4"),
    "zstd": stream({"a": [1.0] * 100}, compression="zstd"),
    "a delta": delta(),
    "cut off": stream({"a": [1.0] * 100})[:-20],
    "a batch before the schema": stream({"a": [1.0]})[200:],
    "a union": stream({"a": [1.0], "u": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}),
    "run-end encoded": stream({"a": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([1.0]))}),
    "an old form": stream({"a": [1.0]}, use_legacy_format=True),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_stream_that_is_read_is_refused_whole(make_decoder, make_record, kind):
    """The reason is `not_json`: it is not in the encoding of the contract."""
    decoded = make_decoder('{ name = "a" }').decode([make_record(UNREADABLE[kind])])

    assert reasons(decoded) == [(WHOLE, "not_json")]


KEYS = {"id_field": '"id"', "key_field": '"k"', "event_time_field": '"at"', "event_time_format": '"ms"'}
GOOD = {"id": ["i", "j"], "k": ["key", "key"], "at": [1, 2], "a": [1.0, 2.0], "v": [[1, 2], [3, 4]], "s": ["x", "y"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "bad_id"), ({"id": [1.5, 2.5]}, "bad_id"),
        ({"k": None}, "bad_id"), ({"k": [True, False]}, "bad_id"),
        ({"at": None}, "bad_time"), ({"at": ["1", "2"]}, "bad_time"), ({"at": [dt.date(2024, 1, 1)] * 2}, "bad_time"),
        ({"a": None}, "missing_feature"), ({"a": [None, None]}, "missing_feature"),
        ({"a": ["1", "2"]}, "wrong_type"), ({"a": [True, False]}, "wrong_type"), ({"a": [b"1", b"2"]}, "wrong_type"),
        ({"a": [{"x": 1}] * 2}, "wrong_type"), ({"s": [1, 2]}, "wrong_type"),
        ({"v": [1.0, 2.0]}, "wrong_type"), ({"v": [["1"], ["2"]]}, "wrong_type"),
        ({"v": pa.array([[1, 2, 3]] * 2, pa.list_(pa.int64(), 3))}, "wrong_type"), ({"a": None, "id": None}, "bad_id"),
    ],
)  # fmt: skip
def test_a_column_that_will_not_do_refuses_the_record_whole(make_decoder, make_record, change, reason):
    """With the reason that a row with such a value would have, the first fault in the usual order."""
    decoder = make_decoder(
        '{ name = "a" }', '{ name = "v", dtype = "vector[2]" }', '{ name = "s", dtype = "string" }', **KEYS
    )
    columns = {name: values for name, values in (GOOD | change).items() if values is not None}

    assert reasons(decoder.decode([make_record(stream(GOOD), key=b"key")])) == []
    for _ in range(2):  # what is known of a schema is kept
        assert reasons(decoder.decode([make_record(stream(columns), key=b"key")])) == [(WHOLE, reason)]


def test_a_key_is_only_compared_where_there_is_one(make_decoder, make_record):
    """As in JSON: without a key the column need not even be there; with one every row must have it."""
    decoder = make_decoder('{ name = "a" }', key_field='"k"')

    assert len(decoder.decode([make_record(stream({"a": [1.0]}))])) == 1
    decoded = decoder.decode([make_record(stream({"a": [1.0, 2.0], "k": ["x", "y"]}), key=b"y")])
    assert (decoded.source_rows.tolist(), reasons(decoded)) == ([1], [(0, "bad_id")])
    numbers = decoder.decode([make_record(stream({"a": [1.0, 2.0], "k": [7, 8]}), key=b"7")])
    assert numbers.source_rows.tolist() == [0]


def test_a_path_leads_through_structs(make_decoder, make_record):
    """What lies in a null struct is null; a way over a column that is no struct refuses the record."""
    decoder = make_decoder('{ name = "a", path = "o.p.a", default = 9 }', '{ name = "b", path = "o.b" }')
    rows = [{"o": {"p": {"a": 1.0}, "b": 2.0}}, {"o": {"p": None, "b": 3.0}}, {"o": None}]
    decoded = decoder.decode([make_record(stream(pa.Table.from_pylist(rows)))])

    assert (decoded.matrix().tolist(), reasons(decoded)) == ([[1, 2], [9, 3]], [(2, "missing_feature")])
    assert reasons(decoder.decode([make_record(stream({"o": [1.0]}))])) == [(WHOLE, "wrong_type")]


def test_the_last_of_two_columns_of_a_name_counts(make_decoder, make_record):
    """As the last of equal keys does in JSON."""
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array([2.0])], names=["a", "a"])

    assert make_decoder('{ name = "a" }').decode([make_record(stream(table))]).matrix().tolist() == [[2.0]]


def test_sizes_are_bounded(make_decoder, make_record):
    """No value, too many bytes, too long a key, too many rows, or more of them than so few bytes can mean."""
    decoder = make_decoder('{ name = "a" }', max_record_bytes=400_000)
    many = pa.array(np.zeros(ROWS_MAX + 1, np.float32))
    light = {"a": pa.array(np.zeros(20_000, np.float16)).dictionary_encode()}
    records = [
        make_record(None), make_record(stream({"a": [1.0] * 60_000})),
        make_record(stream({"a": [1.0]}), key=b"k" * (1 << 20)), make_record(stream({"a": many})),
        make_record(stream(light | {"b": pa.nulls(20_000)})),
        make_record(stream({"a": many[:-1]})),
    ]  # fmt: skip
    light_bytes = stream({"a": pa.array([True] * 9_000)})
    decoded = decoder.decode(records)

    assert [each.reason.value for each in decoded.rejected] == ["null_value", "oversized", "oversized", "oversized"]
    assert len(decoded) == ROWS_MAX + 20_000
    assert decoder.decode([make_record(light_bytes)]).rejected[0].reason == Reason.OVERSIZED


def test_texts_that_are_no_utf8_refuse_the_record(make_decoder, make_record):
    """Also in a column that nobody reads, as in JSON."""
    decoder = make_decoder('{ name = "a" }')
    for kind in (pa.string(), pa.string_view()):
        value = stream({"a": [1.0], "t": pa.array(["ü-longer-than-inline"], kind)})
        broken = value.replace("ü-l".encode(), b"\xff\xff-l")
        assert broken != value
        assert reasons(decoder.decode([make_record(broken)])) == [(WHOLE, "not_json")]
    cut = stream({"a": [1.0, 2.0], "t": ["xü", "y"]}).replace(b"\0\0\0\0\3\0\0\0\4\0\0\0", b"\0\0\0\0\2\0\0\0\4\0\0\0")
    assert reasons(decoder.decode([make_record(cut)])) == [(WHOLE, "not_json")]


@pytest.mark.parametrize("index", [-1, 2, 127])
def test_an_index_beyond_its_dictionary_refuses_the_record(make_decoder, make_record, index):
    """In a column that is read or not; where the value is null the index means nothing."""
    decoder = make_decoder('{ name = "a" }', '{ name = "s", dtype = "string", default = "q" }')
    for name in ("s", "t"):
        for last, refused in (("y", True), (None, False)):
            words = pa.array([*"xyyxyxy", last]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
            value = stream({"a": [1.0] * 8, name: words})
            before = bytes([0, 1, 1, 0, 1, 0, 1])
            at = value.index(before) + len(before)
            broken = value[:at] + bytes([index % 256]) + value[at + 1 :]
            decoded = decoder.decode([make_record(broken)])
            assert reasons(decoded) == ([(WHOLE, "not_json")] if refused else [])


def test_a_row_alone_has_its_columns_and_the_values_of_its_dictionaries(make_decoder, make_record):
    """Two columns of one dictionary, nested lists, decimals, dates and maps: of all there is what the row has."""
    words = pa.array(["x", "y", "z" * 20, None]).dictionary_encode()
    table = pa.table(
        {
            "a": [1.0, 2.0, 3.0, 4.0], "d": words, "e": words,
            "n": pa.array([[{"p": ["q", None]}], [], None, [{"p": None}]]),
            "x": pa.array([1, 2, 3, None]).cast(pa.decimal128(30, 2)),
            "m": pa.array([[("k", 1)]] * 4, pa.map_(pa.string(), pa.int8())),
            "l": pa.array([["x", None, "y"], [], None, ["y", "y"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
            "t": pa.array([dt.date(2024, 1, 1)] * 4), "h": pa.array([b"12"] * 4, pa.binary(2)), "u": pa.nulls(4),
        }
    )  # fmt: skip
    decoder, record = make_decoder('{ name = "a" }'), make_record(stream(table, rows_per_batch=3))

    for row, content in enumerate(table.to_pylist()):
        assert rows_of(decoder.alone(record, row)) == [content]
    with pytest.raises(IndexError):
        decoder.alone(record, 4)


def test_rows_taken_out_of_a_record_are_bounded(make_decoder, make_record):
    """Each has the schema again: where that is most of the record, the later rows are cut, and the record is named."""
    decoder = make_decoder('{ name = "a", low = 0 }')
    wide = {f"a column that nobody reads {n}": pa.nulls(2000) for n in range(500)}
    value = stream({"a": pa.array([-1.0] * 2000, pa.float32())} | wide)
    record = make_record(value, offset=4)
    rejected = decoder.decode([record]).rejected
    taken = [decoder.alone(record, each.row) for each in rejected]

    kept = [each for each in taken if each is not None]
    assert (len(rejected), len(rows_of(kept[-1]))) == (2000, 1)
    assert sum(map(len, kept)) <= 32 * len(value) + len(kept[0])
    assert len(kept) < 200
    assert taken[len(kept) :] == [None] * (2000 - len(kept))
    other = make_record(stream({"a": [-1.0]}))
    assert decoder.alone(other, 0) is not None
    assert decoder.alone(record, 0) is not None


def test_a_row_that_is_cut_names_its_record(make_record):
    """Its dead letter has no value, and tells size and digest of what it stands in."""
    letter = dead_letter(make_record(b"whole", key=b"k"), Reason.WRONG_TYPE, "no", failed_at_s=1.0, row=7, value=None)
    headers = dict(letter.headers)

    assert (letter.key, letter.value, headers["source-row"], headers["size"]) == (b"k", b"", b"7", b"5")
    assert headers["sha256"] == hashlib.sha256(b"whole").hexdigest().encode()


def test_who_reads_json_does_not_load_the_arrow_reader():
    """A worker of JSON pipelines starts as fast and takes as much memory as before."""
    program = "import app.worker, app.topology.pipeline, sys; print([name for name in sys.modules if 'arrow' in name])"
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == "[]"
