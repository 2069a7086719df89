"""Counters of panes, and the rates that follow from them."""

import json
import math

import pytest

from verify.contract import parse_contract
from verify.decode import Label
from verify.ledger import Joined, Ledger
from verify.outcomes import Prediction
from verify.panes import Bounds, Counters, differences, parse_counters, rates_of, recount_panes
from verify.performance import PartitionLogs, Tallies
from verify.read import Record
from verify.report import Report
from verify.rows import Positions, Row, read_rows

KEYS = 'name = "toy"\nlabel_horizon_s = 1\nwindows_s = [60, 3600]\nfeatures = [{name = "x"}]\n'
BINARY = parse_contract(KEYS + 'task = "binary"\nclasses = [0, 1]')
MULTICLASS = parse_contract(KEYS + 'task = "multiclass"\nclasses = ["x", "y", "z"]')
REGRESSION = parse_contract(KEYS + 'task = "regression"')


def a_prediction(predicted, *, at=0.0, version=1, score=None, scores=None):
    """A prediction with this answer."""
    return Prediction(0, 0, True, None, None, None, "i", version, predicted, at, score, scores, None, None)


def counters_of(contract, *pairs):
    """The counters of one pane of joined (prediction, label) pairs."""
    ledger = Ledger(predicted=[p for p, _ in pairs], joined=[Joined(p, label, is_sure=True) for p, label in pairs])
    panes, _ = recount_panes(contract, ledger)
    return panes[1, 60, 0].most


def test_a_prediction_counts_in_one_pane_of_each_window_by_version():
    """Panes are aligned to the epoch, and every version has a total."""
    ledger = Ledger(predicted=[a_prediction(1, at=at, version=v) for at, v in ((59.9, 1), (60.0, 1), (3600.0, 2))])

    panes, totals = recount_panes(BINARY, ledger)

    assert {tuple(key): bounds.most.predicted for key, bounds in panes.items()} == {
        (1, 60, 0): 1,
        (1, 60, 60): 1,
        (1, 3600, 0): 2,
        (2, 60, 3600): 1,
        (2, 3600, 3600): 1,
    }
    assert {version: bounds.most.predicted for version, bounds in totals.items()} == {1: 2, 2: 1}


def test_log_loss_is_of_the_published_probability_of_the_true_class():
    """Clipped, and only where a probability was published."""
    pairs = [(a_prediction(1, score=0.8), 1), (a_prediction(1, score=0.8), 0), (a_prediction(1, score=1.0), 0)]
    counters = counters_of(BINARY, *pairs, (a_prediction(1), 1))

    assert (counters.n, counters.n_log_loss) == (4, 3)
    assert counters.log_loss_sum == pytest.approx(-math.log(0.8) - math.log(0.2) - math.log(1e-15), rel=1e-3)
    assert counters.confusion == {("1", "1"): 2, ("0", "1"): 2}


def test_the_rates_of_a_binary_task_are_of_the_positive_class():
    """Those without a denominator are left out."""
    assert rates_of(BINARY, Counters()) == {}
    assert rates_of(BINARY, Counters(predicted=2)) == {"coverage": 0.0}
    # true 1: hit twice, missed once; true 0: hit once, false alarm three times
    counters = Counters(predicted=10, n=7)
    counters.confusion.update({("1", "1"): 2, ("1", "0"): 1, ("0", "0"): 1, ("0", "1"): 3})

    assert rates_of(BINARY, counters) == pytest.approx(
        {"coverage": 0.7, "accuracy": 3 / 7, "precision": 2 / 5, "recall": 2 / 3, "f1": 4 / 8}
    )


def test_macro_rates_are_means_over_the_classes_that_occur():
    """An undefined ratio is 0, a class that neither was nor was called does not count."""
    # x is always called y: precision of x is undefined, recall 0; z does not occur
    counters = counters_of(MULTICLASS, (a_prediction("y"), "x"), (a_prediction("y"), "y"))

    rates = rates_of(MULTICLASS, counters)

    assert rates == pytest.approx(
        {"coverage": 1.0, "accuracy": 0.5, "precision": 0.25, "recall": 0.5, "f1": (2 / 3) / 2}
    )


