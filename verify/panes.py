"""Counters of panes recounted from predictions and joined labels, and the rates that follow from counters."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from verify.contract import Contract, class_key, same
from verify.ledger import Joined, Ledger
from verify.outcomes import Prediction

TINY = 1e-15
INTEGERS = ("predicted", "n", "n_log_loss")
SUMS = ("log_loss_sum", "abs_error_sum", "sq_error_sum")
RELATIVE = 1e-9
NOTHING = 1e-12
"""Sums smaller than this are 0 for the comparison."""


class PaneKey(NamedTuple):
    """A pane of one partition."""

    version: int
    window_s: int
    start_s: int


class Outcome(NamedTuple):
    """What a joined label adds."""

    abs_error: float = 0.0
    cell: tuple[str, str] | None = None
    """Class keys (true, predicted)."""
    loss: float | None = None
    """Minus the logarithm of the probability of the true class, if one was published."""


@dataclass
class Counters:
    """What is counted of one version in one pane."""

    predicted: int = 0
    n: int = 0
    n_log_loss: int = 0
    log_loss_sum: float = 0.0
    abs_error_sum: float = 0.0
    sq_error_sum: float = 0.0
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By class keys (true, predicted)."""

    def add(self, outcome: Outcome) -> None:
        """Count a label that was joined."""
        self.n += 1
        self.abs_error_sum += outcome.abs_error
        self.sq_error_sum += outcome.abs_error * outcome.abs_error
        if outcome.cell is not None:
            self.confusion[outcome.cell] += 1
        if outcome.loss is not None:
            self.n_log_loss += 1
            self.log_loss_sum += outcome.loss


@dataclass
class Bounds:
    """Counters with every label that may be joined, and with those alone that surely are."""

    most: Counters = field(default_factory=Counters)
    least: Counters = field(default_factory=Counters)


def outcome_of(contract: Contract, joined: Joined) -> Outcome:
    """What *joined* adds to the counters of its panes."""
    prediction, label = joined.prediction, joined.label
    if contract.task == "regression":
        return Outcome(abs_error=abs(float(label) - float(prediction.prediction)))
    cell = (class_key(label), class_key(prediction.prediction))
    probability = probability_of(contract, prediction, label)
    if probability is None:
        return Outcome(cell=cell)
    return Outcome(cell=cell, loss=-math.log(min(max(probability, TINY), 1 - TINY)))


def probability_of(contract: Contract, prediction: Prediction, label: Any) -> float | None:
    """The published probability of the class *label*; None where the prediction carries none."""
    if contract.task == "binary":
        if prediction.score is None:
            return None
        return prediction.score if same(label, contract.positive) else 1 - prediction.score
    if prediction.scores is None:
        return None
    score = prediction.scores[next(i for i, value in enumerate(contract.classes) if same(value, label))]
    # The state of a multiclass event is 4 bytes a class.
    return float(np.float32(score))


def recount_panes(contract: Contract, ledger: Ledger) -> tuple[dict[PaneKey, Bounds], dict[int, Bounds]]:
    """The counters of every pane with a prediction in it, and of each version in total."""
    panes: defaultdict[PaneKey, Bounds] = defaultdict(Bounds)
    totals: defaultdict[int, Bounds] = defaultdict(Bounds)

    def places(prediction: Prediction) -> list[Bounds]:
        found = [totals[prediction.version]]
        for window_s in contract.windows_s:
            start_s = math.floor(prediction.event_at / window_s) * window_s
            found.append(panes[PaneKey(prediction.version, window_s, start_s)])
        return found

    for prediction in ledger.predicted:
        for bounds in places(prediction):
            bounds.most.predicted += 1
            bounds.least.predicted += 1
    for joined in ledger.joined:
        outcome = outcome_of(contract, joined)
        for bounds in places(joined.prediction):
            bounds.most.add(outcome)
            if joined.is_sure:
                bounds.least.add(outcome)
    return panes, totals


