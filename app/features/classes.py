"""When two classes are the same: 1 equals 1.0, nothing else is coerced, and a boolean is never a number."""

from __future__ import annotations

from typing import Any

import msgspec

from app.records import ClassValue


def identity_of(value: Any) -> tuple[str, Any] | None:
    """What a class is compared by, or None for what can be no class (null, lists, objects, NaN).

    >>> identity_of(1) == identity_of(1.0), identity_of(1) == identity_of(True), identity_of(1) == identity_of("1")
    (True, False, False)
    """
    kind = type(value)
    if kind is str:
        return "string", value
    if kind is bool:
        return "boolean", value
    if kind is int or (kind is float and value == value):  # noqa: PLR0124 - NaN alone differs from itself
        return "number", value
    return None


def class_key(value: ClassValue) -> str:
    """The text that stands for a class where JSON wants a string, as in a confusion matrix.

    >>> [class_key(c) for c in ("good", True, 1, 1.0, 0.5)]
    ['good', 'true', '1', '1', '0.5']
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value).decode()
