"""The checker's own scoring of models as converters make them."""

import json
import math

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from verify.contract import parse_contract
from verify.decode import Event
from verify.onnx_classes import named_classes
from verify.rescore import Model, Outcome, close, decided, near_decision

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 2)).astype(np.float32)
TWO = "features = [{name = 'a'}, {name = 'b'}]"


def contract(keys, features=TWO):
    """A contract `toy` with these keys."""
    return parse_contract(f'name = "toy"\nlabel_horizon_s = 1\n{keys}\n{features}')


def events(rows):
    """Events with these values."""
    return [Event("id", 0.0, tuple(row)) for row in rows]


def expected_of(model, label):
    """The column of a class in scikit-learn's order."""
    return list(model.classes_).index(label)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("order", ["'good', 'bad'", "'bad', 'good'"])
def test_a_binary_model_gives_the_probability_of_the_positive_class(zipmap, order):
    """By name with ZipMap, else by the labels in the graph: scikit-learn sorts classes, the contract need not."""
    y = np.where(X[:, 0] > X[:, 1], "good", "bad")
    estimator = LogisticRegression().fit(X, y)
    model = to_onnx(estimator, X[:1], options={id(estimator): {"zipmap": zipmap}}).SerializeToString()
    binary = contract(f'task = "binary"\nclasses = [{order}]\npositive = "bad"')

    outcomes = Model(binary, model).score(events(X.tolist()))

    column = estimator.predict_proba(X)[:, expected_of(estimator, "bad")]
    assert [outcome.score for outcome in outcomes] == pytest.approx(column, abs=1e-6)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_multiclass_model_gives_one_score_per_class_in_contract_order(zipmap):
    """Integer classes, not in the model's order."""
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    estimator = LogisticRegression().fit(X, y)
    model = to_onnx(estimator, X[:1], options={id(estimator): {"zipmap": zipmap}}).SerializeToString()
    multiclass = contract('task = "multiclass"\nclasses = [2, 0, 1]')

    outcomes = Model(multiclass, model).score(events(X.tolist()))

    assert [outcome.scores for outcome in outcomes] == pytest.approx(estimator.predict_proba(X)[:, [2, 0, 1]], abs=1e-6)


def test_boolean_classes_are_0_and_1_for_the_model():
    """Converters write booleans as integers."""
    estimator = LogisticRegression().fit(X, (X[:, 0] > 0).astype(int))
    model = to_onnx(estimator, X[:1]).SerializeToString()
    binary = contract('task = "binary"\nclasses = [true, false]\npositive = true')

    outcomes = Model(binary, model).score(events(X.tolist()))

    assert [outcome.score for outcome in outcomes] == pytest.approx(estimator.predict_proba(X)[:, 1], abs=1e-6)


def test_the_models_metadata_says_the_order_of_classes():
    """Where the graph has no labels the metadata `classes` counts, else the contract's order."""
    binary = contract('task = "binary"\nclasses = ["good", "bad"]')
    plain = identity_model("probabilities", columns=2)
    told = identity_model("probabilities", columns=2, metadata={"classes": json.dumps(["bad", "good"])})

    rows = events([(0.75, 0.25)])

    assert Model(binary, plain).score(rows)[0].score == 0.25
    assert Model(binary, told).score(rows)[0].score == 0.75


@pytest.mark.parametrize(("classes", "positive"), [('["no", "yes"]', "yes"), ('["yes", "no"]', "yes")])
def test_a_lone_column_is_the_probability_of_the_positive_class(classes, positive):
    """Wherever that class stands in the contract."""
    binary = contract(f'task = "binary"\nclasses = {classes}\npositive = "{positive}"', "features = [{name = 'a'}]")

    assert Model(binary, identity_model("p", columns=1)).score(events([(0.125,)]))[0].score == 0.125


def test_a_regression_gives_a_number():
    """From an output (n, 1)."""
    estimator = LinearRegression().fit(X, X[:, 0] * 3)
    model = to_onnx(estimator, X[:1]).SerializeToString()

    outcomes = Model(contract('task = "regression"'), model).score(events(X.tolist()))

    assert [outcome.number for outcome in outcomes] == pytest.approx(estimator.predict(X), abs=1e-5)


