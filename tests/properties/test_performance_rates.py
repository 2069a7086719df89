"""Rates from counters against scikit-learn, at every prefix; and counters merged in any way against one recount."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from app.feedback import Contribution, Kind
from app.performance import merged, rates
from app.performance.counters import Sum
from tests.makers import a_contract


def summed(joined, *, regression=False):
    """Counters of joined labels: (y_true, y_pred, p_true)."""
    found = Sum()
    for y_true, y_pred, p_true in joined:
        found.predicted()
        found.joined(
            Contribution(Kind.JOINED, 0, 0, y_true=y_true, y_pred=y_pred, p_true=p_true), regression=regression
        )
    return found.counters()


BINARY = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=12)
MULTICLASS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12)
NUMBERS = st.floats(-1e6, 1e6)


@settings(max_examples=12, deadline=None)
@given(BINARY)
def test_binary_rates_equal_scikit_learn_at_every_prefix(events):
    """Accuracy, precision, recall, F1 of the positive class, and log loss; undefined ones are left out."""
    fraud = a_contract("binary", ("ham", "spam"))
    for end in range(1, len(events) + 1):
        y_true = [true for true, _ in events[:end]]
        scores = [score for _, score in events[:end]]
        y_pred = [int(score >= 0.5) for score in scores]
        p_true = [score if true else 1 - score for true, score in events[:end]]
        found = rates(summed(zip(y_true, y_pred, p_true, strict=True)), fraud)
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y_true, y_pred))
        for name, of in (
            ("precision", metrics.precision_score),
            ("recall", metrics.recall_score),
            ("f1", metrics.f1_score),
        ):
            expected = of(y_true, y_pred, zero_division=math.nan)
            assert (name in found) == (not math.isnan(expected))
            if name in found:
                assert found[name] == pytest.approx(expected)
        clipped = np.clip(p_true, 1e-15, 1 - 1e-15)
        of_both = np.column_stack([np.where(y_true, 1 - clipped, clipped), np.where(y_true, clipped, 1 - clipped)])
        expected = metrics.log_loss(y_true, of_both, labels=[0, 1])
        assert found["log_loss"] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=12, deadline=None)
@given(MULTICLASS)
def test_multiclass_rates_equal_scikit_learn_at_every_prefix(events):
    """Macro means over the classes that were true or predicted, an undefined ratio being 0; and each class."""
    classes = ("a", "b", "c", "d")
    species = a_contract("multiclass", classes)
    for end in range(1, len(events) + 1):
        y_true, y_pred = zip(*events[:end], strict=True)
        found = rates(summed((t, p, math.nan) for t, p in events[:end]), species)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p, r, f, _ = metrics.precision_recall_fscore_support(y_true, y_pred, average="macro", zero_division=0)
        assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((p, r, f))
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y_true, y_pred))
        assert "log_loss" not in found
        assert set(found["classes"]) == {classes[index] for index in {*y_true, *y_pred}}
        p, r, f, _ = metrics.precision_recall_fscore_support(
            y_true, y_pred, labels=range(4), average=None, zero_division=math.nan
        )
        for index, name in enumerate(classes):
            expected = {
                key: pytest.approx(each[index])
                for key, each in (("precision", p), ("recall", r), ("f1", f))
                if not math.isnan(each[index])
            }
            assert found["classes"].get(name, {}) == expected


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12))
def test_errors_equal_scikit_learn_at_every_prefix(events):
    """MAE and RMSE."""
    price = a_contract("regression", ())
    for end in range(1, len(events) + 1):
        y_true, y_pred = zip(*events[:end], strict=True)
        found = rates(summed(((t, p, math.nan) for t, p in events[:end]), regression=True), price)
        assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y_true, y_pred))
        assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y_true, y_pred))
        assert set(found) == {"coverage", "mae", "rmse"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1), st.integers(0, 3))))
def test_parts_merge_by_addition_in_any_split(events):
    """Counters of four partitions, merged, are those of all events at once."""
    parts = [summed((t, p, q) for t, p, q, part in events if part == which) for which in range(4)]
    whole = summed((t, p, q) for t, p, q, _ in events)
    total = merged(parts)
    assert (total.predicted, total.n, total.confusion, total.n_log_loss) == (
        whole.predicted,
        whole.n,
        whole.confusion,
        whole.n_log_loss,
    )
    assert total.log_loss_sum == pytest.approx(whole.log_loss_sum)
    assert parts[0] + parts[1] == parts[1] + parts[0]
