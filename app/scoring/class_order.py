"""Which column of a probability tensor belongs to which class.

A tensor does not say it, and a wrong order would go unnoticed: so it is looked up, in this order, in
(1) the model's metadata `classes`, a JSON list; (2) the class labels that converters leave in the graph
(`classlabels_*` attributes, initialisers named `classes`); (3) else columns are in the contract's order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.errors import Refusal, RejectedRelease
from app.features.classes import identity_of
from app.scoring.onnx_labels import class_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.features import Contract


def class_columns(model: bytes, metadata: dict[str, str], contract: Contract) -> list[int]:
    """For each class in contract order the column of its probability; RejectedRelease(WRONG_OUTPUTS) in doubt."""
    if "classes" in metadata:
        return _from_metadata(metadata["classes"], contract)
    orders = {tuple(order) for labels in class_labels(model) if (order := columns_of(labels, contract)) is not None}
    if len(orders) > 1:
        raise RejectedRelease(
            Refusal.WRONG_OUTPUTS,
            f"the model names its classes in {len(orders)} different orders; set its metadata classes, "
            f"for example to {json.dumps(list(contract.classes))}, the order of its probability columns",
        )
    return list(orders.pop()) if orders else list(range(len(contract.classes)))


def columns_of(labels: Sequence[Any], contract: Contract) -> list[int] | None:
    """For each class of the contract where it stands in *labels*; None unless they are the same classes.

    Converters write booleans as 0 and 1, so for boolean classes these are meant.
    """
    if all(isinstance(value, bool) for value in contract.classes):
        labels = [bool(label) if type(label) is int and label in (0, 1) else label for label in labels]
    positions = {identity_of(label): position for position, label in enumerate(labels)}
    wanted = [identity_of(value) for value in contract.classes]
    if len(labels) != len(wanted) or set(positions) != set(wanted):
        return None
    return [positions[identity] for identity in wanted]


def _from_metadata(text: str, contract: Contract) -> list[int]:
    try:
        labels = json.loads(text)
    except ValueError:
        labels = None
    columns = columns_of(labels, contract) if isinstance(labels, list) else None
    if columns is None:
        raise RejectedRelease(
            Refusal.WRONG_OUTPUTS,
            f"the model's metadata has classes = {text[:200]}; the contract has {json.dumps(list(contract.classes))}",
        )
    return columns
