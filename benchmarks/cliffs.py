"""Whether a curve has a cliff: a place where the next unit suddenly costs much more than the ones before it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

JUMP = 2.0
"""So many times what a unit cost before, the next may cost."""
NOISE = 0.1
"""By so much a cost that was measured may be wrong, either way."""
FLAT = 1.5
"""Times the first cost: so much may be reached where units are no work of their own."""


def cliffs(sizes: Sequence[float], costs: Sequence[float], *, grows: bool) -> list[str]:
    """In words, where the cost rises more than it may; empty for a curve without a cliff.

    Where each unit is work of its own (*grows*): the price of a unit is what the cost rises by between two neighbours,
    per unit. It jumps if, whichever way the costs are wrong by `NOISE`, it is more than `JUMP` times the price between
    the two neighbours before. Before the first point a unit has its even share: cost / size.

    >>> cliffs([10, 100, 1000], [5.0, 9.5, 50.0], grows=True)
    []
    >>> cliffs([10, 100, 1000], [5.0, 9.5, 150.0], grows=True)
    ['from 100 to 1,000: a unit costs 0.156, after 0.050']

    Elsewhere no cost may be more than `FLAT` times the first.

    >>> cliffs([1, 8, 64], [10.0, 14.0, 16.0], grows=False)
    ['at 64: 1.6 times what it costs at 1']
    """
    if not grows:
        return [
            f"at {size:,g}: {cost / costs[0]:.1f} times what it costs at {sizes[0]:,g}"
            for size, cost in zip(sizes, costs, strict=True)
            if cost > FLAT * costs[0]
        ]
    found = []
    price = highest = costs[0] / sizes[0]
    for (size, cost), (next_size, next_cost) in pairwise(zip(sizes, costs, strict=True)):
        units = next_size - size
        next_price = (next_cost - cost) / units
        if (next_cost * (1 - NOISE) - cost * (1 + NOISE)) / units > JUMP * highest:
            found.append(f"from {size:,g} to {next_size:,g}: a unit costs {next_price:.3f}, after {price:.3f}")
        price, highest = next_price, max((next_cost * (1 + NOISE) - cost * (1 - NOISE)) / units, 0.0)
    return found
