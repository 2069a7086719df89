"""The rule for one value, said once and exactly: the batch decoder must agree with it on every record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app.errors import InvalidRecord, Reason

if TYPE_CHECKING:
    from app.features.contract import Feature

FLOAT32_OVERFLOW = 2.0**128 - 2.0**103
"""From here on a float64 rounds to infinity as a float32."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

Value = float | str | list[float]
"""A feature's value as decoded: int and bool are floats in the sense of typing."""


def feature_value(feature: Feature, raw: Any) -> Value:
    """The value of *feature* from the JSON value *raw* (not null); InvalidRecord says what is wrong with it.

    A number with an integral value is an int, however it is written: JSON knows no difference between 1 and 1.0.
    """
    if feature.dtype == "float":
        return _float(feature, raw, feature.name)
    if feature.dtype == "int":
        return _int(feature, raw)
    if feature.dtype == "string":
        return _string(feature, raw)
    if feature.dtype == "vector":
        return _vector(feature, raw)
    if type(raw) is not bool:
        raise wrong_type(feature.name, "true or false", raw)
    return raw


def shown(value: Any, *, max_chars: int = 60) -> str:
    """The Python text of *value*, cut to *max_chars*."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**max_chars else "an integer without end"
    return text if len(text) <= max_chars else f"{text[: max_chars - 3]}..."


def wrong_type(name: str, expected: str, raw: Any) -> InvalidRecord:
    """The fault of a field that is of another JSON type than the contract says."""
    return InvalidRecord(Reason.WRONG_TYPE, f"{name}: expected {expected}, got {shown(raw)}")


def is_text(value: str) -> bool:
    r"""Whether *value* can be written as UTF-8; a lone surrogate such as "\ud800" cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _float(feature: Feature, raw: Any, name: str) -> float:
    if type(raw) not in (int, float):
        raise wrong_type(name, "a number", raw)
    try:
        number = float(raw)
    except OverflowError:
        number = math.inf if raw > 0 else -math.inf
    _check_range(feature, number, name)
    if not abs(number) < FLOAT32_OVERFLOW:  # neither is NaN
        raise InvalidRecord(Reason.NOT_FINITE, f"{name}: {shown(raw)} is not finite as a 32-bit float")
    return number


def _int(feature: Feature, raw: Any) -> int:
    if type(raw) is float and math.isnan(raw):
        raise InvalidRecord(Reason.NOT_FINITE, f"{feature.name}: nan is no integer")
    if type(raw) is float and (raw.is_integer() or math.isinf(raw)):
        number = int(raw) if math.isfinite(raw) else int(math.copysign(2**64, raw))
    elif type(raw) is int:
        number = raw
    else:
        raise wrong_type(feature.name, "an integer", raw)
    if not INT64_MIN <= number <= INT64_MAX:
        raise InvalidRecord(Reason.OUT_OF_RANGE, f"{feature.name}: {shown(raw)} does not fit 64 bits")
    _check_range(feature, number, feature.name)
    _check_category(feature, number)
    return number


def _string(feature: Feature, raw: Any) -> str:
    if type(raw) is not str or not is_text(raw):
        raise wrong_type(feature.name, "a string", raw)
    _check_category(feature, raw)
    return raw


def _vector(feature: Feature, raw: Any) -> list[float]:
    if type(raw) is not list or len(raw) != feature.width:
        raise wrong_type(feature.name, f"a list of {feature.width} numbers", raw)
    return [_element(feature, position, element) for position, element in enumerate(raw)]


def _element(feature: Feature, position: int, raw: Any) -> float:
    """One element of a vector; null is missing, as it is for a whole feature."""
    if raw is not None:
        return _float(feature, raw, f"{feature.name}[{position}]")
    if feature.missing == "reject":
        raise InvalidRecord(Reason.MISSING_FEATURE, f"{feature.name}[{position}] is missing")
    return feature.default[position] if isinstance(feature.default, tuple) else math.nan


def _check_range(feature: Feature, number: float, name: str) -> None:
    if (feature.low is not None and number < feature.low) or (feature.high is not None and number > feature.high):
        low = "" if feature.low is None else f" from {feature.low}"
        high = "" if feature.high is None else f" to {feature.high}"
        raise InvalidRecord(Reason.OUT_OF_RANGE, f"{name}: {shown(number)} is not in the range{low}{high}")


def _check_category(feature: Feature, value: int | str) -> None:
    if feature.categories is not None and value not in feature.categories:
        raise InvalidRecord(
            Reason.OUT_OF_RANGE, f"{feature.name}: {shown(value)} is none of {len(feature.categories)} categories"
        )
