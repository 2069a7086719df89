"""Real models, converted from scikit-learn as users do, score as scikit-learn does."""

import msgspec
import numpy as np
import pytest

from app.errors import Refusal, RejectedRelease
from app.features import BatchDecoder
from app.scoring import Scorer, score_batch


def floats(n):
    """Feature tables x0..x(n-1)."""
    return [f'{{ name = "x{i}" }}' for i in range(n)]


def as_events(x):
    """Rows of floats as the JSON objects of their events."""
    return [{f"x{i}": float(value) for i, value in enumerate(row)} for row in x]


@pytest.fixture
def published(make_record):
    """The predictions that the whole hot path publishes for events, decoded."""

    def publish(contract, model, events):
        scorer = Scorer.load(model, contract, version=1, sha256="0" * 64)
        records = [make_record(event, offset=offset) for offset, event in enumerate(events)]
        scored = score_batch(records, BatchDecoder(contract), lambda _: scorer, now_s=0.0)
        assert scored.dead_letters == []
        return [msgspec.json.decode(record.value) for record in scored.predictions]

    return publish


def test_a_float_matrix_model(make_contract, models, published):
    """100 boosted trees on a matrix: probability of the positive class, and the class by the threshold."""
    model = models.boosting()
    contract = make_contract(*floats(6), classes="[0, 1]", threshold="0.4")
    made = published(contract, model.onnx, as_events(model.x))

    expected = model.estimator.predict_proba(model.x)[:, 1]
    np.testing.assert_allclose([p["score"] for p in made], expected, rtol=1e-5, atol=1e-6)
    assert [p["prediction"] for p in made] == [int(p["score"] >= 0.4) for p in made]
    assert all("scores" not in p for p in made)


def test_the_positive_class_may_be_the_first(make_contract, models, published):
    """`score` is then the probability of that one."""
    model = models.boosting()
    made = published(make_contract(*floats(6), classes="[0, 1]", positive="0"), model.onnx, as_events(model.x[:50]))

    expected = model.estimator.predict_proba(model.x[:50])[:, 0]
    np.testing.assert_allclose([p["score"] for p in made], expected, rtol=1e-5, atol=1e-6)
    assert [p["prediction"] for p in made] == [0 if p["score"] >= 0.5 else 1 for p in made]


def test_a_scaler_before_trees_splits_as_in_training(make_contract, models, published):
    """On the training rows themselves, where a rounding would fall on the other side of a split."""
    model = models.scaled_boosting()
    made = published(make_contract(*floats(4)), model.onnx, as_events(model.x))

    expected = model.estimator.predict_proba(model.x)[:, 1]
    np.testing.assert_allclose([p["score"] for p in made], expected, rtol=1e-5, atol=1e-6)


