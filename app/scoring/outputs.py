"""Binding a model's outputs to the task, once, at loading, by what a first run gives.

    binary, multiclass  a tensor [N, k] of one probability per class, or a ZipMap: a list of {class: probability}
    binary              also [N, 1] or [N]: the probability of the positive class
    regression          [N, 1] or [N]

The model's own label output is not used and not fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.errors import Refusal, RejectedRelease
from app.scoring.class_order import class_columns, columns_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from app.features import Contract
    from app.scoring.session import Feeds, Session

    ToNumbers = Callable[[Any], npt.NDArray[Any]]

FLOATS = ("tensor(float)", "tensor(double)")
PROBABILITY_NAMES = ("probabilities", "output_probability", "probability")
"""How converters call the output, for models with several that would do."""
BINARY_CLASSES = 2


class Output(NamedTuple):
    """The one output that is fetched, and how it becomes numbers.

    to_numbers gives (n,) P(positive) for binary, (n, k) in contract order for multiclass, (n,) for regression.
    """

    name: str
    to_numbers: ToNumbers


def bind_outputs(session: Session, model: bytes, contract: Contract, trial: Feeds, n_rows: int) -> Output:
    """The output of *session* that holds the contract's answer, found by running the *trial* of *n_rows* rows.

    RejectedRelease(WRONG_OUTPUTS) if there is none, or more than one.
    """
    candidates = [o for o in session.outputs if o.type in FLOATS or o.type.startswith("seq(map(")]
    if not candidates:
        raise _wrong(session, contract, "no output of floats")
    values = dict(zip([o.name for o in candidates], session.run([o.name for o in candidates], trial), strict=True))
    if contract.task == "regression":
        return _regression(session, contract, values, n_rows)
    full = {name: value for name, value in values.items() if _has_one_per_class(value, contract, n_rows)}
    # A model with probabilities for both classes and a column beside them means the former.
    name = _the_one(
        session, contract, full or {name: v for name, v in values.items() if _is_single(v, contract, n_rows)}
    )
    if isinstance(values[name], list):
        return Output(name, _from_maps(session, contract, values[name]))
    if not full:
        return Output(name, _flat)
    return Output(name, _from_columns(class_columns(model, session.metadata, contract), contract))


def _regression(session: Session, contract: Contract, values: dict[str, Any], n_rows: int) -> Output:
    fitting = {name: v for name, v in values.items() if np.shape(v) in ((n_rows,), (n_rows, 1))}
    return Output(_the_one(session, contract, fitting), _flat)


def _the_one(session: Session, contract: Contract, fitting: dict[str, Any]) -> str:
    if not fitting:
        raise _wrong(session, contract, "no output of the expected shape")
    named = [name for name in PROBABILITY_NAMES if name in fitting]
    if len(fitting) > 1 and not named:
        raise _wrong(session, contract, f"more than one output would do: {', '.join(fitting)}")
    return named[0] if named else next(iter(fitting))


def _has_one_per_class(value: Any, contract: Contract, n_rows: int) -> bool:
    if isinstance(value, list):
        return len(value) == n_rows and all(isinstance(row, dict) for row in value)
    return bool(np.shape(value) == (n_rows, len(contract.classes)))


def _is_single(value: Any, contract: Contract, n_rows: int) -> bool:
    return contract.task == "binary" and np.shape(value) in ((n_rows,), (n_rows, 1))


def _flat(value: Any) -> npt.NDArray[Any]:
    flat: npt.NDArray[Any] = value.reshape(-1)
    return flat


def _from_columns(columns: list[int], contract: Contract) -> ToNumbers:
    """Picks the positive class's column, or puts the columns into contract order."""
    if contract.positive_index is not None:
        positive = columns[contract.positive_index]
        return lambda value: value[:, positive]
    if columns == sorted(columns):
        return lambda value: value
    return lambda value: value[:, columns]


def _from_maps(session: Session, contract: Contract, trial: list[dict[Any, float]]) -> ToNumbers:
    """Looks probabilities up by the model's own class keys."""
    keys = list(trial[0])
    columns = columns_of(keys, contract)
    if columns is None:
        raise _wrong(session, contract, f"its probabilities are by the classes {keys!r}")
    if contract.positive_index is not None:
        positive = keys[columns[contract.positive_index]]
        return lambda rows: np.array([row[positive] for row in rows], np.float32)
    ordered = [keys[column] for column in columns]
    return lambda rows: np.array([[row[key] for key in ordered] for row in rows], np.float32)


def _wrong(session: Session, contract: Contract, problem: str) -> RejectedRelease:
    found = ", ".join(f"{o.name}: {o.type}{o.shape}" for o in session.outputs[:8])
    expected = {
        "binary": f"floats [N, 2], [N, 1] or [N], or a ZipMap of {list(contract.classes)!r}",
        "multiclass": f"floats [N, {len(contract.classes)}] or a ZipMap of {list(contract.classes)!r}",
        "regression": "floats [N, 1] or [N]",
    }[contract.task]
    return RejectedRelease(
        Refusal.WRONG_OUTPUTS, f"{problem}; the model has {found}; a {contract.task} task expects {expected}"
    )
