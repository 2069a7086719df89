"""Training holds its promises on whatever data: no look into the future, ONNX as scikit-learn, the same bytes again."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as oracle

from app.training.float32 import floor32
from app.training.folds import random_folds, time_folds
from app.training.metrics import metrics_of, roc_auc
from app.training.parity import TOLERANCE
from app.training.reservoir import Reservoir
from tests.makers import a_contract
from tests.programs import ROOT
from tests.tables import FEATURES, a_table, a_training

TASKS = ["binary", "multiclass", "regression"]
SLOW = settings(max_examples=8, deadline=None)


@given(
    st.integers(0, 2**32),
    st.sampled_from(TASKS),
    st.sampled_from([0.0, 1.0, 1.7e9]),
    st.sampled_from([1e-3, 1.0, 1e6]),
    st.sets(st.sampled_from(range(len(FEATURES)))),
    st.sampled_from([0.0, 0.3]),
)
@SLOW
def test_onnx_says_what_scikit_learn_says(seed, task, offset, scale, left_out, missing):
    """For each candidate, on every row: whatever the types, with missing and unseen values, far from 0 or tiny."""
    features = tuple(each for at, each in enumerate(FEATURES) if at not in left_out) or FEATURES[:1]
    contract, batch = a_table(seed, task=task, offset=offset, scale=scale, features=features, missing=missing)
    _, others = a_table(seed + 1, task=task, offset=offset, scale=scale, features=features, missing=missing)
    training = a_training(contract, batch)
    comparison = training.judge()

    for candidate in comparison.candidates:
        finished = training.finish(comparison._replace(best=candidate))
        parity = training.compare_onnx(finished, [batch, others], is_text=False, progress=lambda _share: None)
        assert (parity.n_rows, parity.n_offenders) == (240, 0)
        assert parity.max_difference <= TOLERANCE


MADE_AGAIN = """
import hashlib
from app.training.export import to_model
from app.training.fitting import fit
from tests.programs import ROOT
from tests.tables import a_table, a_training

for task in ("binary", "multiclass", "regression"):
    contract, batch = a_table(3, task=task)
    training = a_training(contract, batch, seed=7)
    comparison = training.judge()
    for each in comparison.candidates:
        model = to_model(fit(training.study, each.name, slice(None)), training.study.layout)
        print(hashlib.sha256(model).hexdigest())
    finished = training.finish(comparison)
    parity = training.compare_onnx(finished, [batch], is_text=False, progress=lambda _share: None)
    plots = training.plots(training.report(comparison, finished, parity, None))
    print(hashlib.sha256(repr(plots).encode()).hexdigest())
