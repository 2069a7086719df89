"""The fast path of decoding against its meaning: batch by batch, record by record, byte by byte."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import InvalidRecord
from app.features import BatchDecoder, Contract
from app.features.exact import decode_record
from tests.makers import Given

CONTRACTS = {
    "everything": """
        id_field = "tx.id"
        key_field = "account"
        event_time_field = "at"
        event_time_format = "ms"
        features = [
            { name = "f", low = -2, high = 1e3 }, { name = "g", missing = "nan", path = "tx.g" },
            { name = "h", default = 0.5 }, { name = "i", dtype = "int" },
            { name = "j", dtype = "int", categories = [1, 2] },
            { name = "b", dtype = "bool" }, { name = "s", dtype = "string" },
            { name = "c", dtype = "string", categories = ["x", "y"], default = "y" },
            { name = "v", dtype = "vector[2]", missing = "nan" }, { name = "w", dtype = "vector[1]", path = "tx.o.w" },
        ]""",
    "plain": 'features = [{ name = "f" }, { name = "g" }, { name = "i", dtype = "int" }]',
    "single": 'event_time_field = "at"\nevent_time_format = "iso8601"\nid_field = "id"\nfeatures = [{ name = "f" }]',
    "vector": 'id_field = "id"\nfeatures = [{ name = "v", dtype = "vector[3]" }]',
    "vectors": """
        features = [
            { name = "v", dtype = "vector[3]", low = -1, high = 1e25 }, { name = "f" },
            { name = "i", dtype = "int", default = 4 }, { name = "w", dtype = "vector[3]", default = [7, 8, 9] },
            { name = "x", dtype = "vector[1]", missing = "nan", path = "o.x" }, { name = "b", dtype = "bool" },
        ]""",
    "columns": """
        id_field = "id"
        features = [
            { name = "s", dtype = "string" }, { name = "i", dtype = "int" }, { name = "f", missing = "nan" },
            { name = "c", dtype = "string", categories = ["x", "y"], default = "y" }, { name = "b", dtype = "bool" },
            { name = "v", dtype = "vector[3]" },
        ]""",
    "words": 'features = [{ name = "s", dtype = "string" }, { name = "c", dtype = "string", default = "" }]',
    "shared": 'event_time_field = "f"\nevent_time_format = "s"\nid_field = "i"\n'
    'features = [{ name = "f" }, { name = "i", dtype = "int" }]',
}


@pytest.fixture(scope="module", params=CONTRACTS)
def contract(request, tmp_path_factory):
    """Each contract in turn."""
    path: Path = tmp_path_factory.mktemp("contracts") / "contract.toml"
    head = 'name = "toy"\ntask = "regression"\nlabel_horizon_s = 60\n'
    path.write_text(head + CONTRACTS[request.param].replace("\n            ", " ").replace("\n        ]", " ]"))
    return Contract.load(path)


number = st.one_of(
    st.integers(-3, 3),
    st.floats(-5, 2000, allow_nan=False),
    st.sampled_from([1e300, -1e300, 2.0**128 - 2.0**103, 3.4e38, 2**63, -(2**63) - 1, 10**25, 10**320, 1e18]),
)
odd = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.lists(number, max_size=2), st.just({}))
scalar = st.one_of(number, number, odd)


vector = st.lists(st.one_of(number, number, scalar), max_size=3)
time = st.sampled_from([0, 1e12, 253402300800000, "2024-01-01", "2024-01-01T00:00:00.5+02:00", "0001-01-01", "x"])
CHANGES = {
    "tx": st.dictionaries(st.sampled_from(["id", "g", "o"]), scalar | st.fixed_dictionaries({"w": vector})),
    "id": scalar,
    "account": st.sampled_from(["acc", 7, None, "other"]),
    "at": time | number,
    "v": vector,
    "w": vector,
    "o": scalar | st.fixed_dictionaries({"x": vector}),
    "c": st.sampled_from(["x", "y", "z"]),
    **dict.fromkeys("fghijbsz", scalar),
}
GOOD = {
    "everything": {
        "tx": {"id": "t", "g": 1.5, "o": {"w": [3]}}, "account": "acc", "at": 1_700_000_000_000, "f": 0.25, "g": 1,
        "h": 2, "i": 5, "j": 1, "b": True, "s": "Ö", "c": "x", "v": [1, 2.5], "z": None,
    },
    "plain": {"f": 0.1, "g": 2, "i": -3, "z": {"deep": [1]}},
    "single": {"f": 0.1, "id": 12, "at": "2024-01-01T00:00:00Z"},
    "vector": {"id": 1, "v": [0.5, -0.0, 1e5]},
    "vectors": {"v": [0, 1.5, 1e25], "f": 1, "i": 2, "w": [1, 2, 3], "o": {"x": [4]}, "b": False},
    "columns": {"id": "c", "s": "", "i": 2, "f": 0.5, "c": "x", "b": True, "v": [3, 2, 1]},
    "words": {"s": "a[", "c": "{"},
    "shared": {"f": 12.5, "i": 7},
}  # fmt: skip


@st.composite
def events(draw):
    """A good event of one of the contracts, with a field or two changed or left out."""
    event = dict(draw(st.sampled_from(list(GOOD.values()))))
    for key in draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=2)):
        event[key] = draw(CHANGES[key])
    for key in draw(st.sets(st.sampled_from(sorted(event)), max_size=1)):
        del event[key]
    return event


@st.composite
def texts(draw):
    """JSON of an event, at times with bytes changed, cut or doubled."""
    value = json.dumps(draw(events()), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1]))):
        at = draw(st.integers(0, len(value)))
        put = draw(
            st.sampled_from(
                [b"", b'"', b"0", b"1e999", b"-", b",", b"\xff", b"\x00", b"NaN", b"\\ud800", b"[", b" ", b"."]
            )
        )
        value = value[:at] + put + value[at + draw(st.integers(0, 2)) :]
    return value


def naive(contract, records):
    """What a batch means: each record alone by the exact rule, in order."""
    kept, rejected = [], []
    for position, record in enumerate(records):
        try:
            kept.append((position, decode_record(contract, record, max_record_bytes=2000)))
        except InvalidRecord as error:
            rejected.append((position, error.reason, str(error)))
    return kept, rejected


def naive_column(feature, position, kept):
    """The column of a feature from the values of the naive reading."""
    column = []
    for _, decoded in kept:
        value = decoded.values[position]
        if value is None:
            value = feature.default if feature.missing == "default" else [np.nan] * feature.width
        column.append(value if isinstance(value, list | tuple) else [value])
    return np.array(column, object).reshape(len(kept), feature.width)


def assert_decoded_as_one_by_one(contract, records):
    """Same records kept, same ids, times and values to the bit; same reasons and texts for the others."""
    decoded = BatchDecoder(contract, max_record_bytes=2000).decode(records)
    kept, rejected = naive(contract, records)

    assert decoded.kept == [position for position, _ in kept]
    assert [tuple(r)[:3] for r in decoded.rejected] == rejected
    assert (decoded.ids, decoded.event_at_s) == ([r.id for _, r in kept], [r.event_at_s for _, r in kept])
    for position, feature in enumerate(contract.features):
        column, expected = decoded.column(feature.name), naive_column(feature, position, kept)
        if column.dtype == np.float32:
            assert not np.isinf(column).any()
            expected = expected.astype(np.float64).astype(np.float32)
            np.testing.assert_array_equal(np.signbit(column), np.signbit(expected))
        np.testing.assert_array_equal(column, expected)
    if all(feature.dtype != "string" for feature in contract.features):
        columns = [decoded.column(feature.name) for feature in contract.features]
        np.testing.assert_array_equal(decoded.matrix(), np.concatenate(columns, axis=1, dtype=np.float32))
    every_other = list(range(0, len(kept), 2))
    for feature in contract.features:
        np.testing.assert_array_equal(
            decoded.select(every_other).column(feature.name), decoded.column(feature.name)[every_other]
        )


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.one_of(texts(), texts(), texts(), st.none()), max_size=6), keys=st.booleans())
@example(values=[b'{"f": 1, "g": 2, "i": 3, "\\ud800": 4}', b"\x00", b'{"f":1,"f":null}'], keys=True)
def test_a_batch_is_decoded_as_its_records_one_by_one(contract, values, keys):
    """Whatever the records of a batch are."""
    records = [Given(value, key=b"acc" if keys else None, offset=offset) for offset, value in enumerate(values)]
    assert_decoded_as_one_by_one(contract, records)


NUMBERS = [
    "0", "-0", "-0.0", "1", "-1", "1E5", "1e+5", "100000.00000000001", "-1.0000000000000002", "0.1", "1e-400", "1e-46",
    "16777217", "9007199254740993", "18446744073709551616", "12345678901234567890123",
    "1.000000059604644775390626", "1.00000017881393432617187499", "3.4028235677973362e38", "7.006492321624085e-46",
]  # fmt: skip
"""Good elements; among them texts that float32 alone would round otherwise than float64 and then float32 do."""
TOO_LARGE = ["1e400", "-1e400", "1e300", "1e39", "-3.4028235677973366e38", "9" * 320, "-" + "9" * 410]
NO_NUMBERS = [
    "null", "true", "false", '"1"', '"["', "[1]", "[]", "{}", "NaN", "-Infinity", "01", "+1", ".5", "1.", "1e", "-", "",
    "0x1", "1 2", "\u0661",
]  # fmt: skip
space = st.sampled_from(["", "", "", " ", "\n\t", "\r"])
element = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS),
    st.floats(-1, 1e5).map(repr),
    st.floats(-1, 1, width=32).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
)


@st.composite
def vectors(draw, width):
    """JSON text of a list that is mostly of *width* numbers; an element may be none, and the list none either."""
    width = draw(st.sampled_from([width] * 12 + [width - 1, width + 1, 0]))
    elements = [draw(element) for _ in range(width)]
    for at in draw(st.sets(st.integers(0, max(width - 1, 0)), max_size=draw(st.sampled_from([0] * 7 + [1])))):
        elements[at : at + 1] = [draw(st.sampled_from(TOO_LARGE) | st.sampled_from(NO_NUMBERS))]
    listed = "[" + ",".join(draw(space) + each + draw(space) for each in elements) + "]"
    return draw(st.sampled_from([listed] * 30 + ["null", "{}", "1", f"[{listed}]", listed[:-1], listed[:-1] + ",]"]))


@st.composite
def vector_texts(draw):
    """JSON of an event with vectors, in any order of its members, with some of them twice, unread or escaped."""
    members = {
        '"id"': st.sampled_from(["1", '"i"', '"é"', '"\\u0031"', "0.5"]),
        '"v"': vectors(3),
        '"w"': vectors(3),
        '"f"': element,
        '"i"': st.sampled_from(["1", "2.0", "null"]),
        '"o"': vectors(1).map('{{"x":{}}}'.format),
        '"b"': st.sampled_from(["true", "false"]),
        '"s"': st.sampled_from(['"["', '"é"', '"\\\\"', '"{]"', '"\\ud83d\\ude00"', '"\\ud83d"']),
    }
    spelled = {'"v"': '"\\u0076"'}
    written = draw(st.permutations(list(members)))
    written += draw(st.lists(st.sampled_from([*members, '"z"']), max_size=2))
    unread = st.sampled_from(["[[1],{}]", '"ä"', "[" * 127 + "]" * 127, "1e999", "[" * 128 + "]" * 128])
    pairs = []
    for key in written:
        name = spelled.get(key, key) if draw(st.sampled_from([False, False, False, True])) else key
        pairs.append(draw(space) + name + draw(space) + ":" + draw(space) + draw(members.get(key, unread)))
    dropped = draw(st.sampled_from([0] * 7 + [1]))
    return ("{" + ",".join(pairs[dropped:]) + "}" + draw(space)).encode()


@pytest.mark.parametrize("contract", ["vector", "vectors", "columns"], indirect=True)
@settings(max_examples=150, deadline=None)
@given(values=st.lists(vector_texts(), min_size=1, max_size=4))
@example(values=[b'{"id":1,"v":[1,1e300,2]}', b'{"id":2,"v":[1,2,3]}', b'{"id":3,"v":[-1e39,2,3]}'])
@example(values=[b'{"id":1,"v":[1,2,3],"z":' + b"[" * deep + b"]" * deep + b"}" for deep in (127, 128)])
@example(values=[b'{"id":1,"v":[0,0,0],"v":[1,2,3]}', b'{"id":2,"v":[1,2,3],"v":[1,null,3]}'])
def test_vectors_are_decoded_as_their_elements_one_by_one(contract, values):
    """However their numbers, their keys and the space between them are written."""
    assert_decoded_as_one_by_one(contract, [Given(value, offset=offset) for offset, value in enumerate(values)])


@settings(max_examples=40, deadline=None)
@given(value=st.one_of(texts(), st.binary(max_size=40)))
def test_json_is_what_the_standard_library_takes_and_no_more(contract, value):
    """A record is `not_json` exactly if Python's own parser refuses its UTF-8 text, or takes NaN or Infinity in it."""

    def refuse(constant):
        raise ValueError(constant)

    try:
        json.loads(value.decode(), parse_constant=refuse)
        is_json = True
    except ValueError:
        is_json = False
    decoded = BatchDecoder(contract).decode([Given(value)])

    assert (decoded.rejected != [] and decoded.rejected[0].reason == "not_json") == (not is_json)
