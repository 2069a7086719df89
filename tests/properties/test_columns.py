"""Predictions as columns say what they say one by one; their record batches are those of the client's own writer."""

from __future__ import annotations

import json
from unittest import mock

import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from app.columns import Digits, Header, RecordColumns, Texts, fractions, whole_numbers
from app.features import BatchDecoder
from app.features.contract import Feature
from app.scoring import Scorer, prediction_columns, score_batch
from app.scoring.prediction_columns import epoch_seconds
from app.transport.packing import Packer, varint
from tests.makers import Given, a_contract

TIMES_MS = st.integers(1_700_000_000_000, 1_700_000_200_000)


def record_batch(rows, producer):
    """The record batch of *rows* as aiokafka writes it."""
    builder = DefaultRecordBatchBuilder(2, 0, True, *producer, 1 << 30)
    for at, (key, value, timestamp_ms, headers) in enumerate(rows):
        builder.append(at, timestamp_ms, key, value, headers)
    return builder.build()


texts = st.one_of(st.none(), st.binary(max_size=70))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(texts, st.binary(max_size=9), st.integers(0, 10**9), TIMES_MS), min_size=1, max_size=90),
    per_batch=st.integers(1, 90),
)
def test_record_batches_of_columns_are_those_of_the_client(rows, per_batch):
    """Byte for byte but for the first timestamp, which is the earliest: whatever keys are absent, long or alike."""
    keys, names, numbers, times_ms = zip(*rows, strict=True)
    columns = RecordColumns(
        Texts(keys),
        [b'{"id":"', Texts(names), b'","n":', Digits(whole_numbers(np.array(numbers, np.uint64), 10)), b"}"],
        np.array(times_ms, np.int64),
        [Header("fixed", b"x" * 70), Header("name", Texts(names)), Header("n", Texts([b"%d" % n for n in numbers]))],
    )
    packer, told = Packer(columns), list(columns)
    assert columns.value_bytes == sum(len(record.value) for record in told)
    for start in range(0, len(rows), per_batch):
        part = slice(start, min(len(rows), start + per_batch))
        whole = bytes(packer.batch(part).bytes_of(7, 3, start, transactional=True))
        batch = DefaultRecordBatch(whole)
        assert batch.validate_crc()
        assert [(r.key, r.value, r.timestamp, r.headers) for r in batch] == [tuple(row) for row in told[part]]
        earliest = min(times_ms[part])
        if times_ms[start] == earliest:
            assert whole == bytes(record_batch(told[part], (7, 3, start)))
        assert (batch.first_timestamp, batch.max_timestamp) == (earliest, max(times_ms[part]))
        assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 3, start)
        assert batch.is_transactional


@given(st.integers(-(2**31), 2**31))
def test_a_varint_is_what_the_client_reads(number):
    """Zigzag, seven bits a byte, negative numbers too."""
    written = varint(number)
    rest, shift = 0, 0
    for byte in written:
        rest |= (byte & 0x7F) << shift
        shift += 7
    assert (rest >> 1) ^ -(rest & 1) == number
    assert all(byte & 0x80 for byte in written[:-1])
    assert not written[-1] & 0x80


@given(st.integers(0, 10**15), st.integers(0, 10**9 - 1))
def test_digits_are_the_decimal_number(parts, number):
    """With leading zeros, and a point where it belongs."""
    assert (
        bytes(fractions(np.array([parts], np.uint64), 1, 15)[0]).decode() == f"{parts // 10**15}.{parts % 10**15:015d}"
    )
    assert bytes(whole_numbers(np.array([number], np.uint64), 9)[0]).decode() == f"{number:09d}"


@given(
    st.lists(
        st.one_of(st.floats(0, 4e9), TIMES_MS.map(lambda t: t / 1000), TIMES_MS.map(lambda t: t / 997)), min_size=1
    )
)
def test_epoch_seconds_are_read_as_the_same_floats(at_s):
    """To the last bit, however they are spelled."""
    piece = epoch_seconds(np.array(at_s))
    assert [json.loads(piece.at(row)) for row in range(len(at_s))] == at_s


IDS = st.one_of(st.text(min_size=1, max_size=4), st.integers(0, 99_999).map("e-{}".format), st.just('"\\\x7fü\n'))


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(st.tuples(IDS, st.floats(0, 1), texts, TIMES_MS), min_size=1, max_size=40),
    offset=st.sampled_from([0, 95, 9_990, 123_456_789]),
    task=st.sampled_from(["binary", "multiclass"]),
)
def test_predictions_as_columns_say_what_they_say_one_by_one(events, offset, task, scorer_of):
    """The same keys, timestamps and headers, and JSON with the same numbers, for whatever ids, keys and offsets."""
    scorer = scorer_of(task)
    decoder = BatchDecoder(scorer.contract)
    records = [
        Given(json.dumps({"id": id_, "a": a}).encode(), offset + at, timestamp_ms, key=key)
        for at, (id_, a, key, timestamp_ms) in enumerate(events)
    ]

    def scored(rows_min, rows_per_block):
        with (
            mock.patch.object(prediction_columns, "ROWS_MIN", rows_min),
            mock.patch.object(prediction_columns, "ROWS_PER_BLOCK", rows_per_block),
        ):
            return score_batch(records, decoder, lambda _: scorer, now_s=1_700_000_300.123_456).predictions

    one_by_one, columns = scored(1 << 30, 1), scored(1, 0)
    assert isinstance(one_by_one, list)
    assert isinstance(columns, RecordColumns)
    assert [json.loads(made.value) for made in columns] == [json.loads(made.value) for made in one_by_one]
    assert [list(json.loads(made.value)) for made in columns] == [list(json.loads(made.value)) for made in one_by_one]
    assert [(m.key, m.timestamp_ms, m.headers) for m in columns] == [
        (m.key, m.timestamp_ms, m.headers) for m in one_by_one
    ]


@pytest.fixture(scope="module", name="scorer_of")
def _scorer_of():
    """A scorer of each task whose probabilities are a, or a and two others, made once."""
    scorers = {}
    for task, classes, part in (
        ("binary", (False, True), [[1.0]]),
        ("multiclass", ("no", "perhaps", "yes"), [[0.2, 0.3, 0.5]]),
    ):
        graph = helper.make_graph(
            [helper.make_node("Mul", ["a", "part"], ["out"])],
            "g",
            [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["N", 1])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", len(part[0])])],
            [numpy_helper.from_array(np.float32(part), "part")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        model.metadata_props.add(key="classes", value=json.dumps(classes))
        feature = Feature(name="a", path=("a",), dtype="float")
        contract = a_contract(task, classes, name="p", features=(feature,))
        scorers[task] = Scorer.load(model.SerializeToString(), contract, version=12, sha256="ab" * 32)
    return scorers.__getitem__
