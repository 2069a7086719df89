"""Predictions of a multiclass task and of a regression against the checker's re-scoring."""

import hashlib
from collections import defaultdict

import pytest
from onnx import TensorProto, helper

from tests import verify_hand_made as hand_made

KEYS = {
    "multiclass": ('classes = ["x", "y", "z"]', "vector[3]", 3),
    "regression": ("", "float", 1),
}


class Minimal(hand_made.HandMade):
    """One partition, one version whose answer is its input, and one event."""

    def __init__(self, task, value, **prediction):
        self.name = "toy"
        keys, dtype, columns = KEYS[task]
        feature = f'{{name = "v", dtype = "{dtype}"}}'
        self.contract_text = f'name = "toy"\ntask = "{task}"\n{keys}\nlabel_horizon_s = 1\nfeatures = [{feature}]'
        self.records = defaultdict(list)
        model = identity_model(columns)
        sha256 = hashlib.sha256(model).hexdigest()
        manifest = {
            "pipeline": "toy",
            "version": 1,
            "sha256": sha256,
            "size": len(model),
            "chunks": 1,
            "created_at": 0.0,
        }
        self.append("models", 0, b"release/1", manifest, 0)
        self.activate(1, 1, 0.0, 0)
        self.append("model-bytes", 0, f"{sha256}/0".encode(), model, 0)
        event = self.append("features", 0, b"k", {"v": value}, 1000)
        content = {"id": "toy.features-0-0", "model": "toy", "version": 1, "event_at": 1.0, "scored_at": 1.1}
        if prediction:
            headers = [*hand_made.coordinates(event), ("model-sha256", sha256.encode())]
            self.append("predictions", 0, b"k", content | prediction, 1000, headers)
        else:
            self.dead_letter(event, "scoring_failed")

    def found(self):
        """Kinds of violations."""
        report = self.judge(feedback=False)
        return {kind for check in report.checks.values() for kind in check.counts}


def identity_model(columns):
    """A model whose output is its input, or infinite from 100 on."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns]) for name in ("in", "out")]
    nodes = [
        helper.make_node("Less", ["in", "limit"], ["small"]),
        helper.make_node("Cast", ["small"], ["one_or_zero"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["in", "one_or_zero"], ["out"]),
    ]
    limit = helper.make_tensor("limit", TensorProto.FLOAT, [1], [100.0])
    graph = helper.make_graph(nodes, "identity", values[:1], values[1:], [limit])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("prediction", "kinds"),
    [
        ({"prediction": "y", "scores": [0.2, 0.5, 0.3]}, set()),
        ({"prediction": "y", "scores": [0.2, 0.5000004, 0.3]}, set()),
        ({"prediction": "y", "scores": [0.2, 0.501, 0.3]}, {"wrong_score"}),
        ({"prediction": "z", "scores": [0.2, 0.5, 0.3]}, {"class_not_of_score", "wrong_class"}),
        ({"prediction": "y", "scores": [0.2, 0.5]}, {"malformed"}),
        ({"prediction": "y"}, {"malformed"}),
        ({"prediction": "w", "scores": [0.2, 0.5, 0.3]}, {"malformed"}),
    ],
)
def test_a_multiclass_prediction_has_a_score_of_each_class(prediction, kinds):
    """The class is that of the highest, and the scores are the model's."""
    assert Minimal("multiclass", [0.2, 0.5, 0.3], **prediction).found() == kinds


def test_where_two_scores_are_as_good_as_equal_either_class_may_win():
    """By the published scores the class still has to follow exactly."""
    scores = [0.4, 0.4000001, 0.2]

    assert Minimal("multiclass", [0.4, 0.4, 0.2], prediction="y", scores=scores).found() == set()
    assert Minimal("multiclass", [0.4, 0.4, 0.2], prediction="x", scores=scores).found() == {"class_not_of_score"}


@pytest.mark.parametrize(
    ("prediction", "kinds"),
    [
        ({"prediction": 2.5}, set()),
        ({"prediction": 2.50001}, set()),
        ({"prediction": 2.6}, {"wrong_score"}),
        ({"prediction": "2.5"}, {"malformed"}),
        ({"prediction": 2.5, "score": 0.5}, {"malformed"}),
    ],
)
def test_a_regression_predicts_the_models_number(prediction, kinds):
    """And has neither score nor scores."""
    assert Minimal("regression", 2.5, **prediction).found() == kinds


def test_an_event_that_the_model_fails_on_is_a_dead_letter_and_no_other():
    """Infinity from the model is scoring_failed; what it can score is not."""
    assert Minimal("regression", 200.0).found() == set()
    assert Minimal("regression", 2.5).found() == {"undeserved"}
    assert Minimal("regression", 200.0, prediction=200.0).found() == {"not_finite"}


def test_a_prediction_tells_its_identity():
    """Without an id_field the id is the coordinates."""
    made = Minimal("regression", 2.5, prediction=2.5)
    made.amend("predictions", 0, 0, content={"id": "toy.features-0-1"})

    assert made.found() == {"wrong_id"}
