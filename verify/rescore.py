"""Scores computed anew from a model's bytes and decoded events."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from verify.contract import Contract, Feature, class_key, same
from verify.decode import Event
from verify.onnx_classes import named_classes

RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""Scores agree if they are this close in one of the two ways."""
SESSIONS_KEPT = 4
PROBABILITY_NAMES = ("probabilities", "output_probability", "probability")
TYPE_OF_INPUT: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}
TYPE_OF_FEATURE: dict[str, Any] = {"int": np.int64, "bool": np.bool_, "string": object}
ArrayOf = np.ndarray[Any, Any]


class Outcome(NamedTuple):
    """What a model says of one event."""

    score: float | None = None
    """P(positive) of a binary task."""
    scores: tuple[float, ...] | None = None
    """Of a multiclass task, in contract order."""
    number: float | None = None
    """Of a regression."""
    error: str | None = None
    """Why the model gives nothing."""

    @property
    def failed(self) -> bool:
        """True iff the event must be a `scoring_failed` dead letter."""
        numbers = [number for number in (self.score, self.number, *(self.scores or ())) if number is not None]
        return not numbers or not all(math.isfinite(number) for number in numbers)


def close(one: float, other: float) -> bool:
    """Whether two scores count as equal."""
    return abs(one - other) <= max(ABSOLUTE, RELATIVE * max(abs(one), abs(other)))


def decided(contract: Contract, score: float | None, scores: Sequence[float] | None) -> Any:
    """The class that follows from published scores: binary by threshold, multiclass by argmax, lowest index first."""
    if contract.task == "binary":
        assert score is not None  # noqa: S101 - for the type checker; callers have looked
        return contract.positive if score >= contract.threshold else contract.negative
    assert scores is not None  # noqa: S101 - the same
    return contract.classes[max(range(len(scores)), key=lambda index: (scores[index], -index))]


def near_decision(contract: Contract, score: float | None, scores: Sequence[float] | None) -> bool:
    """Whether another score that counts as equal could decide for another class."""
    if contract.task == "binary":
        return score is not None and close(score, contract.threshold)
    highest, second = sorted(scores or (), reverse=True)[:2]
    return close(highest, second)


