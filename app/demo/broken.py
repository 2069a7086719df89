"""Feature records with one deliberate fault each, so that dead letters are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

Event = dict[str, Any]


def _without(event: Event, field: str) -> Event:
    return {name: value for name, value in event.items() if name != field}


_BREAK: dict[Reason, Callable[[Event], bytes | None]] = {
    Reason.NOT_JSON: lambda event: msgspec.json.encode(event)[:-20],
    Reason.MISSING_FEATURE: lambda event: msgspec.json.encode(_without(event, "https")),
    Reason.WRONG_TYPE: lambda event: msgspec.json.encode(event | {"https": "yes"}),
    Reason.OUT_OF_RANGE: lambda event: msgspec.json.encode(event | {"popup_window": 17}),
    Reason.BAD_ID: lambda event: msgspec.json.encode(_without(event, "id")),
    Reason.BAD_TIME: lambda event: msgspec.json.encode(event | {"at": "yesterday"}),
    Reason.NOT_OBJECT: lambda event: msgspec.json.encode(list(event.values())),
    Reason.NULL_VALUE: lambda _event: None,
}
FAULTS = tuple(_BREAK)
"""The reasons a broken record of the demo is rejected for, in the order in which they come round."""


def broken_value(event: Event, fault: Reason) -> bytes | None:
    """The value of a record like *event* that the contract must reject for *fault*.

    >>> broken_value({"id": "a", "at": 1.0, "https": 1.0}, Reason.WRONG_TYPE)
    b'{"id":"a","at":1.0,"https":"yes"}'
    """
    return _BREAK[fault](event)
