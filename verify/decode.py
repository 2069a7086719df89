"""What the contract makes of a record: an event or a label, or the first of its faults."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from verify.contract import Contract, Feature, parse_json, same
from verify.read import Record

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
ID_MAX_CHARS = 65_535
KEY_MAX_BYTES = 512 * 1024
DEPTH_MAX = 128
"""JSON that is nested deeper is refused, whatever a parser may follow."""
FLOAT32_OVERFLOW = 2.0**128 - 2.0**103
"""From here on a number becomes infinite as a 32-bit float."""
LATEST_S = 253_402_300_800.0
"""The year 10000: an event time beyond it, or before 1970, is a mistake of units."""
UNIT_OF_FORMAT = {"s": 1.0, "ms": 1e3, "us": 1e6}


class Fault(Exception):
    """The record can never be used: *reason* is the one that its dead letter must give."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Event(NamedTuple):
    """What the contract makes of a good feature record."""

    id: str
    event_at_s: float
    values: tuple[Any, ...]
    """One per feature: a number, boolean, string or list of numbers."""


class Ticks(NamedTuple):
    """A time as a column of timestamps has it."""

    number: int
    per_s: int


Lookup = Callable[[tuple[str, ...], str], Any]
"""From a path and the reason of a way that leads nowhere to the raw value there."""


class Label(NamedTuple):
    """A good label."""

    offset: int
    id: str
    label: Any
    at_s: float
    timestamp_ms: int = 0
    """Of its record."""
    size: int = 0
    """Bytes of its record."""