def test_columns_of_their_own_type_go_to_inputs_of_their_name():
    """A string beside a float, one tensor per column."""
    kinds = np.array(["web", "app"] * 30)
    table = np.empty((60, 2), object)
    table[:, 0], table[:, 1] = kinds, X[:, 0]
    encoder = ColumnTransformer([("kind", OneHotEncoder(), [0]), ("amount", "passthrough", [1])])
    pipeline = make_pipeline(encoder, LogisticRegression()).fit(table, (X[:, 0] > 0).astype(int))
    inputs = [("kind", StringTensorType([None, 1])), ("amount", FloatTensorType([None, 1]))]
    model = to_onnx(pipeline, initial_types=inputs).SerializeToString()
    features = "features = [{name = 'amount'}, {name = 'kind', dtype = 'string'}]"

    outcomes = Model(contract('task = "binary"\nclasses = [0, 1]', features), model).score(
        events(zip(X[:, 0].tolist(), kinds.tolist(), strict=True))
    )

    assert [outcome.score for outcome in outcomes] == pytest.approx(pipeline.predict_proba(table)[:, 1], abs=1e-6)


def test_a_vector_is_as_many_columns_of_the_matrix_as_it_is_wide():
    """Features stand side by side in contract order."""
    features = "features = [{name = 'v', dtype = 'vector[2]'}, {name = 'c'}]"
    multiclass = contract('task = "multiclass"\nclasses = ["x", "y", "z"]', features)

    outcome = Model(multiclass, identity_model("scores", columns=3)).score(events([([0.1, 0.2], 0.7)]))[0]

    assert outcome.scores == pytest.approx((0.1, 0.2, 0.7))


def test_what_is_not_finite_has_failed():
    """NaN from the model belongs to the dead letters, and so does an event that the model cannot take."""
    model = Model(contract('task = "regression"', "features = [{name = 'a'}]"), identity_model("y", columns=1))

    finite, nan = model.score(events([(1.0,), (math.nan,)]))

    assert (finite.failed, nan.failed, Outcome(error="shape").failed) == (False, True, True)


@pytest.mark.parametrize("model", [b"", b"no model", b"\x00" * 100])
def test_what_is_no_model_is_said(model):
    """The bytes are not ONNX."""
    with pytest.raises(ValueError, match="does not load"):
        Model(contract('task = "regression"'), model)


def test_strange_inputs_are_said():
    """Inputs are one matrix, or named as the features are."""
    model = helper.make_node("Add", ["p", "q"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("p", "q", "y")]
    graph = helper.make_graph([model], "sum", values[:2], values[2:])

    with pytest.raises(ValueError, match="neither one matrix nor named"):
        Model(contract('task = "regression"'), as_bytes(graph))


def test_class_labels_are_found_wherever_a_converter_leaves_them():
    """As attribute of a node, and as initializers of several types."""
    tensors = [
        numpy_helper.from_array(np.array([3, 1], np.int64), "classes"),
        numpy_helper.from_array(np.array([2, -1], np.int32), "classes2"),
        helper.make_tensor("classes3", TensorProto.STRING, [2], [b"x", b"y"]),
        numpy_helper.from_array(np.array([9], np.int64), "other"),
    ]
    node = helper.make_node("LinearClassifier", ["x"], ["l", "p"], domain="ai.onnx.ml", classlabels_ints=[5, 4])
    graph = helper.make_graph([node], "g", [], [], tensors)

    assert named_classes(as_bytes(graph)) == [[5, 4], [3, 1], [2, -1], ["x", "y"]]


def test_scores_are_close_in_one_of_two_ways():
    """1e-5 of the larger, or 1e-6."""
    assert close(100.0, 100.0009)
    assert close(0.0, 9e-7)
    assert not close(0.5, 0.50001)
    assert not close(1e-4, 1.02e-4)


def test_decisions_follow_from_published_scores():
    """Binary: at the threshold it is positive; multiclass: ties go to the lowest index."""
    binary = contract('task = "binary"\nclasses = ["no", "yes"]\nthreshold = 0.7')
    multiclass = contract('task = "multiclass"\nclasses = ["x", "y", "z"]')

    assert [decided(binary, score, None) for score in (0.7, 0.6999)] == ["yes", "no"]
    assert decided(multiclass, None, (0.2, 0.4, 0.4)) == "y"
    assert near_decision(binary, 0.7000001, None)
    assert not near_decision(binary, 0.71, None)
    assert near_decision(multiclass, None, (0.2, 0.4, 0.4000001))


def identity_model(output, *, columns, metadata=None):
    """A model whose output is its input."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns]) for name in ("x", output)]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], [output])], "identity", values[:1], values[1:])
    return as_bytes(graph, metadata)


def as_bytes(graph, metadata=None):
    """The graph as an ONNX file."""
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8
    )
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()