def test_a_multiclass_probability_is_one_of_32_bits():
    """The state of an event is 4 bytes a class."""
    counters = counters_of(MULTICLASS, (a_prediction("y", scores=(0.1, 0.7, 0.2)), "y"))

    assert counters.log_loss_sum == -math.log(0.699999988079071)


def test_errors_of_a_regression():
    """MAE and RMSE."""
    counters = counters_of(REGRESSION, (a_prediction(1.5), 1.0), (a_prediction(0), 2.0))

    assert (counters.abs_error_sum, counters.sq_error_sum) == (2.5, 4.25)
    assert rates_of(REGRESSION, counters) == pytest.approx({"coverage": 1.0, "mae": 1.25, "rmse": math.sqrt(2.125)})


def test_counters_in_doubt_may_be_anything_between():
    """Integers within the bounds, sums within 1e-9 of them."""
    most = Counters(predicted=2, n=2, n_log_loss=2, log_loss_sum=1.0)
    bounds = Bounds(most=most, least=Counters(predicted=2, n=1, n_log_loss=1, log_loss_sum=0.25))

    def wrong(**fields):
        return [text.split()[0] for text in differences(Counters(**fields), bounds)]

    assert wrong(predicted=2, n=1, n_log_loss=1, log_loss_sum=0.25) == []
    assert wrong(predicted=2, n=2, n_log_loss=2, log_loss_sum=1.0 + 5e-10) == []
    assert wrong(predicted=2, n=2, n_log_loss=2, log_loss_sum=1.0 + 5e-9) == ["log_loss_sum"]
    assert wrong(predicted=1, n=3, n_log_loss=0, log_loss_sum=0.2) == ["predicted", "n", "n_log_loss", "log_loss_sum"]


@pytest.mark.parametrize(
    "content",
    [{"n": 1.0}, {"predicted": -1}, {"log_loss_sum": "1"}, {"confusion": {"1": {"0": 0.5}}}, {"confusion": {"1": 2}}],
)
def test_counters_of_a_wrong_type_are_told(content):
    """Counts are integers from 0 on, sums numbers."""
    with pytest.raises((ValueError, AttributeError)):
        parse_counters(content)


@pytest.mark.parametrize(
    ("of_x", "kinds"), [({"recall": 0.0, "f1": 0.0}, set()), ({"precision": 0.0}, {"rate_of_nothing"})]
)
def test_rates_of_single_classes_follow_from_the_counters_too(of_x, kinds):
    """`classes` of a multiclass record has them by class; one without a denominator is left out."""
    prediction = a_prediction("y", scores=(0.1, 0.7, 0.2))
    counters = counters_of(MULTICLASS, (prediction, "x"))
    content = {
        "version": 1,
        "slice": "all",
        "window_s": 60,
        "start_s": 0,
        "end_s": 60,
        "partition": 0,
        "positions": {"predictions": 1, "labels": 1},
        "predicted": 1,
        "n": 1,
        "confusion": {"x": {"y": 1}},
        "n_log_loss": 1,
        "log_loss_sum": counters.log_loss_sum,
        "classes": {"x": of_x},
        **rates_of(MULTICLASS, counters),
    }
    contract = MULTICLASS._replace(windows_s=(60,))
    report = Report("toy")
    rows = read_rows([Record("p", 0, 0, 0, b"1/all/60/0/0", json.dumps(content).encode())], report.check("panes"))
    ledger = Row("ledger/0", "p[0]@1", Positions(1, 1), {"joined": 1, "totals": {"1": content}, "event_time_s": 0.0})
    rows.newest["ledger/0"] = ledger
    tallies = Tallies(contract, report, rows, allow_behind=False)

    tallies.check_partition(PartitionLogs(0, [prediction], [Label(0, "i", "x", 0.0)], 0, 0, Positions(1, 1)))
    tallies.finish()

    assert {kind for check in report.checks.values() for kind in check.counts} == kinds
