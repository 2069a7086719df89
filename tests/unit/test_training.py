"""The parts of training: which rows are taken, how categories become numbers, what is refused, what is drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import onnx
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.errors import ConfigurationError, UnfitModel
from app.features import Feature
from app.scoring import Scorer
from app.training import parity as parity_module
from app.training.card import card_text
from app.training.codes import Codes, vocabulary_of
from app.training.dataset import DatasetReader
from app.training.layout import Layout
from app.training.report import Source
from tests.makers import a_contract
from tests.tables import FEATURES, a_table, a_training


def silent(_share):
    """No bar."""


def test_rows_that_a_worker_would_refuse_are_counted_by_reason_and_left_out():
    """So are rows without a label, and labels that are no class; the first that is refused is named by its row."""
    contract, batch = a_table(1, n_rows=60)
    columns = {path: list(values) for path, values in batch.columns.items()}
    columns["visits",][3] = "many"
    columns["place", "city"][4] = None
    columns["grade",][5] = 11
    columns["y",][6], columns["y",][7] = None, "perhaps"
    reader = DatasetReader(Layout(contract), is_text=False, n_max=None, seed=0)
    reader.add(batch._replace(columns=columns, first_row=101))
    dataset, counts = reader.dataset(), reader.counts

    assert counts.refused == {"wrong_type": 1, "missing_feature": 1, "out_of_range": 1, "bad_label": 1}
    assert (counts.n_rows, counts.n_unlabelled, counts.n_usable, len(dataset.y)) == (60, 1, 55, 55)
    assert counts.first_refused.startswith("row 104: visits: expected an integer, got 'many'")
    assert set(range(101, 161)) - set(dataset.row.tolist()) == {104, 105, 106, 107, 108}


def test_a_sample_keeps_the_order_of_the_table():
    """Beyond --max-rows rows are drawn, and stay whole: features, label and number belong together."""
    contract, batch = a_table(1, n_rows=90, features=FEATURES[1:3])
    reader = DatasetReader(Layout(contract), is_text=False, n_max=30, seed=0)
    reader.add(batch)
    reader.add(batch._replace(first_row=91))
    dataset = reader.dataset()

    assert (len(dataset.y), reader.counts.n_usable) == (30, 180)
    assert (np.diff(dataset.row) > 0).all()
    assert dataset.row.max() > 90
    for at, row in enumerate(dataset.row.tolist()):
        place = (row - 1) % 90
        assert dataset.matrix[at].tolist() == [batch.columns[path][place] for path in (("at_work",), ("visits",))]
        assert contract.classes[dataset.y[at]] == batch.columns["y",][place]


def test_rare_and_unknown_values_have_one_code(monkeypatch):
    """Codes go from the most frequent value on; beyond a bound new values are not remembered."""
    monkeypatch.setattr("app.training.codes.DISTINCT_MAX", 3)
    codes = Codes()
    met = codes.learn(["b", *"aaaaaaa", *"bbbbb", "c", "d", "e"])
    vocabulary = vocabulary_of(np.float32(met), codes.values)

    assert codes.values == ("b", "a", "c")
    assert met[-2:] == [0, 0]
    assert vocabulary.values == ("a", "b")
    assert vocabulary.codes_of(["a", "b", "c", "d", "never"]) == [1, 2, 0, 0, 0]
    assert vocabulary.recode.tolist() == [0, 2, 1, 0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n_rows": 30}, "30 rows can be used, which are too few to judge a model by; give at least 40"),
        ({"task": "multiclass", "labels": ["low", "middle"]}, "the class high has 0 of 120 rows"),
        ({"task": "regression", "labels": [3.0]}, "the label is 3 in every row: there is nothing to be learnt"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, text):
    """With what is missing."""
    labels = change.pop("labels", None)
    contract, batch = a_table(1, **change)
    if labels:
        batch = batch._replace(columns={**batch.columns, ("y",): [labels[n % len(labels)] for n in range(120)]})

    with pytest.raises(ConfigurationError, match=text):
        a_training(contract, batch)


def timed(contract, batch, times):
    """The same with times in seconds."""
    contract = contract.__class__(**{**vars(contract), "event_time_path": ("t",), "event_time_format": "s"})
    return contract, batch._replace(columns={**batch.columns, ("t",): times})


def test_rows_with_times_are_divided_by_time():
    """Folds whose past is of one class are left out, and said; with too few times rows are divided at random."""
    made = a_table(1)
    contract, batch = timed(*made, list(range(120)))
    assert a_training(contract, batch).split.how == "5 folds by time, each trained on all that was before it"

    late = batch._replace(columns={**batch.columns, ("y",): ["no"] * 50 + ["yes", "no"] * 35})
    split = a_training(contract, late).split
    assert split.notes == ("2 folds are left out: all that was before them is of one class",)
    assert len(split.folds) == 3

    split = a_training(*timed(*made, [n % 2 for n in range(120)])).split
    assert split.how.startswith("5 folds at random")
    assert split.notes == ("too few times are distinct in t to divide the rows by them",)


def test_features_may_be_called_as_the_converter_calls_things():
    """A name means one thing in ONNX: inner names give way, and the output is found all the same."""
    names = ("label", "probabilities", "features", "variable", "concat_result")
    features = [Feature(name, (f"p{at}",), "float") for at, name in enumerate(names)]
    features += [Feature("codes/0", ("city",), "string")]
    rng = np.random.default_rng(0)
    _, batch = a_table(1)
    columns = {(f"p{at}",): rng.normal(size=120).tolist() for at in range(5)}
    columns |= {("city",): batch.columns["place", "city"], ("y",): batch.columns["y",]}
    contract = a_contract(features=tuple(features), label_path=("y",), id_path=None)
    training = a_training(contract, batch._replace(columns=columns))
    comparison = training.judge()

    for candidate in comparison.candidates:
        finished = training.finish(comparison._replace(best=candidate))
        model = onnx.load_from_string(finished.model)
        assert [each.name for each in model.graph.input] == [*names, "codes/0"]
        parity = training.compare_onnx(finished, [batch._replace(columns=columns)], is_text=False, progress=silent)
        assert parity.n_rows == 120


def test_classes_are_in_the_order_of_the_contract():
    """Whatever they are called: integers in another order than theirs would be taken for positions else."""
    _, batch = a_table(1)
    labels = [{"no": 1, "yes": 0}[label] for label in batch.columns["y",]]
    contract = a_contract("binary", (1, 0), features=FEATURES[:1], label_path=("y",), id_path=None)
    training = a_training(contract, batch._replace(columns={**batch.columns, ("y",): labels}))
    finished = training.finish(training.judge())

    assert onnx.load_from_string(finished.model).metadata_props[0].value == "[1, 0]"
    assert finished.scorer.contract.positive_index == 1


def test_ones_own_estimators_are_compared_in_place_of_the_built_in_ones():
    """Trees after a scaler, forests, boosting: what scikit-learn has and skl2onnx converts; thresholds are mended."""

    def candidates(columns):
        assert columns.names == ("at_work", "visits", "shape[0]", "shape[1]", "shape[2]")
        assert (columns.numbers, columns.categories, columns.task) == ((0, 1, 2, 3, 4), {}, "binary")
        trees = GradientBoostingClassifier(n_estimators=10, random_state=columns.seed)
        return {
            "forest": RandomForestClassifier(10, random_state=columns.seed),
            "boosting": make_pipeline(trees),
            "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
        }

    features = (*FEATURES[1:3], FEATURES[6])
    contract, batch = a_table(1, features=features, missing=0)
    training = a_training(contract, batch, define=candidates)
    comparison = training.judge()

    assert [each.name for each in comparison.candidates] == ["forest", "boosting", "scaled"]
    for candidate in comparison.candidates:
        finished = training.finish(comparison._replace(best=candidate))
        assert training.compare_onnx(finished, [batch], is_text=False, progress=silent).n_offenders == 0


@pytest.mark.parametrize(
    ("define", "text"),
    [
        (lambda _columns: [LogisticRegression()], "must give a dict of unfitted estimators by name"),
        (lambda _columns: {"scaler": StandardScaler()}, "the candidate scaler of definition.py has no predict_proba"),
        (lambda _columns: {"linear": LogisticRegression()}, "the candidate linear cannot be fitted.*contains NaN"),
    ],
)
def test_candidates_that_are_none_are_refused(define, text):
    """With what they lack."""
    contract, batch = a_table(1, features=FEATURES[:1])
    with pytest.raises(ConfigurationError, match=text):
        a_training(contract, batch, define=define).judge()


class Unknown(LogisticRegression):
    """An estimator that no converter is registered for."""


def test_what_cannot_be_converted_is_named():
    """With where it stands what can."""
    contract, batch = a_table(1, features=FEATURES[1:3])
    training = a_training(contract, batch, define=lambda _columns: {"unknown": Unknown()})
    with pytest.raises(ConfigurationError, match=r"skl2onnx cannot convert Unknown: .*supported\.html"):
        training.finish(training.judge())


def test_a_model_that_onnx_answers_otherwise_is_refused_with_the_rows(monkeypatch):
    """As before thresholds were mended: rows beside a threshold are named with both answers."""
    contract, batch = a_table(1, offset=1.7e9, scale=1_000.0, features=FEATURES[:1], missing=0)
    monkeypatch.setattr("app.training.fitting.with_float32_thresholds", lambda estimator: estimator)
    training = a_training(contract, batch)
    comparison = training.judge()
    trees = next(each for each in comparison.candidates if each.name == "gradient boosting")
    finished = training.finish(comparison._replace(best=trees))

    with pytest.raises(UnfitModel) as refused:
        training.compare_onnx(finished, [batch], is_text=False, progress=silent)
    lines = str(refused.value).splitlines()
    assert "of 120 rows differ by more than 1e-05; nothing was written" in lines[0]
    assert all("scikit-learn says 0." in line and ", ONNX 0." in line for line in lines[1:6])
    assert len(lines) <= parity_module.NAMED_MAX + 2


def test_a_model_that_the_scorer_refuses_is_refused_here(monkeypatch):
    """With the word of the Scorer."""
    contract, batch = a_table(1, features=FEATURES[1:3])
    training = a_training(contract, batch)
    monkeypatch.setattr("app.training.train.to_model", lambda *_: b"no model")
    with pytest.raises(UnfitModel, match=r"a worker would refuse the model of .*: onnxruntime cannot load it"):
        training.finish(training.judge())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_cards_and_plots_survive_any_name(task):
    """Names of features and classes that are markup, or no text for XML, stay names; nothing is not-a-number."""
    odd = ("a|b\n`c`", "<script>", "\x00\x1b[2J")
    features = tuple(Feature(name, (f"p{at}",), "float") for at, name in enumerate(odd))
    contract, batch = a_table(1, task=task)
    columns = {(f"p{at}",): np.random.default_rng(50 + at).normal(size=120).tolist() for at in range(3)}
    columns["y",] = batch.columns["y",]
    contract = contract.__class__(**{**vars(contract), "features": features})
    batch = batch._replace(columns=columns)
    training = a_training(contract, batch)
    comparison = training.judge()
    finished = training.finish(comparison)
    parity = training.compare_onnx(finished, [batch], is_text=False, progress=silent)
    report = training.report(comparison, finished, parity, Source("x<y>|.csv", "0" * 64, 1))
    plots = training.plots(report)
    card = card_text(report, plots, model="1.onnx", folder="card-plots")

    assert (
        set(plots)
        == {
            "binary": {"curves", "calibration", "confusion", "importance"},
            "multiclass": {"confusion", "importance"},
            "regression": {"predicted", "importance"},
        }[task]
    )
    for svg in plots.values():
        ET.fromstring(svg)  # noqa: S314  # our own
        assert "nan" not in svg
    assert "`a\\|b 'c'`" in card
    assert all(each.isprintable() or each == "\n" for each in card)
    assert "is **not** better than the baseline" in card
    widths = [line.replace("\\|", "").count("|") for line in card.splitlines() if line.startswith("|")]
    assert set(widths) <= {3, 4, 5}


def test_the_scorer_of_a_finished_model_serves_its_pipeline():
    """The very bytes, loaded as a worker would."""
    contract, batch = a_table(1)
    training = a_training(contract, batch)
    finished = training.finish(training.judge())

    assert Scorer.load(finished.model, contract, version=1, sha256="0" * 64).contract is contract
