"""From rows to events: what the JSON record of a row would be, and what its label, by the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.features.classes import class_key
from app.tables.cells import BOOLS, cell_value, numbers_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.features.contract import Contract, FieldPath
    from app.tables.batch import TableBatch


def events_of(contract: Contract, batch: TableBatch, *, is_text: bool) -> list[dict[str, Any]]:
    """The event of each row of *batch*: the fields that *contract* names, as JSON values; what is missing is absent.

    is_text: whether the batch is of texts; they become what the features' dtypes say. Times in `iso8601`, ids and keys
    stay the texts that they are, other times become numbers.
    """
    events: list[dict[str, Any]] = [{} for _ in range(batch.n_rows)]
    for path, dtype in _fields(contract).items():
        held = batch.columns.get(path)
        if held is None:
            continue
        values = _from_texts(dtype, held) if is_text else held
        for event, value in zip(events, values, strict=True):
            if value is not None:
                inner = event
                for step in path[:-1]:
                    inner = inner.setdefault(step, {})
                inner[path[-1]] = value
    return events


def labels_of(contract: Contract, batch: TableBatch, *, is_text: bool) -> list[Any]:
    """The label of each row of *batch* as a Label record has it, None where it is missing.

    A text becomes the class of the contract that is written so (a number as a number: `1.0` is the class 1), or the
    number of a regression; else it stays the text that it is.
    """
    values = () if contract.label_path is None else batch.columns.get(contract.label_path, ())
    if not values:
        return [None] * batch.n_rows
    if not is_text:
        return list(values)
    kinds = {type(value) for value in contract.classes}
    if str in kinds:
        return [cell or None for cell in values]
    if bool in kinds:
        return [None if not cell.strip() else BOOLS.get(cell.strip().lower(), cell) for cell in values]
    written = {class_key(value): value for value in contract.classes}
    numbers = _from_texts("float", values)
    return [number if isinstance(number, str) else _class_of(written, number) for number in numbers]


def _class_of(written: dict[str, Any], number: float | None) -> Any:
    return None if number is None else written.get(class_key(number), number)


def _fields(contract: Contract) -> dict[FieldPath, str]:
    """The fields of an event and what they are."""
    fields: dict[FieldPath, str] = {feature.path: feature.dtype for feature in contract.features}
    for path in (contract.id_path, contract.key_path):
        if path is not None:
            fields.setdefault(path, "string")
    if contract.event_time_path is not None:
        fields.setdefault(contract.event_time_path, "string" if contract.event_time_format == "iso8601" else "float")
    return fields


def _from_texts(dtype: str, cells: Sequence[str]) -> Iterable[Any]:
    if dtype == "float" and (found := numbers_in(cells)) and len(found[0]) == len(cells):
        return found[0]
    if dtype == "int" and (found := numbers_in(cells)) and found[1] and len(found[0]) == len(cells):
        return map(int, cells)  # not by way of a float: above 2**53 that is another number
    return [cell_value(dtype, cell) for cell in cells]