"""


def test_the_same_rows_and_seed_give_the_same_bytes():
    """Of models and plots, for each task, in processes that hash texts in other ways."""
    made = []
    for hash_seed in ("1", "2", "3"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [sys.executable, "-c", MADE_AGAIN], env=environ, cwd=ROOT, capture_output=True, text=True, check=True
        )
        made.append(ran.stdout.split())

    assert len(made[0]) == len(set(made[0])) == 9
    assert made[0] == made[1] == made[2]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=120), st.integers(1, 6))
def test_folds_by_time_never_train_on_the_future(times, n_folds):
    """Every training row is before every test row; no row is tested twice; what is tested last is never trained on.

    #   train [------]  test [---]
    #   train [----------]  test [---]
    """
    at_s = np.array(times, np.float64)
    folds = time_folds(at_s, n_folds=n_folds)

    for fold in folds:
        assert at_s[fold.train].max() < at_s[fold.test].min()
    tested = np.concatenate([fold.test for fold in folds]) if folds else np.empty(0)
    assert len(np.unique(tested)) == len(tested)
    for earlier, later in pairwise(folds):
        assert set(earlier.train) < set(later.train)
    assert len(folds) <= n_folds


@given(st.lists(st.integers(0, 2), min_size=20, max_size=90), st.integers(0, 9))
def test_random_folds_test_each_row_once(classes, seed):
    """Training and test rows are apart, and all classes are in each training part."""
    y = np.array(classes)
    assume(np.bincount(y, minlength=3).min() >= 2)
    folds = random_folds(y, is_regression=False, seed=seed)

    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(y)))
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert set(y[fold.train]) == {0, 1, 2}


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 40), st.integers(0, 9))
def test_a_reservoir_holds_distinct_rows_up_to_its_size(sizes, n_max, seed):
    """All that came where there is room; its arrays stay together."""
    reservoir, n_seen = Reservoir(n_max, seed), 0
    for size in sizes:
        rows = np.arange(n_seen, n_seen + size)
        reservoir.add(rows, rows * 10)
        n_seen += size
    held, tens = reservoir.rows()

    assert len(set(held.tolist())) == len(held) == min(n_max, n_seen)
    assert set(held.tolist()) <= set(range(n_seen))
    np.testing.assert_array_equal(tens, held * 10)


def test_a_reservoir_takes_each_row_as_often():
    """Over 2,000 samples of 5 among 20, in batches of 3, no row is taken much more often than another."""
    counts = np.zeros(20)
    for seed in range(2_000):
        reservoir = Reservoir(5, seed)
        for start in range(0, 20, 3):
            reservoir.add(np.arange(start, min(start + 3, 20)))
        counts[reservoir.rows()[0]] += 1

    assert np.abs(counts - 500).max() < 5 * np.sqrt(500 * 0.75)


@given(st.floats(-1e38, 1e38, allow_nan=False), st.floats(-(2.0**126), 2.0**126, width=32))
def test_a_threshold_of_float32_divides_float32_as_before(threshold, value):
    """`x <= floor32(t)` iff `x <= t`, for every float32 x, those beside the threshold included."""
    floored = floor32(np.array([threshold]))[0]
    near = np.float32(threshold)
    for x in (np.float32(value), near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        assert (np.float64(x) <= floored) == (np.float64(x) <= threshold)
    assert np.float64(np.float32(floored)) == floored


@given(arrays.arrays(np.int64, 40, elements=st.integers(0, 2)), st.integers(0, 2**32))
def test_metrics_are_those_of_scikit_learn(y, seed):
    """For classes: accuracy, macro F1 and log loss; for two of them AUC, Brier score, precision and recall as well."""
    rng = np.random.default_rng(seed)
    assume(len(set(y)) == 3)
    numbers = rng.dirichlet(np.ones(3), 40)
    found = metrics_of(a_contract("multiclass", ("a", "b", "c")), y, numbers)
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(y, numbers.argmax(axis=1)))
    assert found["f1"] == pytest.approx(oracle.f1_score(y, numbers.argmax(axis=1), average="macro", zero_division=0))
    assert found["log_loss"] == pytest.approx(oracle.log_loss(y, numbers))

    y = y % 2
    assume(len(set(y)) == 2)
    score = np.round(rng.random(40), 1)  # with equal ones among them
    contract = a_contract("binary", (0, 1), threshold=0.3)
    found = metrics_of(contract, y, np.column_stack([1 - score, score]))
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(y, score))
    assert found["brier"] == pytest.approx(oracle.brier_score_loss(y, score))
    assert found.get("precision", 0) == pytest.approx(oracle.precision_score(y, score >= 0.3, zero_division=0))
    assert found["recall"] == pytest.approx(oracle.recall_score(y, score >= 0.3))


@given(arrays.arrays(np.float64, 20, elements=st.floats(-1e6, 1e6)), st.integers(0, 2**32))
def test_metrics_of_numbers_are_those_of_scikit_learn(y, seed):
    """MAE, RMSE and R2; R2 is left out where all labels are equal."""
    numbers = y + np.random.default_rng(seed).normal(size=20)
    found = metrics_of(a_contract("regression", ()), y, numbers)

    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(y, numbers))
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(y, numbers))
    if np.ptp(y) > 1e-3:
        assert found["r2"] == pytest.approx(oracle.r2_score(y, numbers), rel=1e-6, abs=1e-6)


def test_auc_of_equal_scores_is_a_half():
    """Ties count half."""
    assert roc_auc(np.array([True, False, True]), np.zeros(3)) == 0.5


def test_the_baseline_is_not_beaten_by_noise():
    """Where labels have nothing to do with the features, hardly any seed makes a model that looks better."""
    better = 0
    for seed in range(6):
        contract, batch = a_table(seed, n_rows=120)
        rng = np.random.default_rng(seed + 100)
        columns = {**batch.columns, ("y",): rng.choice(["no", "yes"], 120).tolist()}
        comparison = a_training(contract, batch._replace(columns=columns)).judge()
        better += comparison.is_better
    assert better <= 1
