"""Decoding a batch: what is good becomes arrays, what is not gets the first of its faults as reason."""

import json

import numpy as np
import pytest

from app.errors import Reason
from app.features import BatchDecoder

FULL = [
    '{ name = "amount", path = "tx.amount", low = 0, high = 1000 }',
    '{ name = "visits", dtype = "int" }',
    '{ name = "member", dtype = "bool" }',
    '{ name = "country", dtype = "string", categories = ["DE", "FR"] }',
    '{ name = "embedding", dtype = "vector[2]", missing = "nan" }',
    '{ name = "whole", dtype = "vector[1]" }',
]
KEYS = {
    "id_field": '"tx.id"',
    "key_field": '"account"',
    "event_time_field": '"at"',
    "event_time_format": '"iso8601"',
}


def event(**changes):
    """A good event of the full contract; a change to `...` leaves the field out."""
    full = {
        "tx": {"id": "t1", "amount": 12.5},
        "account": "acc",
        "at": "2024-02-29T12:00:00+01:00",
        "visits": 3,
        "member": True,
        "country": "DE",
        "embedding": [1, 2.5],
        "whole": [0],
        "extra": {"ignored": [None]},
        **changes,
    }
    return {key: value for key, value in full.items() if value is not ...}


def test_a_good_record_becomes_one_row_of_every_type(make_contract, make_record):
    """Each column has the type of its feature; id and time are read from the fields that the contract names."""
    decoded = BatchDecoder(make_contract(*FULL, **KEYS)).decode([make_record(event(), key=b"acc")])

    assert (decoded.kept, decoded.ids, decoded.event_at_s, decoded.rejected) == ([0], ["t1"], [1709204400.0], [])
    columns = {name: decoded.column(name) for name in ("amount", "visits", "member", "country", "embedding")}
    assert {name: column.dtype for name, column in columns.items()} == {
        "amount": np.float32, "visits": np.int64, "member": np.bool_, "country": object, "embedding": np.float32
    }  # fmt: skip
    assert {name: column.tolist() for name, column in columns.items()} == {
        "amount": [[12.5]], "visits": [[3]], "member": [[True]], "country": [["DE"]], "embedding": [[1, 2.5]]
    }  # fmt: skip
    with pytest.raises(TypeError, match="country"):
        decoded.matrix()
    with pytest.raises(KeyError, match="no such"):
        decoded.column("no such")


