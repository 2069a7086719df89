"""What is re-keyed by id says the same to the ledger as what it was made from, and lies where Kafka would put it."""

from __future__ import annotations

import json

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from app.feedback import decode_labels, decode_ledger, decode_predictions, rekey_labels, rekey_predictions
from app.keys import murmur2, partitions_of
from tests.makers import Given, a_contract
from verify.rekeyed import murmur2 as verifiers

KEYS = st.binary(max_size=40) | st.binary(min_size=250, max_size=300)
NUMBERS = st.sampled_from([0, 1, 0.25, 1.0, 0.1, 2, -1, 1e40, 1_700_000_000, 1_700_000_000.123, True, None, "1"])
IDS = st.sampled_from(["e", "é", "order-1", "x" * 300, 7, 0, "", None, 1.5, "\ud800"])
PREDICTIONS = st.fixed_dictionaries(
    {},
    optional={
        "id": IDS,
        "version": NUMBERS,
        "prediction": NUMBERS | st.sampled_from(["a", "b"]),
        "event_at": NUMBERS,
        "score": NUMBERS,
        "scores": st.lists(NUMBERS, max_size=3),
        "model": st.just("p"),
    },
)
GOOD_PREDICTION = {"id": "e1", "version": 1, "event_at": 1_700_000_000.5, "prediction": "a"}
LABELS = st.fixed_dictionaries(
    {}, optional={"id": IDS, "label": NUMBERS | st.sampled_from(["a", "b"]), "at": NUMBERS, "more": NUMBERS}
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["source-topic", "source-partition", "source-offset", "source-row", "model-sha256"]),
        st.sampled_from([b"p.features", b"0", b"17", b"x", b"", None]),
    ),
    max_size=5,
)
TASKS = {"multiclass": ("a", "b", "c"), "binary": (False, True), "regression": ()}


def contract_of(task):
    """A contract of that task."""
    return a_contract(task, TASKS[task], join="by-id")


@given(st.lists(KEYS, max_size=20), st.integers(1, 50))
def test_an_id_lies_where_kafkas_own_partitioner_puts_it(keys, n_partitions):
    """Hashed side by side or alone, by us or by the verifier, a key gets the hash and partition of Java's clients."""
    assert [murmur2(key) for key in keys] == [reference(key) for key in keys]
    assert [verifiers(key) for key in keys] == [reference(key) for key in keys]
    assert partitions_of(keys, n_partitions) == [(reference(key) & 0x7FFFFFFF) % n_partitions for key in keys]


@given(
    st.sampled_from(sorted(TASKS)),
    st.lists(st.tuples(PREDICTIONS | PREDICTIONS.map(lambda change: GOOD_PREDICTION | change), HEADERS), max_size=6),
)
def test_a_prediction_means_the_same_on_the_ledger_topic(task, made):
    """All that the ledger sees of a prediction but its offset comes through; what is bad is refused for the same."""
    contract = contract_of(task)
    records = [
        Given(json.dumps(value).encode(), offset=offset, headers=headers)
        for offset, (value, headers) in enumerate(made)
    ]
    seen, rejected = decode_predictions(records, contract)
    rekeyed = rekey_predictions(records, contract, 4)
    back = read_back(rekeyed, contract)

    assert rekeyed.rejected == rejected
    assert rekeyed.n == len(seen) == len(back.predictions)
    assert [repr(replaced(one)) for one in back.predictions] == [repr(replaced(one)) for one in seen]


@given(
    st.sampled_from(sorted(TASKS)),
    st.lists(LABELS | LABELS.map(lambda change: {"id": "e1", "label": "a"} | change), max_size=6),
)
def test_a_label_means_the_same_on_the_ledger_topic(task, values):
    """The same for labels; one without `at` keeps its record's timestamp as that."""
    contract = contract_of(task)
    records = [
        Given(json.dumps(value).encode(), offset=offset, topic="p.labels", timestamp=1_700_000_000_000 + offset)
        for offset, value in enumerate(values)
    ]
    seen, rejected = decode_labels(records, contract)
    rekeyed = rekey_labels(records, contract, 4)
    back = read_back(rekeyed, contract)

    assert rekeyed.rejected == rejected
    assert [repr(replaced(one)) for one in back.labels] == [repr(replaced(one)) for one in seen]


def read_back(rekeyed, contract):
    """What the ledger topic's records are to the ledger, in the order of their sources; none of them is refused."""
    small = [(partition, record) for partition, records in rekeyed.records.items() for record in records]
    for partition, record in small:
        assert partition == (reference(record.key) & 0x7FFFFFFF) % 4
    small.sort(key=lambda each: int(dict(each[1].headers)["source-offset"]))
    records = [
        Given(record.value, 100 + at, record.timestamp_ms, "p.ledger", partition, record.key, record.headers)
        for at, (partition, record) in enumerate(small)
    ]
    batch = decode_ledger(records, contract)
    assert batch.rejected == []
    assert [one.offset for one in sorted([*batch.predictions, *batch.labels], key=lambda one: one.offset)] == [
        record.offset for record in records
    ]
    return batch


def replaced(seen):
    """A seen record without its offset, which is another one on each topic."""
    return {name: getattr(seen, name) for name in seen.__struct_fields__ if name != "offset"}
