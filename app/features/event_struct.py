"""A contract as a msgspec struct: types, ranges, categories and lengths are checked in C while the JSON is read.

The struct refuses what is not plainly good, so that what it takes needs no further look, but for one thing: a vector
without a range may have elements that are too large for a float32, which a whole batch is asked for (`Rows.infinite`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from operator import attrgetter
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.features.exact import ID_MAX_CHARS, LATEST_S, TIME_UNITS_PER_S, parse_time_s
from app.features.values import FLOAT32_OVERFLOW, INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.features.contract import Contract, Feature, FieldPath

FLOAT32_REACH = math.nextafter(FLOAT32_OVERFLOW, 0.0)
"""The greatest float64 that is finite as a float32."""
Leaves = dict["FieldPath", tuple[Any, Any]]
"""Type and default of the field at a path."""
ID_TYPE: Any = (
    Annotated[str, Meta(min_length=1, max_length=ID_MAX_CHARS)] | Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)]
)


@dataclass(frozen=True, slots=True)
class EventStruct:
    """The fast reading of a record; what belongs to an optional field of the contract is None if that is absent."""

    decode: Callable[[bytes], Any]
    """From JSON bytes to a struct, or one of REFUSALS."""
    values: Callable[[Any], tuple[Any, ...]]
    """From the struct to a value per feature, None where missing; what follows after them has another use."""
    id_of: Callable[[Any], str | int] | None
    key_of: Callable[[Any], str | int | None] | None
    time_s_of: Callable[[Any], float | None] | None
    """Epoch seconds, None for a text that is no time."""


ESCAPED = re.compile(r'["\\\x00-\x1f]')
"""What msgspec does not take in the name of a field."""
REFUSALS = (msgspec.MsgspecError, ValueError)


def event_struct(contract: Contract, features: Sequence[Feature]) -> EventStruct | None:
    """The struct of *contract*; None if there is none that checks it.

    So it is where a field is both a feature and something else, and where JSON has to escape a field's name.
    features: those of the contract, in the order in which their values are wanted.
    """
    paths = [feature.path for feature in features]
    leaves: dict[FieldPath, tuple[Any, Any]] = {f.path: (_feature_type(f), _feature_default(f)) for f in features}
    id_path, key_path, time_path = contract.id_path, contract.key_path, contract.event_time_path
    others = {path for path in (id_path, key_path, time_path) if path is not None}
    if others & set(paths) or (time_path is not None and time_path in (id_path, key_path)):
        return None
    if any(ESCAPED.search(key) for path in (*paths, *others) for key in path):
        return None
    if key_path is not None:
        leaves[key_path] = (ID_TYPE | None, None)
    if id_path is not None:
        leaves[id_path] = (ID_TYPE, msgspec.NODEFAULT)
    if time_path is not None:
        leaves[time_path] = (_time_type(contract), msgspec.NODEFAULT)
    attributes: dict[FieldPath, str] = {}
    struct = _struct(leaves, (), "", attributes)
    return EventStruct(
        decode=msgspec.json.Decoder(struct).decode,
        values=_values_getter([attributes[path] for path in paths]),
        id_of=attrgetter(attributes[id_path]) if id_path else None,
        key_of=attrgetter(attributes[key_path]) if key_path else None,
        time_s_of=_time_getter(contract, attributes[time_path]) if time_path else None,
    )


def _values_getter(attributes: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What reads the first fields of a struct, *attributes*, of which some may be nested."""
    if not any("." in attribute for attribute in attributes):
        return msgspec.structs.astuple  # many times faster, since it looks up no names
    getter = attrgetter(*attributes)
    return getter if len(attributes) > 1 else lambda event: (getter(event),)


def _struct(leaves: Leaves, outer: FieldPath, prefix: str, attributes: dict[FieldPath, str]) -> Any:
    """The struct of the fields below *outer*; notes in *attributes* the dotted attribute of each leaf."""
    fields: list[Any] = []
    keys: dict[str, str] = {}
    for key in dict.fromkeys(path[len(outer)] for path in leaves if path[: len(outer)] == outer):
        name = f"f{len(fields)}"
        keys[name] = key
        path = (*outer, key)
        if path in leaves:
            type_, default = leaves[path]
            attributes[path] = prefix + name
        else:
            # An absent or null object goes to the exact path, which knows whether its fields may be missing.
            type_, default = _struct(leaves, path, f"{prefix}{name}.", attributes), msgspec.NODEFAULT
        fields.append((name, type_, msgspec.field(default=default)))
    return msgspec.defstruct("Event", fields, rename=keys, kw_only=True, gc=False)


def _feature_type(feature: Feature) -> Any:
    type_: Any
    if feature.dtype == "float":
        type_ = _number_type(feature)
    elif feature.dtype == "vector":
        is_ranged = feature.low is not None or feature.high is not None
        # A tuple of known length is made at once, while a list grows.
        type_ = GenericAlias(tuple, (_number_type(feature) if is_ranged else float,) * feature.width)
    elif feature.categories is not None:
        type_ = Literal[feature.categories]
    elif feature.dtype == "int":
        low = INT64_MIN if feature.low is None else feature.low
        high = INT64_MAX if feature.high is None else feature.high
        type_ = Annotated[int, Meta(ge=low, le=high)]
    else:
        type_ = {"bool": bool, "string": str}[feature.dtype]
    return type_ if feature.missing == "reject" else type_ | None


def _number_type(feature: Feature) -> Any:
    """A float in range that is finite as a float32."""
    low = -FLOAT32_REACH if feature.low is None else max(feature.low, -FLOAT32_REACH)
    high = FLOAT32_REACH if feature.high is None else min(feature.high, FLOAT32_REACH)
    return Annotated[float, Meta(ge=low, le=high)]


def _feature_default(feature: Feature) -> Any:
    return msgspec.NODEFAULT if feature.missing == "reject" else None


def _time_type(contract: Contract) -> Any:
    if contract.event_time_format == "iso8601":
        return str
    units_per_s = TIME_UNITS_PER_S[str(contract.event_time_format)]
    # A hair below the bound: rounding at the bound itself is left to the exact path.
    return Annotated[float, Meta(ge=0, le=LATEST_S * units_per_s * (1 - 1e-9))]


def _time_getter(contract: Contract, attribute: str) -> Callable[[Any], float | None]:
    raw_of = attrgetter(attribute)
    if contract.event_time_format == "iso8601":
        return lambda event: parse_time_s(raw_of(event), "iso8601")
    units_per_s = TIME_UNITS_PER_S[str(contract.event_time_format)]
    if units_per_s == 1.0:
        return raw_of
    return lambda event: raw_of(event) / units_per_s
