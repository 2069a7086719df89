"""One record, judged field by field in the order in which faults stand: slow, exact, and the meaning of the contract.

`BatchDecoder` asks here for every record that its fast path does not take, so a dead letter's reason is always this
module's, and so is the value of a record that is unusual but good.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from app.errors import InvalidRecord, Reason
from app.features.values import feature_value, is_text, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.features.contract import Contract, FieldPath
    from app.records import Record

    Lookup = Callable[[FieldPath], Any]
    """From a path to the raw value there, None where there is none; InvalidRecord(WRONG_TYPE) as `field` has it."""

TIME_UNITS_PER_S = {"s": 1.0, "ms": 1e3, "us": 1e6}
LATEST_S = 253_402_300_800.0
"""The year 10000: milliseconds taken for seconds are beyond it."""
DEPTH_MAX = 128
FEW = 8
"""Brackets that records with vectors and nested objects open: so many are looked for one by one."""
STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
BRACKETS = re.compile(rb"[\[\]{}]")
ID_MAX_CHARS = 65_535
KEY_MAX_BYTES = 512 << 10
"""With longer ids and keys a prediction might not fit what a topic takes, and nobody could get past such a record."""
DIGITS_MAX = 400
"""A JSON integer of more digits is beyond every number there is here."""


class DecodedRecord(NamedTuple):
    """A good record: its join key, its time, and a value per feature in contract order (None where missing)."""

    id: str
    event_at_s: float
    values: tuple[Any, ...]


def decode_record(contract: Contract, record: Record, *, max_record_bytes: int) -> DecodedRecord:
    """*record* by *contract*; InvalidRecord with the first of its faults."""
    check_key_size(record)
    event = parse_object(record.value, max_record_bytes=max_record_bytes)
    default_id = f"{record.topic}-{record.partition}-{record.offset}"
    return judge_event(contract, partial(field, event), record, default_id=default_id)


def check_key_size(record: Record) -> None:
    """InvalidRecord(OVERSIZED) if the key of *record* is too long."""
    if record.key is not None and len(record.key) > KEY_MAX_BYTES:
        raise InvalidRecord(Reason.OVERSIZED, f"a key of {len(record.key)} bytes is more than {KEY_MAX_BYTES}")


def parse_object(value: bytes | None, *, max_record_bytes: int) -> dict[str, Any]:
    """The JSON object in a record's *value*; InvalidRecord if there is none."""
    if value is None:
        raise InvalidRecord(Reason.NULL_VALUE, "the record has no value")
    if len(value) > max_record_bytes:
        raise InvalidRecord(Reason.OVERSIZED, f"{len(value)} bytes are more than {max_record_bytes}")
    if is_too_deep(value):
        raise InvalidRecord(Reason.NOT_JSON, f"nested deeper than {DEPTH_MAX}")
    try:
        parsed = json.loads(value.decode(), parse_constant=_no_constant, parse_int=_parse_int)
    except ValueError as error:
        raise InvalidRecord(Reason.NOT_JSON, f"not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidRecord(Reason.NOT_OBJECT, f"expected a JSON object, got {shown(parsed)}")
    return parsed


def is_too_deep(value: bytes) -> bool:
    """Whether the JSON *value* is nested deeper than DEPTH_MAX, however deep a parser might follow it.

    What a parser's own recursion allows depends on the Python and on who calls it; workers must judge alike.
    """
    if _opens_few(value):
        return False
    if value.count(b"[") + value.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for bracket in BRACKETS.finditer(STRINGS.sub(b"", value)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > DEPTH_MAX:
            return True
    return False


def _opens_few(value: bytes) -> bool:
    """Whether *value* has at most FEW brackets that open; to find the next is many times cheaper than to count all."""
    opened = 0
    for bracket in (b"{", b"["):
        at = value.find(bracket)
        while at >= 0:
            opened += 1
            if opened > FEW:
                return False
            at = value.find(bracket, at + 1)
    return True


def field(event: dict[str, Any], path: FieldPath) -> Any:
    """The JSON value at *path*, None where there is none; InvalidRecord(WRONG_TYPE) if its way leads over no object."""
    found: Any = event
    for depth, step in enumerate(path):
        if found is None:
            return None
        if type(found) is not dict:
            raise InvalidRecord(
                Reason.WRONG_TYPE, f"{_where(path)}: {_where(path[:depth])} is no object but {shown(found)}"
            )
        found = found.get(step)
    return found


def parse_time_s(raw: Any, time_format: str) -> float | None:
    """Epoch seconds of the JSON value *raw*, or None if it is no time between 1970 and 9999.

    An ISO 8601 text without an offset is taken as UTC.

    >>> parse_time_s("1970-01-01T00:01:00Z", "iso8601"), parse_time_s(60000, "ms"), parse_time_s("60", "s")
    (60.0, 60.0, None)
    """
    try:
        if time_format != "iso8601":
            time_s = float(raw) / TIME_UNITS_PER_S[time_format] if type(raw) in (int, float) else math.nan
        elif type(raw) is str:
            moment = datetime.fromisoformat(raw)
            time_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return time_s if 0 <= time_s < LATEST_S else None


def judge_event(
    contract: Contract,
    at: Lookup,
    record: Record,
    *,
    default_id: str,
    parse_time: Callable[[Any, str], float | None] = parse_time_s,
) -> DecodedRecord:
    """An event of *record* by *contract*; InvalidRecord with the first of its faults.

    at: from a path to the raw value there; default_id: the event's id if the contract names no field for that;
    parse_time: what makes epoch seconds of its time.
    """
    id_ = default_id if contract.id_path is None else _text(at, contract.id_path)
    _check_key(contract, at, record)
    event_at_s = _event_time(contract, at, record, parse_time)
    values: list[Any] = []
    for feature in contract.features:
        raw = at(feature.path)
        if raw is not None:
            values.append(feature_value(feature, raw))
        elif feature.missing == "reject":
            raise InvalidRecord(Reason.MISSING_FEATURE, f"{feature.name}: {_where(feature.path)} is missing")
        else:
            values.append(None)
    return DecodedRecord(id_, event_at_s, tuple(values))


def _text(at: Lookup, path: FieldPath) -> str:
    """The non-empty string or the integer at *path*, as text."""
    try:
        raw = at(path)
    except InvalidRecord as error:
        raise InvalidRecord(Reason.BAD_ID, str(error)) from None
    if type(raw) is int:
        return str(raw)
    if type(raw) is str and len(raw) > ID_MAX_CHARS:
        raise InvalidRecord(Reason.BAD_ID, f"{_where(path)} has {len(raw)} characters, more than {ID_MAX_CHARS}")
    if type(raw) is str and raw and is_text(raw):
        return raw
    problem = "is missing" if raw is None else f"is {shown(raw)}"
    raise InvalidRecord(Reason.BAD_ID, f"{_where(path)} {problem}; expected a non-empty string or an integer")


def _check_key(contract: Contract, at: Lookup, record: Record) -> None:
    """A record without a key is let pass: it can be scored, and only its labels cannot find it."""
    if contract.key_path is None or record.key is None:
        return
    text = _text(at, contract.key_path)
    if text.encode() != record.key:
        raise InvalidRecord(
            Reason.BAD_ID,
            f"the record's key is {shown(record.key)}, its field {_where(contract.key_path)} {shown(text)}",
        )


def _event_time(
    contract: Contract, at: Lookup, record: Record, parse_time: Callable[[Any, str], float | None]
) -> float:
    if contract.event_time_path is None or contract.event_time_format is None:
        return record.timestamp / 1000
    try:
        raw = at(contract.event_time_path)
    except InvalidRecord as error:
        raise InvalidRecord(Reason.BAD_TIME, str(error)) from None
    time_s = parse_time(raw, contract.event_time_format)
    if time_s is None:
        problem = "is missing" if raw is None else f"is {shown(raw)}"
        raise InvalidRecord(
            Reason.BAD_TIME,
            f"{_where(contract.event_time_path)} {problem}; "
            f"expected a time from 1970 to 9999 as {contract.event_time_format}",
        )
    return time_s


def _where(path: FieldPath) -> str:
    return ".".join(path)


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _parse_int(digits: str) -> float:
    if len(digits) <= DIGITS_MAX:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf
