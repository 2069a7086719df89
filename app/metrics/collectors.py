"""Collectors that take a whole batch at once; prometheus_client's own take one value a call."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client.core import HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry


class BatchHistogram(Collector):
    """A Prometheus histogram whose `observe` costs the same for one value and for some thousands.

    buckets: upper edges, ascending; the bucket +Inf is added.
    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self.name, self.text, self.labelnames = name, text, tuple(labels)
        self._edges = np.asarray(buckets, dtype=np.float64)
        self._counts: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        self._lock = Lock()
        registry.register(self)

    def observe(self, labels: tuple[str, ...], values: ArrayLike) -> None:
        """Count *values*, shape (n,); a negative one - clocks differ - counts as 0, NaN not at all."""
        array = np.asarray(values, dtype=np.float64).ravel()
        array = np.maximum(array[~np.isnan(array)], 0.0)
        buckets = np.searchsorted(self._edges, array, side="left")
        counts = np.bincount(buckets, minlength=len(self._edges) + 1)
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + counts
            self._sums[labels] = self._sums.get(labels, 0.0) + float(array.sum())

    def describe(self) -> Iterable[Metric]:
        """The family without samples."""
        return [HistogramMetricFamily(self.name, self.text, labels=self.labelnames)]

    def collect(self) -> Iterator[Metric]:
        """The family, with cumulative buckets as the format wants them."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labelnames)
        edges = [*map(repr, self._edges.tolist()), "+Inf"]
        with self._lock:
            for labels, counts in self._counts.items():
                cumulative = np.cumsum(counts).tolist()
                family.add_metric(labels, list(zip(edges, cumulative, strict=True)), self._sums[labels])
        yield family


class BatchSummary(Collector):
    """A Prometheus summary, that is a count and a sum, fed with counts and sums; its mean follows from the two."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self.name, self.text, self.labelnames = name, text, tuple(labels)
        self._totals: dict[tuple[str, ...], tuple[int, float]] = {}
        self._lock = Lock()
        registry.register(self)

    def add(self, labels: tuple[str, ...], n: int, total: float) -> None:
        """Count *n* values that add up to *total*."""
        with self._lock:
            before_n, before = self._totals.get(labels, (0, 0.0))
            self._totals[labels] = (before_n + n, before + total)

    def describe(self) -> Iterable[Metric]:
        """The family without samples."""
        return [SummaryMetricFamily(self.name, self.text, labels=self.labelnames)]

    def collect(self) -> Iterator[Metric]:
        """The family."""
        family = SummaryMetricFamily(self.name, self.text, labels=self.labelnames)
        with self._lock:
            for labels, (n, total) in self._totals.items():
                family.add_metric(labels, count_value=n, sum_value=total)
        yield family