class Model:
    """A release that can score."""

    def __init__(self, contract: Contract, model: bytes) -> None:
        """ValueError if the bytes are no model, or one that does not fit the contract."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime raises classes of its own that share no base but Exception.
            raise ValueError(f"onnxruntime does not load it: {str(error)[:200]}") from error
        self._contract = contract
        self._inputs = {put.name: put.type for put in self._session.get_inputs()}
        self._features = {feature.name: number for number, feature in enumerate(contract.features)}
        self._flat = {put.name for put in self._session.get_inputs() if len(put.shape) == 1}
        self._by_name = set(self._inputs) == set(self._features)
        strange = [kind for kind in self._inputs.values() if kind not in TYPE_OF_INPUT]
        if strange or (len(self._inputs) != 1 and not self._by_name):
            raise ValueError(f"inputs {self._inputs} are neither one matrix nor named as features are")
        # Where several outputs would do, the one that converters call so is meant.
        self._outputs = sorted(
            (put.name for put in self._session.get_outputs()),
            key=lambda name: PROBABILITY_NAMES.index(name) if name in PROBABILITY_NAMES else len(PROBABILITY_NAMES),
        )
        self._columns = _columns(contract, model, self._session.get_modelmeta().custom_metadata_map)

    def score(self, events: Sequence[Event]) -> list[Outcome]:
        """What the model says of each event; where it fails on a batch, one by one."""
        try:
            return self._run(events)
        except Exception as error:  # noqa: BLE001 - the same: no common base
            if len(events) == 1:
                return [Outcome(error=str(error)[:200])]
        return [outcome for event in events for outcome in self.score([event])]

    def _run(self, events: Sequence[Event]) -> list[Outcome]:
        outputs = self._session.run(self._outputs, self._feed(events))
        if self._contract.task == "regression":
            return [Outcome(number=float(number)) for number in _single(outputs, len(events))]
        rows = self._probabilities(outputs, len(events))
        if self._contract.task == "multiclass":
            return [Outcome(scores=tuple(map(float, row))) for row in rows]
        index = _index_of(self._contract, self._contract.positive)
        return [Outcome(score=float(row[index])) for row in rows]

    def _probabilities(self, outputs: Sequence[Any], rows: int) -> ArrayOf:
        """Probabilities in contract order, shape (n_events, n_classes)."""
        for output in outputs:
            if isinstance(output, list) and len(output) == rows and isinstance(output[0], dict):
                return np.array([_by_class(self._contract, row) for row in output], np.float64)
            if _is_floats(output) and output.shape == (rows, len(self._contract.classes)):
                return np.array(output[:, self._columns], np.float64)
        if self._contract.task != "binary":
            raise ValueError("no output of one float per class")
        positive = _single(outputs, rows)
        is_first = _index_of(self._contract, self._contract.positive) == 0
        return np.stack([positive, 1 - positive] if is_first else [1 - positive, positive], axis=1)

    def _feed(self, events: Sequence[Event]) -> dict[str, ArrayOf]:
        columns = {name: _column(self._contract, number, events) for name, number in self._features.items()}
        if self._by_name:
            return {
                name: (columns[name].reshape(-1) if name in self._flat else columns[name]).astype(TYPE_OF_INPUT[kind])
                for name, kind in self._inputs.items()
            }
        ((name, kind),) = self._inputs.items()
        wanted = TYPE_OF_INPUT[kind]
        # A matrix of floats is one of 32 bits, whatever the model makes of it.
        held = np.float32 if wanted in (np.float32, np.float64) else wanted
        return {name: np.concatenate([column.astype(held) for column in columns.values()], axis=1).astype(wanted)}


def _column(contract: Contract, number: int, events: Sequence[Event]) -> ArrayOf:
    """The values of one feature, shape (n_events, width)."""
    feature: Feature = contract.features[number]
    values = [event.values[number] for event in events]
    if feature.dtype in TYPE_OF_FEATURE:
        return np.array(values, TYPE_OF_FEATURE[feature.dtype]).reshape(-1, 1)
    return np.array(values, np.float64).astype(np.float32).reshape(-1, feature.width)


def _is_floats(output: Any) -> bool:
    return isinstance(output, np.ndarray) and output.dtype.kind == "f"


def _single(outputs: Sequence[Any], rows: int) -> ArrayOf:
    """The first output of one float an event, shape (n_events,)."""
    for output in outputs:
        if _is_floats(output) and output.shape in ((rows,), (rows, 1)):
            return np.array(output.reshape(-1), np.float64)
    raise ValueError("no output of one float an event")


def _index_of(contract: Contract, value: Any) -> int:
    return next(index for index, known in enumerate(contract.classes) if same(known, value))


def _columns(contract: Contract, model: bytes, metadata: dict[str, str]) -> list[int]:
    """For each class in contract order its column: by the metadata `classes`, the graph's labels, or as they stand."""
    keys = [class_key(value) for value in contract.classes]
    booleans = {"0": "false", "1": "true"} if set(keys) == {"false", "true"} else {}
    lists = [json.loads(metadata["classes"])] if "classes" in metadata else named_classes(model)
    orders = {tuple(booleans.get(class_key(label), class_key(label)) for label in labels) for labels in lists}
    orders = {order for order in orders if sorted(order) == sorted(keys)}
    if len(orders) > 1:
        raise ValueError(f"the model names its classes in several orders: {orders}")
    order = list(orders.pop()) if orders else keys
    return [order.index(key) for key in keys]


def _by_class(contract: Contract, row: dict[Any, float]) -> list[float]:
    """The probabilities of a ZipMap row, which names each class in its own type: 1 stands for true."""
    by_key = {class_key(name): probability for name, probability in row.items()}
    numbered = {"true": "1", "false": "0"}
    keys = [class_key(value) for value in contract.classes]
    return [by_key[key] if key in by_key else by_key[numbered[key]] for key in keys]


class Models:
    """The models of versions, loaded when first needed, a few at a time."""

    def __init__(self, load: Callable[[int], Model]) -> None:
        self._load = load
        self._models: OrderedDict[int, Model] = OrderedDict()

    def __getitem__(self, version: int) -> Model:
        if version in self._models:
            self._models.move_to_end(version)
        else:
            self._models[version] = self._load(version)
            if len(self._models) > SESSIONS_KEPT:
                self._models.popitem(last=False)
        return self._models[version]
