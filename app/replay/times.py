"""Times of events as the contract writes them, and of labels, so that a worker reads exactly what was meant."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from app.features.exact import TIME_UNITS_PER_S


def written_time(at_s: float, time_format: str) -> Any:
    """*at_s*, in epoch seconds, as the JSON value of an event time field.

    >>> written_time(1.5, "s"), written_time(1.5, "ms"), written_time(1.5, "us"), written_time(0.25, "iso8601")
    (1.5, 1500, 1500000, '1970-01-01T00:00:00.250000Z')
    """
    if time_format == "iso8601":
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    # Microseconds are what all formats can say.
    return round(at_s, 6) if time_format == "s" else round(at_s * TIME_UNITS_PER_S[time_format])


def label_at(event_at_s: float, delay_s: float) -> float:
    """The time of a label that comes *delay_s* after its event, never a rounding error more than that.

    A label is in time if its time less that of its event is at most the horizon; with a delay of just the horizon the
    last bit would decide.

    >>> label_at(1700000000.1, 0.3) - 1700000000.1 <= 0.3
    True
    """
    at_s = event_at_s + delay_s
    return at_s if at_s - event_at_s <= delay_s else math.nextafter(at_s, -math.inf)
