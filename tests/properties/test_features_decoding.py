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


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.one_of(texts(), texts(), texts(), st.none()), max_size=6), keys=st.booleans())
@example(values=[b'{"f": 1, "g": 2, "i": 3, "\\ud800": 4}', b"\x00", b'{"f":1,"f":null}'], keys=True)
def test_a_batch_is_decoded_as_its_records_one_by_one(contract, values, keys):
    """Same records kept, same ids, times and values; the same reason and the same text for each other one."""
    records = [Given(value, key=b"acc" if keys else None, offset=offset) for offset, value in enumerate(values)]
    decoded = BatchDecoder(contract, max_record_bytes=2000).decode(records)
    kept, rejected = naive(contract, records)

    assert decoded.kept == [position for position, _ in kept]
    assert [tuple(r) for r in decoded.rejected] == rejected
    assert (decoded.ids, decoded.event_at_s) == ([r.id for _, r in kept], [r.event_at_s for _, r in kept])
    for position, feature in enumerate(contract.features):
        column, expected = decoded.column(feature.name), naive_column(feature, position, kept)
        if column.dtype == np.float32:
            assert not np.isinf(column).any()
            expected = expected.astype(np.float64).astype(np.float32)
        np.testing.assert_array_equal(column, expected)
    if all(feature.dtype in ("float", "int", "bool") for feature in contract.features):
        columns = [decoded.column(feature.name) for feature in contract.features]
        np.testing.assert_array_equal(decoded.matrix(), np.concatenate(columns, axis=1, dtype=np.float32))


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
