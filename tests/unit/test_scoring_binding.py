"""Which models a contract takes, and what is said about the others: graphs made by hand, one trait each."""

import numpy as np
import pytest

from app.errors import Refusal, RejectedRelease
from app.features import BatchDecoder
from app.scoring import Scorer
from app.scoring.scorer import PLACES

A, B = '{ name = "a" }', '{ name = "b" }'
IDENTITY = [("Identity", ["a"], ["out"], {})]


@pytest.fixture
def answers(make_record):
    """The scores of a model for events under a contract."""

    def score(model, contract, events):
        scorer = Scorer.load(model, contract, version=1, sha256="")
        return scorer.score(BatchDecoder(contract).decode([make_record(event) for event in events]))

    return score


@pytest.mark.parametrize("shape", [["N"], ["N", 1], ["N", "M"], [None, 1]])
def test_a_single_probability_is_that_of_the_positive_class(make_contract, models, answers, shape):
    """[N] and [N, 1] are both taken, in and out."""
    model = models.graph(IDENTITY, {"a": ("FLOAT", shape)}, {"out": ("FLOAT", shape)})
    scores = answers(model, make_contract(A), [{"a": 0.25}, {"a": 0.5}])

    assert (scores.score, scores.predictions) == ([0.25, 0.5], ["no", "yes"])


def test_a_number_outside_0_to_1_is_no_probability(make_contract, models, answers):
    """It fails its row and no other; what rounding carried over the edge is published as the edge."""
    model = models.graph(IDENTITY, {"a": ("FLOAT", ["N", 1])}, {"out": ("FLOAT", ["N", 1])})
    scores = answers(model, make_contract(A), [{"a": 7}, {"a": 1.000001}, {"a": -0.000001}, {"a": -3}])

    assert sorted(scores.failed) == [0, 3]
    assert scores.score is not None
    assert scores.score[1:3] == [1, 0]


def test_the_published_score_is_compared_with_the_threshold(make_contract, models, answers):
    """0.1 as a float32 is a little more than 0.1: what is published decides, not what was meant."""
    model = models.graph(IDENTITY, {"a": ("FLOAT", ["N", 1])}, {"out": ("FLOAT", ["N", 1])})
    scores = answers(model, make_contract(A, threshold="0.1"), [{"a": 0.1}])

    assert (scores.score, scores.predictions) == ([round(float(np.float32(0.1)), PLACES)], ["yes"])


def test_a_tie_goes_to_the_first_class_of_the_contract(make_contract, models, answers):
    """Whatever the order of the model's columns."""
    model = models.graph(
        [("Concat", ["a", "a", "b"], ["out"], {"axis": 1})],
        {"a": ("FLOAT", ["N", 1]), "b": ("FLOAT", ["N", 1])},
        {"out": ("FLOAT", ["N", 3])},
        metadata={"classes": '["z", "y", "x"]'},
    )
    contract = make_contract(A, B, task='"multiclass"', classes='["x", "y", "z"]')
    scores = answers(model, contract, [{"a": 0.4, "b": 0.2}, {"a": 0.2, "b": 0.6}])

    assert scores.predictions == ["y", "x"]
    np.testing.assert_allclose(scores.scores, [[0.2, 0.4, 0.4], [0.6, 0.2, 0.2]])


def test_a_class_list_in_the_metadata_must_be_the_contracts(make_contract, models):
    """A model that names other classes, or no list, is refused."""
    for classes in ('["a", "b"]', '["no"]', '["no", "yes", "no"]', "no, yes", '{"no": 1}'):
        model = models.graph(
            [("Concat", ["a", "a"], ["out"], {"axis": 1})],
            {"a": ("FLOAT", ["N", 1])}, {"out": ("FLOAT", ["N", 2])}, metadata={"classes": classes},
        )  # fmt: skip
        with pytest.raises(RejectedRelease, match="metadata has classes") as caught:
            Scorer.load(model, make_contract(A), version=1, sha256="")
        assert caught.value.refusal is Refusal.WRONG_OUTPUTS


def test_two_orders_of_classes_in_one_graph_are_refused(make_contract, models):
    """A wrong order would go unnoticed, so nothing is guessed."""
    model = models.graph(
        [("Concat", ["a", "a"], ["out"], {"axis": 1})],
        {"a": ("FLOAT", ["N", 1])},
        {"out": ("FLOAT", ["N", 2])},
        constants={"classes": np.array([0, 1]), "classes_again": np.array([1, 0], np.int32)},
    )
    with pytest.raises(RejectedRelease, match="2 different orders"):
        Scorer.load(model, make_contract(A, classes="[0, 1]"), version=1, sha256="")


