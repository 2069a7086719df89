"""A uniform sample of bounded size from rows that come in batches: Vitter's Algorithm R, a batch at a time.

J. S. Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1985), https://doi.org/10.1145/3147.3165
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = tuple[npt.NDArray[Any], ...]


class Reservoir:
    """At most *n_max* rows; all of them as long as no more came."""

    def __init__(self, n_max: int, seed: int) -> None:
        self._n_max = n_max
        self._rng = np.random.default_rng(seed)
        self._parts: list[Arrays] = []
        self._held: Arrays | None = None
        self.n_seen = 0

    def add(self, *arrays: npt.NDArray[Any]) -> None:
        """Rows: the arrays have one element for each, shapes (n_rows, ...)."""
        n_new = len(arrays[0])
        room = max(0, self._n_max - self.n_seen)
        if room:
            self._parts.append(tuple(array[:room].copy() for array in arrays))
        if n_new > room:
            held = self._joined()
            # The row that comes as the t-th takes the place of any with chance n_max / t.
            places = self._rng.integers(0, np.arange(self.n_seen + room + 1, self.n_seen + n_new + 1))
            (chosen,) = np.nonzero(places < self._n_max)
            for into, array in zip(held, arrays, strict=True):
                # One by one, in effect: of two rows for one place the later stays.
                into[places[chosen]] = array[room:][chosen]
        self.n_seen += n_new

    def rows(self) -> Arrays:
        """The sample; not in the order in which the rows came. Empty if none did."""
        return self._joined()

    def _joined(self) -> Arrays:
        if self._held is None or self._parts:
            held = () if self._held is None else (self._held,)
            self._held = tuple(np.concatenate(each) for each in zip(*held, *self._parts, strict=True))
            self._parts.clear()
        return self._held
