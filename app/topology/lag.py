"""How far the worker is behind: records not yet consumed, and their age."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.metrics import Metrics
from app.records import Topics

if TYPE_CHECKING:
    from app.transport import BatchApp


class LagWatch:
    """Measures the lag of the assigned partitions, once in a while, from what the client knows already."""

    def __init__(self, app: BatchApp, metrics: Metrics, topics: Mapping[str, Topics]) -> None:
        """topics: of each pipeline."""
        self._app = app
        self._metrics = metrics
        self._watched = {name for t in topics.values() for name in (t.features, t.predictions, t.labels, t.ledger)}
        self._lags: dict[str, dict[str, int]] = {}

    async def measure(self) -> None:
        """Read positions and ends and set the metrics."""
        app = self._app
        lags: dict[str, dict[str, int]] = {}
        if not app.rebalancing and app.tables.recovery.completed.is_set():
            for tp in app.consumer.assignment():
                if tp.topic not in self._watched or (end := app.consumer.highwater(tp)) is None:
                    continue
                position, last_s = app.consumer.where(tp)
                lag = max(0, end - position) if position is not None else end
                age_s = max(0.0, time.time() - last_s) if lag and last_s is not None else 0.0
                self._metrics.position(tp.topic, tp.partition, lag=lag, lag_s=age_s, last_s=last_s)
                lags.setdefault(tp.topic, {})[str(tp.partition)] = lag
        self._lags = lags

    def status(self) -> dict[str, Any]:
        """Records not yet consumed, by topic and partition."""
        return self._lags
