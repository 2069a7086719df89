"""What onnxruntime and the ONNX file itself are asked, and what becomes of their faults."""

import numpy as np
import pytest

from app.errors import Reason
from app.features import BatchDecoder
from app.scoring import Scorer, score_batch
from app.scoring.onnx_labels import class_labels

DATA_DEPENDENT = [
    ("Reshape", ["a", "flat"], ["all"], {}),
    ("ReduceMax", ["all"], ["size"], {"keepdims": 1}),
    ("ConstantOfShape", ["size"], ["zeros"], {}),
    ("ReduceMax", ["zeros"], ["zero"], {"keepdims": 0}),
    ("Cast", ["a"], ["number"], {"to": 1}),
    ("Add", ["number", "zero"], ["out"], {}),
]
"""Wants as many zeros as the largest number of the batch says."""


def test_memory_that_is_not_there_is_no_fault_of_the_record(make_contract, models, make_record):
    """A dead letter would be wrong: another worker, or this one later, may well score it."""
    model = models.graph(
        DATA_DEPENDENT, {"a": ("INT64", ["N"])}, {"out": ("FLOAT", ["N"])}, constants={"flat": np.array([-1])}
    )
    contract = make_contract('{ name = "a", dtype = "int", low = 1 }', task='"regression"')
    scorer = Scorer.load(model, contract, version=1, sha256="")
    records = [make_record({"a": a}) for a in (2, 2**44)]

    with pytest.raises(MemoryError, match="bad_alloc"):
        score_batch(records, BatchDecoder(contract), lambda _: scorer, now_s=0)


def test_a_model_that_answers_with_another_number_of_rows_fails_its_records(make_contract, models, make_record):
    """Nobody knows whose the answers are, as long as more than one is asked for."""
    model = models.graph([("Unique", ["a"], ["out"], {})], {"a": ("FLOAT", ["N"])}, {"out": ("FLOAT", ["M"])})
    contract = make_contract('{ name = "a" }', task='"regression"')
    with pytest.raises(Exception, match="no output of the expected shape"):
        Scorer.load(model, contract, version=1, sha256="")

    model = models.graph(
        [("NonZero", ["a"], ["at"], {}), ("Reshape", ["at", "flat"], ["i"], {}), ("Gather", ["a", "i"], ["out"], {})],
        {"a": ("FLOAT", ["N"])}, {"out": ("FLOAT", ["M"])}, constants={"flat": np.array([-1])},
    )  # fmt: skip
    scorer = Scorer.load(model, make_contract('{ name = "a", low = 1 }', task='"regression"'), version=1, sha256="")
    records = [make_record({"a": a}, offset=a) for a in (0, 5)]
    scored = score_batch(records, BatchDecoder(contract), lambda _: scorer, now_s=0)

    assert [dict(record.headers)["source-offset"] for record in scored.predictions] == [b"5"]
    assert scored.reasons == {Reason.SCORING_FAILED: 1}
    assert b"gives 0 rows for 1" in dict(scored.dead_letters[0].headers)["error"]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (np.array([2, -1]), [2, -1]),
        (np.array([2, -1], np.int32), [2, -1]),
        (np.array(["b", "ä"], object), ["b", "ä"]),
        (np.array([0.5, 1.5]), None),
    ],
)
def test_class_labels_are_found_in_initialisers(models, classes, expected):
    """As numpy writes them; floats are no class labels."""
    described = {"a": ("FLOAT", ["N"])}, {"out": ("FLOAT", ["N"])}
    model = models.graph(
        [("Identity", ["a"], ["out"], {})], *described, constants={"classes": classes, "other": np.array([7])}
    )

    assert class_labels(model) == ([] if expected is None else [expected])


def test_class_labels_are_found_however_protobuf_writes_integers():
    """Converters fill the tensor's own list of integers, numpy its raw bytes, attributes repeat their field."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - only here

    long, short = (
        helper.make_tensor(f"classes_{name}", type_, [2], [300, -5])
        for name, type_ in [("long", TensorProto.INT64), ("short", TensorProto.INT32)]
    )
    node = helper.make_node("ZipMap", ["p"], ["out"], domain="ai.onnx.ml", classlabels_int64s=[-7, 300])
    graph = helper.make_graph([node], "g", [], [], [long, short])

    assert class_labels(helper.make_model(graph).SerializeToString()) == [[-7, 300], [300, -5], [300, -5]]


@pytest.mark.parametrize(
    "data", [b"", b"\x3a\x05", b"\x3a\x02\x0a\x05", b"\x80" * 20, b"\x3b", b"\x3d\0\0\0\0\x39\0\0\0\0\0\0\0\0"]
)
def test_a_file_of_another_layout_has_no_class_labels(data):
    """Whether it is a model at all is for onnxruntime to say."""
    assert class_labels(data) == []