def parse_counters(content: dict[str, Any]) -> Counters:
    """The counters in a record, absent ones 0; ValueError if one is of the wrong type."""
    counters = Counters()
    for name in INTEGERS:
        value = content.get(name, 0)
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} is {value!r}, no count")
        setattr(counters, name, value)
    for name in SUMS:
        value = content.get(name, 0.0)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, no sum")
        setattr(counters, name, float(value))
    for y_true, row in content.get("confusion", {}).items():
        for y_pred, count in row.items():
            if type(count) is not int or count < 0:
                raise ValueError(f"confusion of {y_true}, {y_pred} is {count!r}, no count")
            counters.confusion[y_true, y_pred] = count
    return counters


def differences(found: Counters, bounds: Bounds) -> list[str]:
    """What in *found* is not as recounted; empty if all is."""
    wrong = []
    for name in INTEGERS:
        least, most, value = getattr(bounds.least, name), getattr(bounds.most, name), getattr(found, name)
        if not least <= value <= most:
            wrong.append(f"{name} is {value}, recounted {_range(least, most)}")
    for cell in sorted({*found.confusion, *bounds.most.confusion}):
        least, most, value = bounds.least.confusion[cell], bounds.most.confusion[cell], found.confusion[cell]
        if not least <= value <= most:
            wrong.append(f"confusion {cell} is {value}, recounted {_range(least, most)}")
    for name in SUMS:
        lowest, highest, total = getattr(bounds.least, name), getattr(bounds.most, name), getattr(found, name)
        if not lowest * (1 - RELATIVE) - NOTHING <= total <= highest * (1 + RELATIVE) + NOTHING:
            wrong.append(f"{name} is {total!r}, recounted {_range(lowest, highest)}")
    if found.confusion and sum(found.confusion.values()) != found.n:
        wrong.append(f"the confusion holds {sum(found.confusion.values())}, n is {found.n}")
    return wrong


def _range(least: float, most: float) -> str:
    return repr(most) if least == most else f"{least!r} to {most!r}"


def rates_of(contract: Contract, counters: Counters) -> dict[str, float]:
    """Every rate that has a denominator, from the counters alone."""
    rates = {
        "coverage": _ratio(counters.n, counters.predicted),
        "log_loss": _ratio(counters.log_loss_sum, counters.n_log_loss),
    }
    if contract.task == "regression":
        rates["mae"] = _ratio(counters.abs_error_sum, counters.n)
        mean_square = _ratio(counters.sq_error_sum, counters.n)
        rates["rmse"] = None if mean_square is None else math.sqrt(mean_square)
    else:
        hits = sum(count for (y_true, y_pred), count in counters.confusion.items() if y_true == y_pred)
        rates["accuracy"] = _ratio(hits, counters.n)
        if contract.task == "binary":
            rates |= class_rates(counters, class_key(contract.positive))
        else:
            rates |= _macro(contract, counters)
    return {name: rate for name, rate in rates.items() if rate is not None}


def class_rates(counters: Counters, key: str) -> dict[str, float | None]:
    """Precision, recall and F1 of one class, None without a denominator."""
    hits, missed, false = _hits_missed_false(counters, key)
    return {
        "precision": _ratio(hits, hits + false),
        "recall": _ratio(hits, hits + missed),
        "f1": _ratio(2 * hits, 2 * hits + missed + false),
    }


def _hits_missed_false(counters: Counters, key: str) -> tuple[int, int, int]:
    cells = counters.confusion.items()
    hits = counters.confusion[key, key]
    missed = sum(count for (y_true, y_pred), count in cells if y_true == key != y_pred)
    false = sum(count for (y_true, y_pred), count in cells if y_pred == key != y_true)
    return hits, missed, false


def _macro(contract: Contract, counters: Counters) -> dict[str, float | None]:
    """The means over the classes that occur, an undefined ratio being 0."""
    keys = [class_key(value) for value in contract.classes]
    occurring = [class_rates(counters, key) for key in keys if any(_hits_missed_false(counters, key))]
    return {
        name: _ratio(sum(rates[name] or 0.0 for rates in occurring), len(occurring))
        for name in ("precision", "recall", "f1")
    }


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
