"""How far beyond what was seen a value may lie: far enough for new data, too near for a wrong unit."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import NamedTuple

RULE = """A range is what was seen, widened on both sides by as much again (by ten times as much where a few values lie
far out), rounded to two digits, and not below 0 if nothing was. A value outside it is refused (out_of_range). It is
there to catch a wrong unit or a broken sensor: widen or delete it where that is not what you want."""
_FAR = 3.0
"""A tail is long if the extreme is so many times as far from the median as the 99th percentile is."""
_DIGITS = 400
"""Every float64 and every difference of two is exact in so many."""
_FLOAT32_MAX = 2.0**128 - 2.0**104


class Range(NamedTuple):
    """Inclusive bounds."""

    low: float
    high: float


def head_room(low: float, high: float, sampled: list[float]) -> Range:
    """The range for a feature that was seen from *low* to *high*; *sampled* are some of its values, to see long tails.

    >>> head_room(0, 72, []), head_room(-3.5, 4.25, []), head_room(1000.0, 1001.5, [])
    (Range(low=0.0, high=150.0), Range(low=-12.0, high=12.0), Range(low=998.5, high=1003.0))
    """
    if low == high:
        return Range(low, high)
    tail_low, tail_high = _has_long_tails(low, high, sampled)
    with localcontext(prec=_DIGITS):
        span = Decimal(high) - Decimal(low)
        bottom = Decimal(low) - span * (10 if tail_low else 1)
        top = Decimal(high) + span * (10 if tail_high else 1)
        step = Decimal(10) ** ((top - bottom).adjusted() - 1)
        # Rounding a decimal to a float keeps the order, so what was seen stays inside.
        below = float((bottom / step).to_integral_value("ROUND_FLOOR") * step)
        above = float((top / step).to_integral_value("ROUND_CEILING") * step)
    return Range(max(0.0 if low >= 0 else -_FLOAT32_MAX, below), min(_FLOAT32_MAX, above))


def _has_long_tails(low: float, high: float, sampled: list[float]) -> tuple[bool, bool]:
    values = sorted(value for value in sampled if not math.isnan(value))
    if not values:
        return False, False
    last = len(values) - 1
    middle, hundredth, ninety_ninth = (values[round(last * share)] for share in (0.5, 0.01, 0.99))
    return middle - low > _FAR * (middle - hundredth), high - middle > _FAR * (ninety_ninth - middle)
