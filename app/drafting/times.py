"""In which form a column has the time of an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.drafting.choices import dotted
from app.errors import ConfigurationError
from app.features.exact import TIME_UNITS_PER_S
from app.features.values import shown
from app.tables.cells import Kind

if TYPE_CHECKING:
    from app.drafting.column_tally import ColumnTally

_EARLIEST_S, _LATEST_S = 1e8, 1e11
"""1973 and 5138: between them seconds, milliseconds and microseconds cannot be taken for each other."""


def time_format(tally: ColumnTally, where: str) -> tuple[str, str]:
    """The `event_time_format` of a column, and from when to when its times are; ConfigurationError if they are none."""
    found, name = tally.found, dotted(tally.path)
    if found == {Kind.ISO_TIME}:
        return "iso8601", f"{_day(tally.low)} to {_day(tally.high)}"
    if found and found <= {Kind.INT, Kind.FLOAT}:
        for unit, per_s in TIME_UNITS_PER_S.items():
            if tally.low / per_s >= _EARLIEST_S and tally.high / per_s < _LATEST_S:
                return unit, f"{_day(tally.low / per_s)} to {_day(tally.high / per_s)}, if these are {unit}"
        raise ConfigurationError(
            f"--time {name}: numbers from {tally.low:g} to {tally.high:g} in {where} are neither seconds, milliseconds "
            "nor microseconds since 1970, all after 1973; write them as such, or in ISO 8601"
        )
    wrong = next((kind for kind in Kind if kind in found - {Kind.ISO_TIME} and kind in tally.examples), None)
    if wrong is None:
        raise ConfigurationError(f"--time {name}: has no values in {where}; is another column meant?")
    row, value = tally.examples[wrong]
    raise ConfigurationError(
        f"--time {name}: {shown(value)} in row {row:,} of {where} is no time from 1970 on; write it in ISO 8601, for "
        "example 2026-03-01T12:00:00Z, or as seconds since 1970"
    )


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
