"""Binding a model's inputs to the features of the contract, once, at loading.

    one input for all      [N, width] of floats (or of integers, or of strings) -> the features side by side
    one input per feature  named as the feature, [N, 1] or [N]; [N, n] for a vector

Nothing is guessed: an input is taken by its exact name or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.errors import Refusal, RejectedRelease

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from app.features import Contract, DecodedBatch, Feature
    from app.scoring.session import Feeds

    ToFeeds = Callable[[DecodedBatch], Feeds]

TENSORS: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}
TAKEN_BY: dict[str, frozenset[str]] = {
    "float": frozenset({"tensor(float)", "tensor(double)"}),
    "vector": frozenset({"tensor(float)", "tensor(double)"}),
    "int": frozenset({"tensor(int64)", "tensor(int32)", "tensor(float)", "tensor(double)"}),
    "bool": frozenset({"tensor(bool)", "tensor(int64)", "tensor(int32)", "tensor(float)", "tensor(double)"}),
    "string": frozenset({"tensor(string)"}),
}
"""For each dtype of a feature the tensors that take its values as they are."""
INT32_MAX = 2**31 - 1
MATRIX_RANK = 2


class _Column(NamedTuple):
    """One model input that takes one feature."""

    name: str
    dtype: Any
    flat: bool
    """Whether the input is [N] rather than [N, width]."""


def bind_inputs(inputs: list[Any], contract: Contract) -> ToFeeds:
    """How a decoded batch becomes the model's *inputs*; RejectedRelease(WRONG_INPUTS) if it cannot."""
    features = {feature.name: feature for feature in contract.features}
    for model_input in inputs:
        _check_batch_dimension(model_input, contract)
    if {model_input.name for model_input in inputs} == set(features):
        return _by_column([_column(model_input, features[model_input.name], contract) for model_input in inputs])
    if len(inputs) == 1:
        return _side_by_side(inputs[0], contract)
    expected, found = set(features), {model_input.name for model_input in inputs}
    raise _wrong(
        inputs,
        contract,
        f"no input for {_listed(expected - found)}" if expected - found else f"nothing for {_listed(found - expected)}",
    )


def _side_by_side(model_input: Any, contract: Contract) -> ToFeeds:
    """All features in the one *model_input*."""
    tensor = TENSORS.get(model_input.type)
    if len(model_input.shape) != MATRIX_RANK or model_input.type not in TENSORS:
        raise _wrong([model_input], contract, "one input for all features must be a matrix")
    columns = model_input.shape[1]
    if isinstance(columns, int) and columns != contract.width:
        raise _wrong([model_input], contract, f"it takes {columns} columns, the contract has {contract.width}")
    for feature in contract.features:
        _check_type(model_input, feature, contract)
    if tensor in (np.float32, np.float64):
        return _matrix(model_input.name, tensor)
    names = [feature.name for feature in contract.features]

    def to_feeds(decoded: DecodedBatch) -> Feeds:
        """Integers and strings keep their own type on the way."""
        return {model_input.name: np.concatenate([decoded.column(name).astype(tensor) for name in names], axis=1)}

    return to_feeds


def _matrix(name: str, dtype: Any) -> ToFeeds:
    def to_feeds(decoded: DecodedBatch) -> Feeds:
        return {name: decoded.matrix().astype(dtype, copy=False)}

    return to_feeds


def _by_column(columns: list[_Column]) -> ToFeeds:
    def to_feeds(decoded: DecodedBatch) -> Feeds:
        feeds: dict[str, npt.NDArray[Any]] = {}
        for name, dtype, flat in columns:
            column = decoded.column(name)
            feeds[name] = (column.reshape(-1) if flat else column).astype(dtype, copy=False)
        return feeds

    return to_feeds


def _column(model_input: Any, feature: Feature, contract: Contract) -> _Column:
    shape = model_input.shape
    flat = len(shape) == 1 and feature.dtype != "vector"
    wide = len(shape) == MATRIX_RANK and (not isinstance(shape[1], int) or shape[1] == feature.width)
    if not flat and not wide:
        raise _wrong([model_input], contract, f"{feature.name} takes [N, {feature.width}]")
    _check_type(model_input, feature, contract)
    return _Column(feature.name, TENSORS[model_input.type], flat)


def _check_type(model_input: Any, feature: Feature, contract: Contract) -> None:
    taken_by = TAKEN_BY[feature.dtype]
    if model_input.type not in taken_by:
        tensors = " or ".join(sorted(taken_by))
        raise _wrong([model_input], contract, f"{feature.name} is a {feature.dtype}, which takes a {tensors}")
    if model_input.type == "tensor(int32)" and feature.dtype == "int":
        bounds = feature.categories or (feature.low, feature.high)
        if not all(isinstance(bound, int) and -INT32_MAX - 1 <= bound <= INT32_MAX for bound in bounds):
            raise _wrong([model_input], contract, f"{feature.name} may be beyond 32 bits: set its low and high")


def _check_batch_dimension(model_input: Any, contract: Contract) -> None:
    if not model_input.shape:
        raise _wrong([model_input], contract, "an input without a declared shape cannot be bound")
    if isinstance(model_input.shape[0], int):
        raise _wrong(
            [model_input],
            contract,
            f"its first dimension is fixed to {model_input.shape[0]}: export the model with a dynamic batch dimension",
        )


def _wrong(inputs: list[Any], contract: Contract, problem: str) -> RejectedRelease:
    found = ", ".join(f"{i.name}: {i.type}{_shape(i.shape)}" for i in inputs[:8])
    expected = ", ".join(f"{f.name}: {f.dtype}{f'[{f.width}]' * (f.dtype == 'vector')}" for f in contract.features[:8])
    return RejectedRelease(
        Refusal.WRONG_INPUTS,
        f"{problem}; the model has {found}{', ...' * (len(inputs) > 8)}; "  # noqa: PLR2004 - as cut above
        f"the contract has {expected}{', ...' * (len(contract.features) > 8)} "  # noqa: PLR2004 - as cut above
        f"({contract.width} columns in all)",
    )


def _shape(shape: list[Any]) -> str:
    return "[" + ", ".join(str(size) if isinstance(size, int) else "N" for size in shape) + "]"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)[:8])