AS_THEY_ARE = [
    ("DOUBLE", A, 0.1, float(np.float32(0.1))),
    ("INT64", '{ name = "a", dtype = "int" }', -9, -9),
    ("INT32", '{ name = "a", dtype = "int", low = -5, high = 9 }', 9, 9),
    ("INT32", '{ name = "a", dtype = "int", categories = [4, 0] }', 4, 4),
    ("FLOAT", '{ name = "a", dtype = "int" }', 9, 9),
    ("BOOL", '{ name = "a", dtype = "bool" }', True, 1),
    ("INT64", '{ name = "a", dtype = "bool" }', True, 1),
    ("FLOAT", '{ name = "a", dtype = "bool" }', True, 1),
]


@pytest.mark.parametrize("case", AS_THEY_ARE)
def test_a_column_takes_its_values_as_they_are(make_contract, models, answers, case):
    """Each type of tensor with the features that lose nothing in it (a float is 32 bits wide everywhere)."""
    tensor, feature, value, expected = case
    model = models.graph(
        [("Cast", ["a"], ["out"], {"to": 11})], {"a": (tensor, ["N", 1])}, {"out": ("DOUBLE", ["N", 1])}
    )
    scores = answers(model, make_contract(feature, task='"regression"'), [{"a": value}])

    assert scores.predictions == [expected]


@pytest.mark.parametrize("features", [["a"], ["a", "b"]])
def test_large_integers_do_not_pass_through_floats(make_contract, models, answers, features):
    """2**53 + 1 is no float64: alone as a column, or beside others in a matrix of integers."""
    name = "a" if len(features) == 1 else "input"
    model = models.graph(
        [
            ("Sub", [name, "big"], ["d"], {}),
            ("ReduceMax", ["d", "axes"], ["m"], {}),
            ("Cast", ["m"], ["out"], {"to": 1}),
        ],
        {name: ("INT64", ["N", len(features)])},
        {"out": ("FLOAT", ["N", 1])},
        constants={"big": np.array([2**53]), "axes": np.array([1])},
    )
    contract = make_contract(*(f'{{ name = "{name}", dtype = "int" }}' for name in features), task='"regression"')

    assert answers(model, contract, [{"a": 2**53 + 1, "b": 0}]).predictions == [1]


@pytest.mark.parametrize("tensor", ["DOUBLE", "INT64", "INT32"])
def test_one_matrix_of_another_type(make_contract, models, answers, tensor):
    """All features side by side, in the type that the model takes."""
    model = models.graph(
        [("Cast", ["input"], ["c"], {"to": 11}), ("ReduceSum", ["c", "axes"], ["out"], {"keepdims": 1})],
        {"input": (tensor, ["N", 2])},
        {"out": ("DOUBLE", ["N", 1])},
        constants={"axes": np.array([1])},
    )
    integers = [f'{{ name = "{name}", dtype = "int", low = 0, high = 9999 }}' for name in "ab"]
    scores = answers(model, make_contract(*integers, task='"regression"'), [{"a": 3, "b": 4}])

    assert scores.predictions == [7]


def test_one_matrix_of_strings(make_contract, models, answers):
    """If every feature is a string they may stand side by side in one input."""
    from onnx import TensorProto  # noqa: PLC0415 - only here

    model = models.graph(
        [
            ("Equal", ["input", "word"], ["e"], {}),
            ("Cast", ["e"], ["f"], {"to": TensorProto.FLOAT}),
            ("ReduceMean", ["f", "axes"], ["out"], {"keepdims": 1}),
        ],
        {"input": ("STRING", ["N", 2])},
        {"out": ("FLOAT", ["N", 1])},
        constants={"word": np.array(["blau"]), "axes": np.array([1])},
    )
    contract = make_contract('{ name = "a", dtype = "string" }', '{ name = "b", dtype = "string" }')
    scores = answers(model, contract, [{"a": "blau", "b": "rot"}, {"a": "blau", "b": "blau"}])

    assert scores.score == [0.5, 1]


