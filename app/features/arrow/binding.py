"""Which columns of a stream a contract reads: found by name and path once for each schema, and of a type that will do.

A record whose columns will not do is refused whole, with the reason that a row with such a value would have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from app.errors import InvalidRecord, Reason
from app.features.arrow.flat import Run, runs_of

if TYPE_CHECKING:
    from app.features.arrow.arrays import Array
    from app.features.arrow.rows import Places
    from app.features.arrow.schema import Column, Schema
    from app.features.arrow.stream import Batch
    from app.features.contract import Contract, Feature, FieldPath

Steps = tuple[int, ...]
"""A column of the stream, then which part of a struct, and so on; empty for a column that is not there."""

_NUMBERS = frozenset({"int", "float"})
_TAKEN: dict[str, frozenset[str]] = {
    "float": _NUMBERS,
    "int": _NUMBERS,
    "bool": frozenset({"bool"}),
    "string": frozenset({"text"}),
}
"""For each dtype of a feature the kinds of columns that have its values."""
_EXPECTED = {
    "float": "numbers",
    "int": "numbers",
    "bool": "booleans",
    "string": "texts",
    "vector": "lists of {} numbers",
}


class Binding(NamedTuple):
    """Where a contract's values stand in the batches of a schema; what the contract does not name is None."""

    id: Steps | None
    key: Steps | None
    time: Steps | None
    features: tuple[Steps, ...]
    runs: tuple[Run, ...]
    """Floats that may be taken together."""
    by_path: dict[FieldPath, tuple[Steps, bool]]
    """The same by path, with whether NaN is missing there."""


def bind(contract: Contract, places: Places, schema: Schema, *, has_key: bool) -> Binding:
    """Where *contract* finds its values; InvalidRecord with the first fault of the columns.

    has_key: whether the record has a key, which is then compared.
    """
    id_, key = (_text_column(schema, path) for path in (contract.id_path, contract.key_path if has_key else None))
    time = None if contract.event_time_path is None else _time_column(contract, schema, contract.event_time_path)
    features = tuple(_feature_column(schema, feature) for feature in contract.features)
    floats = [
        (position, steps[0], places.in_block[position].start, schema.columns[steps[0]].dtype, feature.low, feature.high)
        for position, (feature, steps) in enumerate(zip(contract.features, features, strict=True))
        if feature.dtype == "float" and len(steps) == 1 and schema.columns[steps[0]].kind == "float"
    ]
    own = ((contract.id_path, id_), (contract.key_path, key), (contract.event_time_path, time))
    by_path = {path: (steps, False) for path, steps in own if path is not None and steps is not None}
    by_path |= {f.path: (steps, f.missing == "nan") for f, steps in zip(contract.features, features, strict=True)}
    return Binding(id_, key, time, features, runs_of(floats), by_path)


def array_at(batch: Batch, steps: Steps) -> Array:
    """The array at *steps*; what lies in a struct that is null is null."""
    array = batch.columns[steps[0]]
    for step in steps[1:]:
        part, valid = array.children[step], array.valid
        if valid is not None:
            part = replace(part, valid=valid if part.valid is None else part.valid & valid)
        array = part
    return array


def kind_of(column: Column) -> str:
    """What its values are, whether they stand in a dictionary or not: `text` for all kinds of texts."""
    if column.kind == "dictionary" and column.values is not None:
        column = column.values
    return "text" if column.kind == "view" and column.is_text else column.kind


def _find(schema: Schema, path: FieldPath, reason: Reason) -> tuple[Steps, Column | None]:
    """The column at *path*; none where a name is not there. Of columns of one name the last counts, as in JSON."""
    steps: list[int] = []
    columns, found = schema.columns, None
    for depth, name in enumerate(path):
        if found is not None and found.kind == "null":
            return (), None
        if found is not None and found.kind != "struct":
            text = f"{'.'.join(path)}: the column {'.'.join(path[:depth])} has {found.shown}, no structs"
            raise InvalidRecord(reason, text)
        positions = [position for position, column in enumerate(columns) if column.name == name]
        if not positions:
            return (), None
        steps.append(positions[-1])
        found = columns[positions[-1]]
        columns = found.children
    return tuple(steps), found


def _text_column(schema: Schema, path: FieldPath | None) -> Steps | None:
    """The column of an id or a key."""
    if path is None:
        return None
    steps, column = _find(schema, path, Reason.BAD_ID)
    if column is None:
        raise InvalidRecord(Reason.BAD_ID, f"there is no column {'.'.join(path)}")
    if kind_of(column) not in ("text", "int"):
        text = f"the column {'.'.join(path)} has {column.shown}; expected texts or integers"
        raise InvalidRecord(Reason.BAD_ID, text)
    return steps


def _time_column(contract: Contract, schema: Schema, path: FieldPath) -> Steps:
    steps, column = _find(schema, path, Reason.BAD_TIME)
    if column is None:
        raise InvalidRecord(Reason.BAD_TIME, f"there is no column {'.'.join(path)}")
    is_text = contract.event_time_format == "iso8601"
    if kind_of(column) not in ("time", *(("text",) if is_text else ("int", "float"))):
        expected = f"timestamps or {'texts' if is_text else 'numbers'}"
        raise InvalidRecord(Reason.BAD_TIME, f"the column {'.'.join(path)} has {column.shown}; expected {expected}")
    return steps


def _feature_column(schema: Schema, feature: Feature) -> Steps:
    steps, column = _find(schema, feature.path, Reason.WRONG_TYPE)
    if column is None or column.kind == "null":
        if feature.missing == "reject":
            text = f"{feature.name}: there is no column {'.'.join(feature.path)}, or nothing but nulls in it"
            raise InvalidRecord(Reason.MISSING_FEATURE, text)
        return ()
    fits = (
        _has_vectors(column, feature.width) if feature.dtype == "vector" else kind_of(column) in _TAKEN[feature.dtype]
    )
    if not fits:
        expected = _EXPECTED[feature.dtype].format(feature.width)
        text = f"{feature.name}: the column {'.'.join(feature.path)} has {column.shown}; expected {expected}"
        raise InvalidRecord(Reason.WRONG_TYPE, text)
    return steps


def _has_vectors(column: Column, width: int) -> bool:
    if column.kind != "list" and (column.kind != "fixed_list" or column.size != width):
        return False
    return column.children[0].kind in ("int", "float", "null")