def test_a_column_transformer_with_strings(make_contract, models, published):
    """One tensor per column, each of its own type; the order of the contract need not be the model's."""
    model = models.string_columns()
    contract = make_contract(
        '{ name = "visits", dtype = "int" }', '{ name = "country", dtype = "string" }', '{ name = "amount" }'
    )
    events = [{"amount": float(a), "country": c, "visits": int(v)} for a, c, v in model.x]
    made = published(contract, model.onnx, events)

    expected = model.estimator.predict_proba(model.x)[:, 1]
    np.testing.assert_allclose([p["score"] for p in made], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", ['["no", "yes"]', '["yes", "no"]'])
def test_a_zipmap_is_read_by_its_class_names(make_contract, models, published, classes):
    """The order of the contract's classes does not matter, since the model names them."""
    model = models.zipmap()
    contract = make_contract(*floats(3), classes=classes, positive='"yes"')
    made = published(contract, model.onnx, as_events(model.x[:50]))

    expected = model.estimator.predict_proba(model.x[:50])[:, 1]
    np.testing.assert_allclose([p["score"] for p in made], expected, rtol=1e-5, atol=1e-6)


def test_a_multiclass_model_publishes_scores_in_contract_order(make_contract, models, published):
    """The model's columns are sorted (high, low, medium); the labels in its graph tell."""
    model = models.multiclass()
    contract = make_contract(*floats(2), task='"multiclass"', classes='["low", "medium", "high"]')
    made = published(contract, model.onnx, as_events(model.x))

    expected = model.estimator.predict_proba(model.x)[:, [1, 2, 0]]
    np.testing.assert_allclose([p["scores"] for p in made], expected, rtol=1e-5, atol=1e-6)
    assert [p["prediction"] for p in made] == [["low", "medium", "high"][int(np.argmax(p["scores"]))] for p in made]
    assert np.mean([p["prediction"] for p in made] == model.estimator.predict(model.x)) == 1
    assert all("score" not in p for p in made)


def test_a_multiclass_zipmap_is_put_into_contract_order(make_contract, published, models):
    """The keys of each row say which probability is whose."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - only here

    model = models.multiclass()
    onnx = to_onnx(model.estimator, model.x[:1]).SerializeToString()
    contract = make_contract(*floats(2), task='"multiclass"', classes='["low", "medium", "high"]')
    made = published(contract, onnx, as_events(model.x[:20]))

    expected = model.estimator.predict_proba(model.x[:20])[:, [1, 2, 0]]
    np.testing.assert_allclose([p["scores"] for p in made], expected, rtol=1e-5, atol=1e-6)


def test_a_regressor_publishes_its_number(make_contract, models, published):
    """[N, 1] becomes one number; there is neither score nor scores."""
    model = models.regressor()
    made = published(make_contract(*floats(3), task='"regression"'), model.onnx, as_events(model.x))

    np.testing.assert_allclose([p["prediction"] for p in made], model.estimator.predict(model.x), rtol=1e-5, atol=1e-5)
    assert all("score" not in p and "scores" not in p for p in made)


def test_a_vector_input(make_contract, models, published):
    """A `vector[4]` feeds an input [N, 4]; boolean classes are the model's 0 and 1."""
    model = models.vector()
    contract = make_contract('{ name = "age" }', '{ name = "embedding", dtype = "vector[4]" }', classes="[false, true]")
    events = [{"age": float(row[0]), "embedding": [float(value) for value in row[1:]]} for row in model.x]
    made = published(contract, model.onnx, events)

    expected = model.estimator.predict_proba(model.x)[:, 1]
    np.testing.assert_allclose([p["score"] for p in made], expected, rtol=1e-5, atol=1e-6)
    assert [p["prediction"] for p in made] == [p["score"] >= 0.5 for p in made]


def test_a_vector_fills_its_columns_of_a_matrix(make_contract, models, published):
    """The same numbers as six floats, given as three and a vector of three."""
    model = models.boosting()
    contract = make_contract(
        '{ name = "a", path = "x.a" }', '{ name = "v", dtype = "vector[4]" }', '{ name = "b", path = "x.b" }',
        classes="[0, 1]",
    )  # fmt: skip
    rows = [[float(value) for value in row] for row in model.x[:20]]
    made = published(contract, model.onnx, [{"x": {"a": row[0], "b": row[5]}, "v": row[1:5]} for row in rows])

    expected = model.estimator.predict_proba(model.x[:20])[:, 1]
    np.testing.assert_allclose([p["score"] for p in made], expected, rtol=1e-5, atol=1e-6)


def test_a_model_of_other_classes_is_refused(make_contract, models):
    """A ZipMap of `yes` and `no` has no probabilities of `good` and `bad`."""
    with pytest.raises(RejectedRelease, match="by the classes") as caught:
        Scorer.load(models.zipmap().onnx, make_contract(*floats(3), classes='["good", "bad"]'), version=1, sha256="")
    assert caught.value.refusal is Refusal.WRONG_OUTPUTS


def test_a_model_for_another_task_is_refused(make_contract, models):
    """Three probabilities are no binary answer, and one number is no multiclass answer."""
    three, one = models.multiclass().onnx, models.regressor().onnx
    for model, contract in [
        (three, make_contract(*floats(2))),
        (three, make_contract(*floats(2), task='"regression"')),
        (one, make_contract(*floats(3), task='"multiclass"')),
    ]:
        with pytest.raises(RejectedRelease, match=r"the model has .* expects") as caught:
            Scorer.load(model, contract, version=1, sha256="")
        assert caught.value.refusal is Refusal.WRONG_OUTPUTS