WRONG_INPUTS = {
    "it takes 3 columns, the contract has 2": ([A, B], {"input": ("FLOAT", ["N", 3])}),
    "one input for all features must be a matrix": ([A, B], {"input": ("FLOAT", ["N"])}),
    "no input for b; the model has a: tensor(float)[N, 1], x: ": (
        [A, B], {"a": ("FLOAT", ["N", 1]), "x": ("FLOAT", ["N", 1])}
    ),
    "nothing for c": ([A, B], {"a": ("FLOAT", ["N"]), "b": ("FLOAT", ["N"]), "c": ("FLOAT", ["N"])}),
    "a takes [N, 1]; the model has a: tensor(float)[N, 2]": (
        [A, B], {"a": ("FLOAT", ["N", 2]), "b": ("FLOAT", ["N", 1])}
    ),
    "v takes [N, 4]": (
        [A, '{ name = "v", dtype = "vector[4]" }'], {"a": ("FLOAT", ["N", 1]), "v": ("FLOAT", ["N", 3])}
    ),
    "a is a float, which takes a tensor(double) or tensor(float)": ([A], {"a": ("INT64", ["N", 1])}),
    "a is a string, which takes a tensor(string)": (
        ['{ name = "a", dtype = "string" }', B], {"input": ("FLOAT", ["N", 2])}
    ),
    "a may be beyond 32 bits": (['{ name = "a", dtype = "int", low = 0 }'], {"a": ("INT32", ["N", 1])}),
    "b is a float": (['{ name = "a", dtype = "string" }', B], {"input": ("STRING", ["N", 2])}),
    "first dimension is fixed to 1": ([A], {"a": ("FLOAT", [1, 1])}),
    "without a declared shape": ([A], {"a": ("FLOAT", None)}),
}  # fmt: skip


@pytest.mark.parametrize("expected", WRONG_INPUTS)
def test_inputs_that_do_not_fit_are_refused(make_contract, models, expected):
    """The message says what is wrong, what the model has and what the contract has."""
    features, inputs = WRONG_INPUTS[expected]
    nodes = [("Identity", [name], [f"out_{name}"], {}) for name in inputs]
    model = models.graph(nodes, inputs, {f"out_{name}": described for name, described in inputs.items()})

    with pytest.raises(RejectedRelease) as caught:
        Scorer.load(model, make_contract(*features), version=1, sha256="")
    assert caught.value.refusal is Refusal.WRONG_INPUTS
    assert expected in str(caught.value)
    assert "the contract has a: " in str(caught.value)


@pytest.mark.parametrize("model", [b"", b"not a model", b"\x00" * 64, b"\x08\x09"])
def test_what_is_no_model_is_refused(make_contract, model):
    """Whatever onnxruntime cannot load, with its own words."""
    with pytest.raises(RejectedRelease, match=r"onnxruntime cannot load it: .") as caught:
        Scorer.load(model, make_contract(A), version=1, sha256="")
    assert caught.value.refusal is Refusal.NOT_ONNX


def test_several_outputs_that_would_do_are_refused_unless_one_has_a_known_name(make_contract, models, answers):
    """`probabilities` is what converters call it."""
    nodes = [("Identity", ["a"], ["first"], {}), ("Neg", ["a"], ["second"], {})]
    described = ("FLOAT", ["N", 1])
    model = models.graph(nodes, {"a": described}, {"first": described, "second": described})
    with pytest.raises(RejectedRelease, match="more than one output would do: first, second"):
        Scorer.load(model, make_contract(A), version=1, sha256="")

    nodes[1] = ("Neg", ["a"], ["probabilities"], {})
    model = models.graph(nodes, {"a": described}, {"first": described, "probabilities": described})
    assert answers(model, make_contract(A), [{"a": -0.5}]).score == [0.5]


def test_a_model_without_an_output_of_floats_is_refused(make_contract, models):
    """A label alone has no probability."""
    model = models.graph(IDENTITY, {"a": ("INT64", ["N", 1])}, {"out": ("INT64", ["N", 1])})
    with pytest.raises(RejectedRelease, match="no output of floats") as caught:
        Scorer.load(model, make_contract('{ name = "a", dtype = "int" }'), version=1, sha256="")
    assert caught.value.refusal is Refusal.WRONG_OUTPUTS


def test_a_model_that_fails_on_plain_rows_is_refused(make_contract, models):
    """It is run once before it may serve."""
    model = models.graph(
        [("Gather", ["table", "a"], ["out"], {})],
        {"a": ("INT64", ["N"])}, {"out": ("FLOAT", ["N"])}, constants={"table": np.float32([0.1, 0.9])},
    )  # fmt: skip
    contract = make_contract('{ name = "a", dtype = "int", low = 100, high = 200 }')
    with pytest.raises(RejectedRelease, match=r"fails on plain good rows: .*indices") as caught:
        Scorer.load(model, contract, version=1, sha256="")
    assert caught.value.refusal is Refusal.WRONG_INPUTS


@pytest.mark.parametrize("task", ['"binary"', '"multiclass"', '"regression"'])
def test_no_rows_have_no_answers(make_contract, models, answers, task):
    """A batch of nothing but dead letters is no reason to run the model."""
    k = 3 if task == '"multiclass"' else 1
    model = models.graph(
        [("Concat", ["a"] * k, ["out"], {"axis": 1})], {"a": ("FLOAT", ["N", 1])}, {"out": ("FLOAT", ["N", k])}
    )
    scores = answers(model, make_contract(A, task=task, **({"classes": "[1, 2, 3]"} if k == 3 else {})), [])

    assert (scores.predictions, scores.failed) == ([], {})