def _document(contract: Contract, value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise Fault("null_value", "the record has no value")
    if len(value) > contract.max_record_bytes:
        raise Fault("oversized", f"{len(value)} bytes")
    if _depth(value) > DEPTH_MAX:
        raise Fault("not_json", f"nested deeper than {DEPTH_MAX}")
    try:
        document = parse_json(value)
    except ValueError as error:
        raise Fault("not_json", str(error)) from error
    if not isinstance(document, dict):
        raise Fault("not_object", type(document).__name__)
    return document


def _depth(value: bytes) -> int:
    """How deep the brackets of a JSON text are nested, those in strings apart."""
    if value.count(b"[") + value.count(b"{") <= DEPTH_MAX:
        return 0  # not worth a walk
    depth = deepest = 0
    for token in re.findall(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', value, re.DOTALL):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token, 0)
        deepest = max(deepest, depth)
    return deepest


def _at(document: Any, path: tuple[str, ...], reason: str = "wrong_type") -> Any:
    """The value at *path*, None if it is absent or null; Fault(*reason*) if a step on the way is no object."""
    for step in path:
        if document is None:
            return None
        if not isinstance(document, dict):
            raise Fault(reason, f"{'.'.join(path)} leads through what is no object")
        document = document.get(step)
    return document


def decode_event(contract: Contract, record: Record) -> Event:
    """What the contract makes of a feature record that is JSON; Fault with the first of its faults."""
    check_key(record)
    document = _document(contract, record.value)
    default_id = f"{record.topic}-{record.partition}-{record.offset}"
    return judge_event(contract, record, lambda path, reason: _at(document, path, reason), default_id)


def check_key(record: Record) -> None:
    """Fault if the record's key is too long for whatever follows from it."""
    if record.key is not None and len(record.key) > KEY_MAX_BYTES:
        raise Fault("oversized", f"a key of {len(record.key)} bytes")


def judge_event(contract: Contract, record: Record, at: Lookup, default_id: str) -> Event:
    """The event whose raw values *at* gives for a path, or raises Fault with the given reason."""
    event_id = default_id if contract.id_path is None else _text(at(contract.id_path, "bad_id"))
    if contract.key_path is not None and record.key is not None:
        key = _text(at(contract.key_path, "bad_id"))
        if key.encode() != record.key:
            raise Fault("bad_id", f"the record's key is not {key!r}")
    event_at_s = record.timestamp_ms / 1000
    if contract.time_path is not None:
        event_at_s = _time(at(contract.time_path, "bad_time"), contract.time_format)
    values = tuple(_value(feature, at(feature.path, "wrong_type")) for feature in contract.features)
    return Event(event_id, event_at_s, values)


def _text(raw: Any) -> str:
    """An id or a key: a string, or an integer as text."""
    if type(raw) is int:
        return str(raw)
    if type(raw) is str and len(raw) > ID_MAX_CHARS:
        raise Fault("bad_id", f"{len(raw)} characters")
    if type(raw) is not str or not raw or not _is_utf8(raw):
        raise Fault("bad_id", f"{raw!r} is neither a string nor an integer")
    return raw


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _time(raw: Any, time_format: str | None) -> float:
    try:
        if isinstance(raw, Ticks):
            time_s = raw.number / raw.per_s
        elif time_format == "iso8601":
            moment = datetime.fromisoformat(raw)
            time_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        elif type(raw) in (int, float):
            time_s = float(raw) / UNIT_OF_FORMAT[str(time_format)]
        else:
            time_s = math.nan
    except (ValueError, TypeError, OverflowError) as error:
        raise Fault("bad_time", f"{raw!r}: {error}") from error
    if not 0 <= time_s < LATEST_S:
        raise Fault("bad_time", f"{raw!r} is no time")
    return time_s


def _value(feature: Feature, raw: Any) -> Any:
    if feature.missing == "nan":
        raw = _without_nan(raw)
    if raw is None:
        return _when_missing(feature)
    if feature.dtype == "float":
        return _float(feature, raw)
    if feature.dtype == "int":
        return _int(feature, raw)
    if feature.dtype == "vector":
        return _vector(feature, raw)
    if feature.dtype == "bool":
        if type(raw) is not bool:
            raise Fault("wrong_type", f"{feature.name}: {raw!r} is no boolean")
        return raw
    if type(raw) is not str or not _is_utf8(raw):
        raise Fault("wrong_type", f"{feature.name}: {raw!r} is no string")
    return _known(feature, raw)


def _without_nan(raw: Any) -> Any:
    """NaN, which only columns of numbers have, is missing where a missing value is NaN."""
    if type(raw) is list:
        return [_without_nan(element) for element in raw]
    return None if type(raw) is float and math.isnan(raw) else raw


def _when_missing(feature: Feature) -> Any:
    if feature.missing == "reject":
        raise Fault("missing_feature", feature.name)
    if feature.missing == "default":
        return feature.default
    return math.nan if feature.dtype == "float" else [math.nan] * feature.width


def _float(feature: Feature, raw: Any) -> float:
    if type(raw) not in (int, float):
        raise Fault("wrong_type", f"{feature.name}: {raw!r} is no number")
    try:
        number = float(raw)
    except OverflowError:
        number = math.copysign(math.inf, raw)
    _in_range(feature, number)
    if not -FLOAT32_OVERFLOW < number < FLOAT32_OVERFLOW:
        raise Fault("not_finite", f"{feature.name}: {number!r} as a 32-bit float")
    return number


def _int(feature: Feature, raw: Any) -> int:
    if type(raw) is float and not math.isfinite(raw):
        raise Fault("not_finite" if math.isnan(raw) else "out_of_range", f"{feature.name}: {raw!r}")
    if type(raw) is not int and not (type(raw) is float and raw.is_integer()):
        raise Fault("wrong_type", f"{feature.name}: {raw!r} is no integer")
    if not INT64_MIN <= raw <= INT64_MAX:
        raise Fault("out_of_range", f"{feature.name}: does not fit 64 bits")
    _in_range(feature, int(raw))
    return int(_known(feature, int(raw)))


def _vector(feature: Feature, raw: Any) -> list[float]:
    if type(raw) is not list or len(raw) != feature.width:
        raise Fault("wrong_type", f"{feature.name}: no list of {feature.width} numbers")
    missing = _when_missing(feature) if None in raw else []
    return [missing[number] if element is None else _float(feature, element) for number, element in enumerate(raw)]


def _in_range(feature: Feature, number: float) -> None:
    if (feature.low is not None and number < feature.low) or (feature.high is not None and number > feature.high):
        raise Fault("out_of_range", f"{feature.name}: {number!r}")


def _known(feature: Feature, value: Any) -> Any:
    if feature.categories is not None and value not in feature.categories:
        raise Fault("out_of_range", f"{feature.name}: {value!r} is no category")
    return value


def decode_label(contract: Contract, record: Record) -> Label:
    """A good label; Fault if it must be a dead letter. Faults stand in the order id, time, label."""
    document = _document(contract, record.value)
    label_id = _text(document.get("id"))
    at_s = record.timestamp_ms / 1000 if document.get("at") is None else _time(document["at"], "s")
    if not 0 <= at_s < LATEST_S:
        raise Fault("bad_time", f"no at, and the record's timestamp is {record.timestamp_ms}")
    label: Any = document.get("label")
    if contract.task == "regression":
        label = _finite(label)
    elif not any(same(label, known) for known in contract.classes):
        raise Fault("bad_label", f"label {label!r} is no class")
    return Label(record.offset, label_id, label, at_s, record.timestamp_ms, record.size)


def _finite(label: Any) -> float:
    try:
        number = float(label) if type(label) in (int, float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Fault("bad_label", f"label {label!r} is no finite number")
    return number
