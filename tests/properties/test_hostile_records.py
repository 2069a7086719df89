"""Topics are open to everybody: whatever stands on them is used or refused, and nothing raises."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.features import BatchDecoder, Contract, dead_letter
from app.feedback import DictStore, Ledger, decode_labels, decode_predictions
from app.performance import Retention, Tallies, performance_records
from tests.makers import Given

TASKS = {
    "binary": 'task = "binary"\nclasses = [0, 1]',
    "multiclass": 'task = "multiclass"\nclasses = ["a", "b", "c"]',
    "regression": 'task = "regression"',
}
REST = """
name = "toy"
label_horizon_s = 60
id_field = "id"
key_field = "user"
event_time_field = "at"
event_time_format = "s"
"""
FEATURES = """
[[features]]
name = "x"
path = ["f", "x"]
dtype = "float"
missing = "nan"

[[features]]
name = "n"
dtype = "int"

[[features]]
name = "v"
dtype = "vector[2]"
missing = "nan"

[[features]]
name = "s"
dtype = "string"
"""
FIELDS = ("id", "version", "prediction", "event_at", "score", "scores", "label", "at", "f", "x", "n", "v", "s", "user")
HEADERS = ("source-topic", "source-partition", "source-offset", "source-row", "model-sha256", "", "\udcff", "größe")


numbers = (
    st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, -(2**63) - 1, 2**53 + 1, 253_402_300_800, 0, 1])
    | st.floats()
    | st.sampled_from([1e308, -0.0, 5e-324, 253_402_300_799.9, 1e300])
)
texts = st.text(max_size=6) | st.sampled_from(["\ud800", "\x00", "", "a", "b", "9" * 40, "1970-01-01"])
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
ids = st.sampled_from(["a", "b", 7]) | values
good = st.fixed_dictionaries(
    {"id": ids, "version": st.just(1), "prediction": st.sampled_from([0, 1.0, "a", True, 3]) | values},
    optional=dict.fromkeys(FIELDS[3:], numbers | values),
)
bodies = (
    st.builds(json.dumps, st.dictionaries(st.sampled_from(FIELDS), values, max_size=8) | good | values)
    | st.sampled_from(["[" * 200, '{"id":' * 3000, "{" * 127 + "}" * 127, '{"id":1e999}', '{"id":' + "9" * 5000 + "}"])
).map(str.encode)
mutated = st.builds(
    lambda body, at, byte: body[: at % (len(body) + 1)] + byte + body[at % (len(body) + 1) :],
    bodies,
    st.integers(0, 500),
    st.binary(max_size=2),
)
headers = st.lists(
    st.tuples(
        st.sampled_from(HEADERS),
        st.none()
        | st.binary(max_size=4)
        | st.sampled_from([b"7", b"-7", b"9" * 4000, b"9" * 5000, "٣".encode(), b"1e3"]),
    ),
    max_size=5,
)
records = st.lists(
    st.builds(
        Given,
        value=st.none() | st.binary(max_size=30) | bodies | mutated,
        timestamp=st.sampled_from([-1, 0, 1_700_000_000_000, 2**62]) | st.integers(-1, 2**40),
        key=st.none() | st.binary(max_size=4),
        headers=headers,
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def contracts(tmp_path_factory):
    """One for each task."""
    folder = tmp_path_factory.mktemp("contracts")
    made = {}
    for task, lines in TASKS.items():
        path = folder / f"{task}.toml"
        path.write_text(f"{lines}\n{REST}\n{FEATURES}")
        made[task] = Contract.load(path)
    return made


def numbered(given_records):
    """The same records at offsets from 0 on."""
    for offset, record in enumerate(given_records):
        record.offset = offset
    return given_records


HOSTILE_HEADERS = [("source-topic", b"t"), ("source-partition", None), ("source-offset", b"1"), ("source-row", None)]
PREDICTION = b'{"id":"a","version":1,"prediction":1,"event_at":5}'


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=70, deadline=None)
@given(predictions=records, labels=records)
@example(predictions=[Given(PREDICTION, timestamp=0, headers=HOSTILE_HEADERS)], labels=[])
@example(predictions=[Given(PREDICTION, timestamp=0, headers=[("source-offset", None)])], labels=[])
def test_predictions_and_labels_are_counted_or_refused(task, predictions, labels, contracts):
    """Each record is seen or becomes a dead letter, the ledger takes what is seen, and what follows is publishable."""
    contract = contracts[task]
    ledger = Ledger(DictStore(), contract)
    tallies = Tallies({}, contract, 0, retention=Retention(1e9, 1e9, 1e9))
    for decode, add, given_records in (
        (decode_predictions, ledger.add_predictions, numbered(predictions)),
        (decode_labels, ledger.add_labels, numbered(labels)),
    ):
        seen, rejected = decode(given_records, contract)
        outcomes = [each.offset for each in seen] + [each.position for each in rejected]
        assert sorted(outcomes) == list(range(len(given_records)))
        for position, reason, error, _ in rejected:
            dead_letter(given_records[position], reason, error, failed_at_s=0.0)
        contributions = add(seen, len(given_records))
        changes = tallies.apply(contributions, ledger.positions, event_time_s=ledger.event_time_s)
        performance_records(changes, contract, 0)
        ledger.checkpoint()


@settings(max_examples=120, deadline=None)
@given(given_records=records)
def test_feature_records_are_decoded_or_refused(given_records, contracts):
    """Each record is kept or becomes a dead letter; nothing that stands on the topic makes the decoder raise."""
    contract = contracts["binary"]
    decoded = BatchDecoder(contract).decode(numbered(given_records))
    assert sorted([*decoded.kept, *(each.position for each in decoded.rejected)]) == list(range(len(given_records)))
    for feature in contract.features:
        assert len(decoded.column(feature.name)) == len(decoded)
    for position, reason, error, _ in decoded.rejected:
        dead_letter(given_records[position], reason, error, failed_at_s=0.0)