FAULTS = {
    "no value": (None, Reason.NULL_VALUE, "no value"),
    "too large": (b'{"pad": "' + b"x" * 3000 + b'"}', Reason.OVERSIZED, "3011 bytes are more than 2000"),
    "empty": (b"", Reason.NOT_JSON, "Expecting value"),
    "cut": (b'{"visits": 3', Reason.NOT_JSON, "not JSON"),
    "NaN": (event(visits=float("nan")), Reason.NOT_JSON, "NaN is not JSON"),
    "latin-1 in a field that nobody reads": (
        json.dumps(event(extra="gr\u00fcn"), ensure_ascii=False).encode("latin-1"), Reason.NOT_JSON, "utf-8"
    ),
    "byte order mark": (b"\xef\xbb\xbf{}", Reason.NOT_JSON, "BOM"),
    "nested too deep": (b'{"extra": ' + b"[" * 128 + b"]" * 128 + b"}", Reason.NOT_JSON, "deeper than 128"),
    "a list": (b"[1, 2]", Reason.NOT_OBJECT, "expected a JSON object"),
    "null": (b"null", Reason.NOT_OBJECT, "got None"),
    "no id": (event(tx={"amount": 1}), Reason.BAD_ID, "tx.id is missing"),
    "empty id": (event(tx={"id": "", "amount": 1}), Reason.BAD_ID, "expected a non-empty string"),
    "float id": (event(tx={"id": 1.5, "amount": 1}), Reason.BAD_ID, "tx.id is 1.5"),
    "boolean id": (event(tx={"id": True, "amount": 1}), Reason.BAD_ID, "tx.id is True"),
    "id that is no text": (event(tx={"id": "\ud800", "amount": 1}), Reason.BAD_ID, "tx.id is"),
    "id in no object": (event(tx=[1]), Reason.BAD_ID, "tx is no object"),
    "key of another account": (event(account="other"), Reason.BAD_ID, "key is b'acc', its field account 'other'"),
    "key field absent": (event(account=...), Reason.BAD_ID, "account is missing"),
    "no time": (event(at=...), Reason.BAD_TIME, "at is missing"),
    "time in words": (event(at="yesterday"), Reason.BAD_TIME, "expected a time from 1970 to 9999 as iso8601"),
    "time as number": (event(at=1700000000), Reason.BAD_TIME, "at is 1700000000"),
    "time before 1970": (event(at="1969-12-31T23:59:59Z"), Reason.BAD_TIME, "at is"),
    "text that is none": (event(country="\ud800"), Reason.WRONG_TYPE, "expected a string"),
    "null in a vector that must be whole": (event(whole=[None]), Reason.MISSING_FEATURE, "whole[0] is missing"),
    "digits without end": (
        json.dumps(event()).replace("[1, 2.5]", f"[1, -{'9' * 399}]").encode(), Reason.NOT_FINITE, "embedding[1]"
    ),
    "feature absent": (event(visits=...), Reason.MISSING_FEATURE, "visits is missing"),
    "feature null": (event(visits=None), Reason.MISSING_FEATURE, "visits is missing"),
    "parent absent": (event(tx={"id": "t"}), Reason.MISSING_FEATURE, "amount: tx.amount is missing"),
    "boolean for a number": (event(tx={"id": "t", "amount": True}), Reason.WRONG_TYPE, "expected a number, got True"),
    "text for a number": (event(tx={"id": "t", "amount": "5"}), Reason.WRONG_TYPE, "expected a number"),
    "fraction for an int": (event(visits=1.5), Reason.WRONG_TYPE, "expected an integer, got 1.5"),
    "number for a boolean": (event(member=1), Reason.WRONG_TYPE, "expected true or false"),
    "number for a text": (event(country=49), Reason.WRONG_TYPE, "expected a string"),
    "short vector": (event(embedding=[1]), Reason.WRONG_TYPE, "expected a list of 2 numbers"),
    "text in a vector": (event(embedding=[1, "2"]), Reason.WRONG_TYPE, "embedding[1]: expected a number"),
    "below the range": (event(tx={"id": "t", "amount": -1}), Reason.OUT_OF_RANGE, "in the range from 0.0 to 1000.0"),
    "unknown category": (event(country="US"), Reason.OUT_OF_RANGE, "'US' is none of 2 categories"),
    "beyond 64 bits": (event(visits=2**63), Reason.OUT_OF_RANGE, "does not fit 64 bits"),
    "integer without end": (
        json.dumps(event()).replace('"visits": 3', '"visits": ' + "9" * 1500).encode(), Reason.OUT_OF_RANGE, "64 bits"
    ),
    "beyond a float32": (event(embedding=[1, 1e300]), Reason.NOT_FINITE, "embedding[1]: 1e+300 is not finite"),
    "beyond a float64": (
        json.dumps(event()).replace("2.5]", "-1e999]").encode(), Reason.NOT_FINITE, "embedding[1]: -inf"
    ),
    "range before finiteness": (event(tx={"id": "t", "amount": 1e300}), Reason.OUT_OF_RANGE, "range"),
    "size before JSON": (b"x" * 2001, Reason.OVERSIZED, "2001"),
    "id before time": (event(tx={"amount": 1}, at=0), Reason.BAD_ID, "tx.id"),
    "time before features": (event(visits="x", at=0), Reason.BAD_TIME, "at"),
    "features in contract order": (event(country=None, member=5), Reason.WRONG_TYPE, "member"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_the_first_fault_is_the_reason_and_neighbours_are_kept(make_contract, make_record, case):
    """A bad record between two good ones is refused alone, with a closed reason and a text for people."""
    value, reason, text = FAULTS[case]
    decoder = BatchDecoder(make_contract(*FULL, **KEYS), max_record_bytes=2000)
    decoded = decoder.decode([make_record(v, key=b"acc") for v in (event(), value, event())])

    assert decoded.kept == [0, 2]
    [rejected] = decoded.rejected
    assert (rejected.position, rejected.reason) == (1, reason)
    assert text in rejected.error


ODD_BUT_GOOD = {
    "1.0 for an int": (event(visits=1.0), "visits", [[1]]),
    "1e2 for an int": (json.dumps(event()).replace('"visits": 3', '"visits": 1e2').encode(), "visits", [[100]]),
    "int for a float": (event(tx={"id": 5, "amount": 7}), "amount", [[7.0]]),
    "vector left out": (event(embedding=...), "embedding", [[None, None]]),
    "vector null": (event(embedding=None), "embedding", [[None, None]]),
    "null in a vector": (event(embedding=[1, None]), "embedding", [[1, None]]),
    "the last of equal keys": (b'{"visits": "x", ' + json.dumps(event()).encode()[1:], "visits", [[3]]),
    "1e999 in a field that nobody reads": (
        json.dumps(event()).replace("[null]", "1e999").encode(), "visits", [[3]]
    ),
    "nested as deep as may be": (
        json.dumps(event()).replace("[null]", "[" * 126 + '"{\\"["' + "]" * 126).encode(), "visits", [[3]]
    ),
    "escaped key": (json.dumps(event()).replace('"visits"', '"\\u0076isits"').encode(), "visits", [[3]]),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_BUT_GOOD)
def test_unusual_records_that_are_good_are_kept(make_contract, make_record, case):
    """JSON does not distinguish 1 from 1.0, null is missing, and the last of equal keys wins."""
    value, name, expected = ODD_BUT_GOOD[case]
    decoded = BatchDecoder(make_contract(*FULL, **KEYS)).decode([make_record(value, key=b"acc")])

    assert decoded.rejected == []
    np.testing.assert_array_equal(decoded.column(name), np.array(expected, float))  # None is NaN


def test_a_record_without_key_is_not_compared_with_its_field(make_contract, make_record):
    """It can be scored; only its labels could not find it."""
    decoded = BatchDecoder(make_contract(*FULL, **KEYS)).decode([make_record(event(account="any"), key=None)])

    assert decoded.kept == [0]


def test_what_would_make_a_prediction_too_large_is_refused(make_contract, make_record):
    """An id beyond 65,535 characters is bad, and a key beyond 512 KiB oversized: no topic might take the prediction."""
    contract = make_contract('{ name = "a" }', id_field='"id"')
    records = [
        make_record({"id": "é" * 65_535, "a": 1}, key=b"k" * (512 << 10)),
        make_record({"id": "i" * 65_536, "a": 1}),
        make_record({"id": "i", "a": 1}, key=b"k" * ((512 << 10) + 1)),
        make_record(b"no JSON", key=b"k" * ((512 << 10) + 1)),
    ]
    decoded = BatchDecoder(contract).decode(records)

    assert decoded.kept == [0]
    assert [(each.position, each.reason) for each in decoded.rejected] == [
        (1, Reason.BAD_ID),
        (2, Reason.OVERSIZED),
        (3, Reason.OVERSIZED),
    ]


def test_integer_ids_become_their_json_text(make_contract, make_record):
    """Labels may then carry the id as text."""
    decoder = BatchDecoder(make_contract('{ name = "a" }', id_field='"id"'))
    assert decoder.decode([make_record({"id": i, "a": 1}) for i in (42, -7, 10**30)]).ids == ["42", "-7", str(10**30)]


def test_without_id_and_time_fields_the_record_itself_is_asked(make_contract, make_record):
    """The id is the source coordinates, the time is Kafka's."""
    decoded = BatchDecoder(make_contract('{ name = "a" }')).decode([make_record({"a": 1})])

    assert (decoded.ids, decoded.event_at_s) == (["toy.features-3-17"], [1_700_000_000.25])


@pytest.mark.parametrize(
    ("time_format", "raw", "at_s"),
    [
        ("s", 1700000000.25, 1700000000.25),
        ("s", 0, 0.0),
        ("ms", 1700000000250, 1700000000.25),
        ("us", 1700000000250000, 1700000000.25),
        ("iso8601", "2023-11-14T22:13:20.250Z", 1700000000.25),
        ("iso8601", "2023-11-14T22:13:20.250", 1700000000.25),
        ("s", 1700000000250, None),
        ("ms", "1700000000250", None),
        ("s", -1, None),
        ("us", True, None),
        ("s", 10**400, None),
    ],
)
def test_event_times_in_each_format(make_contract, make_record, time_format, raw, at_s):
    """Milliseconds taken for seconds would be beyond the year 9999, and are refused."""
    contract = make_contract('{ name = "a" }', event_time_field='"at"', event_time_format=f'"{time_format}"')
    decoded = BatchDecoder(contract).decode([make_record({"a": 1, "at": raw})])

    assert decoded.event_at_s == ([] if at_s is None else [at_s])
    assert [rejected.reason for rejected in decoded.rejected] == ([Reason.BAD_TIME] if at_s is None else [])


def test_a_time_inside_what_is_no_object_is_a_bad_time(make_contract, make_record):
    """The fault is the time's, not a feature's."""
    contract = make_contract('{ name = "a" }', event_time_field='"meta.at"', event_time_format='"s"')
    [rejected] = BatchDecoder(contract).decode([make_record({"a": 1, "meta": 5})]).rejected

    assert (rejected.reason, rejected.error) == (Reason.BAD_TIME, "meta.at: meta is no object but 5")


def test_missing_values_become_nan_or_the_default(make_contract, make_record):
    """Absent and null are the same, in columns and in the matrix, for every type."""
    decoder = BatchDecoder(
        make_contract(
            '{ name = "a", missing = "nan" }',
            '{ name = "b", default = 5 }',
            '{ name = "c", dtype = "int", default = 6 }',
            '{ name = "d", dtype = "bool", default = true }',
        )
    )
    decoded = decoder.decode(
        [make_record({}), make_record(dict.fromkeys("abcd")), make_record({**dict.fromkeys("abcd"), "a": 1})]
    )

    nan = np.nan
    np.testing.assert_array_equal(decoded.matrix(), np.float32([[nan, 5, 6, 1], [nan, 5, 6, 1], [1, 5, 6, 1]]))
    assert decoded.column("c").tolist() == [[6]] * 3
    assert decoded.column("d").tolist() == [[True]] * 3
    np.testing.assert_array_equal(decoded.column("b"), np.float32([[5]] * 3))


def test_missing_vectors_and_strings_take_their_defaults(make_contract, make_record):
    """A number as default stands for each element; a null element takes its own."""
    decoder = BatchDecoder(
        make_contract(
            '{ name = "v", dtype = "vector[2]", default = [7, 8] }',
            '{ name = "w", dtype = "vector[2]", default = 9 }',
            '{ name = "s", dtype = "string", default = "none" }',
        )
    )
    decoded = decoder.decode([make_record({"v": [None, 1]}), make_record({"w": [1, 2], "s": "x"})])

    assert [decoded.column(name).tolist() for name in "vws"] == [
        [[7, 1], [7, 8]], [[9, 9], [1, 2]], [["none"], ["x"]]
    ]  # fmt: skip


def test_an_absent_object_is_missing_values(make_contract, make_record):
    """Where all that is inside may be missing, the object around it may be too; a text in its place is wrong."""
    decoder = BatchDecoder(make_contract('{ name = "a", path = "o.a", missing = "nan" }', '{ name = "b" }'))
    decoded = decoder.decode(
        [make_record(v) for v in ({"b": 1}, {"o": None, "b": 1}, {"o": {}, "b": 1}, {"o": "", "b": 1})]
    )

    np.testing.assert_array_equal(decoded.matrix(), np.float32([[np.nan, 1]] * 3))
    assert [(rejected.position, rejected.reason) for rejected in decoded.rejected] == [(3, Reason.WRONG_TYPE)]


def test_one_field_may_be_a_feature_and_the_time_and_the_id(make_contract, make_record):
    """Each use judges the field by its own rule."""
    contract = make_contract('{ name = "at" }', event_time_field='"at"', event_time_format='"s"', id_field='"at"')
    decoded = BatchDecoder(contract).decode(
        [make_record({"at": 5}), make_record({"at": 5.5}), make_record({"at": "x"})]
    )

    assert (decoded.ids, decoded.event_at_s, decoded.matrix().tolist()) == (["5"], [5.0], [[5.0]])
    assert [rejected.reason for rejected in decoded.rejected] == [Reason.BAD_ID, Reason.BAD_TIME]


def test_vectors_stand_in_the_matrix_in_contract_order(make_contract, make_record):
    """Their elements side by side, between the columns of the other features."""
    decoder = BatchDecoder(make_contract('{ name = "a" }', '{ name = "v", dtype = "vector[3]" }', '{ name = "b" }'))

    assert decoder.decode([make_record({"b": 5, "a": 1, "v": [2, 3, 4]})]).matrix().tolist() == [[1, 2, 3, 4, 5]]


@pytest.mark.parametrize("default", ["true", "false"])
def test_a_missing_bool_is_what_the_contract_says(make_contract, make_record, default):
    """Also true, although Python packs a bool that is not there as false."""
    decoder = BatchDecoder(make_contract(f'{{ name = "b", dtype = "bool", default = {default} }}', '{ name = "f" }'))
    decoded = decoder.decode(
        [make_record({"f": 1}), make_record({"b": None, "f": 2}), make_record({"b": False, "f": 3})]
    )

    assert decoded.column("b").tolist() == [[default == "true"], [default == "true"], [False]]


@pytest.mark.parametrize("n_numbers", [2, 1000])
@pytest.mark.parametrize("features", [(), ('{ name = "a" }', '{ name = "s", dtype = "string" }')])
def test_a_plain_record_is_not_judged_twice(make_contract, make_record, monkeypatch, features, n_numbers):
    """The exact rule is many times slower, and only for records that are not plainly good; long vectors are."""
    monkeypatch.setattr("app.features.decoding.decode_record", None)
    vector = np.random.default_rng(7).random(n_numbers)
    decoder = BatchDecoder(make_contract(*features, f'{{ name = "v", dtype = "vector[{n_numbers}]" }}'))
    values = {"a": 5, "s": "x", "v": vector.tolist()}
    events = values, {**values, "z": [1]}, {"z": "[", **values}
    decoded = decoder.decode([make_record(event) for event in events])

    assert decoded.column("v").tolist() == [vector.astype(np.float32).tolist()] * 3


@pytest.mark.parametrize("features", [FULL, FULL[:3]])
def test_a_batch_without_good_records_has_empty_arrays(make_contract, make_record, features):
    """Shapes stay what they are with no rows."""
    contract = make_contract(*features)
    decoded = BatchDecoder(contract).decode([make_record(None)])

    assert [decoded.column(feature.name).shape for feature in contract.features] == [
        (0, feature.width) for feature in contract.features
    ]
    assert len(decoded) == 0
    if features != FULL:
        assert decoded.matrix().shape == (0, 3)


def test_a_selection_is_a_batch_of_its_own(make_contract, make_record):
    """It keeps positions, ids, times and values of the chosen records and none of the rejected."""
    decoder = BatchDecoder(make_contract('{ name = "a" }', '{ name = "b" }', id_field='"id"'))
    decoded = decoder.decode([make_record(v) for v in ({"id": "x", "a": 1, "b": 2}, {}, {"id": "z", "a": 3, "b": 4})])
    part = decoded.select([1])

    assert (part.kept, part.ids, part.matrix().tolist(), part.rejected) == ([2], ["z"], [[3, 4]], [])
    decoded.matrix()
    assert decoded.select([0]).matrix().tolist() == [[1, 2]]


@pytest.mark.parametrize("key", ['a "b"', "back\\slash", "new\nline"])
def test_a_field_whose_name_json_escapes_is_a_field_like_others(make_contract, make_record, key):
    """Such names stand in the headers of files; a worker must not end over one."""
    contract = make_contract(f'{{ name = "x", path = [{json.dumps(key)}], high = 5 }}')
    decoded = BatchDecoder(contract).decode([make_record({key: 1}), make_record({key: 9}), make_record({})])

    assert decoded.column("x").tolist() == [[1.0]]
    assert [each.reason.value for each in decoded.rejected] == ["out_of_range", "missing_feature"]
