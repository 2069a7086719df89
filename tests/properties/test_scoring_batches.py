"""How records are cut into batches changes nothing: each has one outcome, the same as alone."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from app.features import BatchDecoder, Contract
from app.scoring import Scorer, score_batch
from app.scoring.scorer import PLACES
from tests.makers import Given

TABLE = np.float32([0.1, 0.5, np.nan, 0.9, np.inf])
"""What the model answers for each integer; beyond these it fails, and with it the batch."""


@pytest.fixture(scope="module")
def contract(tmp_path_factory):
    """One integer in, P(positive) out."""
    path = tmp_path_factory.mktemp("contract") / "contract.toml"
    path.write_text(
        'name = "toy"\ntask = "binary"\nclasses = [false, true]\nlabel_horizon_s = 60\n'
        'features = [{ name = "a", dtype = "int" }]'
    )
    return Contract.load(path)


@pytest.fixture(scope="module")
def scorers(contract):
    """Two versions that differ by their tables' scale."""

    def scorer(version):
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "a"], ["out"])],
            "g",
            [helper.make_tensor_value_info("a", TensorProto.INT64, ["N", 1])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 1])],
            [numpy_helper.from_array(TABLE / np.float32(version), "table")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        return Scorer.load(model.SerializeToString(), contract, version=version, sha256=f"{version}" * 64)

    return {1: scorer(1), 2: scorer(2)}


values = st.one_of(st.integers(0, 4), st.integers(0, 4), st.sampled_from([99, "x", None]))
histories = st.lists(st.tuples(values, st.integers(0, 40)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(history=histories, cuts=st.sets(st.integers(0, 12)))
def test_batches_have_the_outcomes_of_their_records_alone(contract, scorers, history, cuts):
    """Every record has exactly one outcome, in order, with the version in force at its timestamp."""
    records = [
        Given(json.dumps({"a": value}).encode(), offset, at_s * 1000, key=b"k")
        for offset, (value, at_s) in enumerate(history)
    ]
    decoder = BatchDecoder(contract)

    def run(batches):
        scored = [
            score_batch(batch, decoder, lambda t_s: scorers[2 if 10 <= t_s < 25 else 1], now_s=1.0) for batch in batches
        ]
        return [p for s in scored for p in s.predictions], [d for s in scored for d in s.dead_letters]

    edges = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    predictions, dead_letters = run([records[start:end] for start, end in pairwise(edges)])

    assert (predictions, dead_letters) == run([[record] for record in records])
    outcomes = [int(dict(record.headers)["source-offset"]) for record in [*predictions, *dead_letters]]
    assert sorted(outcomes) == list(range(len(records)))
    for prediction in predictions:
        value, at_s = history[int(dict(prediction.headers)["source-offset"])]
        published = json.loads(prediction.value)
        assert published["version"] == (2 if 10 <= at_s < 25 else 1)
        assert published["score"] == round(float(TABLE[value] / np.float32(published["version"])), PLACES)
        assert published["prediction"] is (published["score"] >= 0.5)
