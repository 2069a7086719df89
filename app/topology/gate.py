"""Holding partitions back while no model is known for their records; the records wait in Kafka, not here."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

from faust.types import TP

from app.registry import is_future

if TYPE_CHECKING:
    from app.registry import ModelReader
    from app.scoring import Scorer
    from app.transport import Batch
    from app.transport.consumer import Consumer

_LOOK_EVERY_S = 0.25


class Held(NamedTuple):
    """A partition that is held back, for the records between these Kafka timestamps, and why."""

    earliest_s: float
    latest_s: float
    settled_s: float
    """The latest that is no future one: up to there the models must have been read."""
    reason: str


class Gate:
    """Admits a batch when the models for all its records are known and loaded; otherwise parks its partition."""

    def __init__(self, reader: ModelReader[Scorer], consumer: Callable[[], Consumer]) -> None:
        self._reader = reader
        self._consumer = consumer
        self.held: dict[TP, Held] = {}

    def admits(self, batch: Batch) -> bool:
        """True when *batch* can be scored now; else its partition is parked until it can be."""
        now_s = time.time()
        times_ms = [record.timestamp for record in batch.records]
        earliest_s, latest_s = min(times_ms) / 1000, max(times_ms) / 1000
        settled_s = latest_s
        if is_future(latest_s, now_s):
            settled_s = max((t / 1000 for t in times_ms if not is_future(t / 1000, now_s)), default=now_s)
        reason = self._reader.needs(earliest_s, latest_s, now_s=now_s, settled_s=settled_s)
        if reason is None:
            return True
        self.held[TP(batch.topic, batch.partition)] = Held(earliest_s, latest_s, settled_s, reason)
        self._consumer().park(batch)
        return False

    async def release(self) -> None:
        """Let the partitions go on whose models have become known; waits for news of the models, within bounds."""
        await self._reader.wait_change(_LOOK_EVERY_S)
        if self._reader.failed is not None:
            raise self._reader.failed
        for tp, held in list(self.held.items()):
            now_s = time.time()
            reason = self._reader.needs(held.earliest_s, held.latest_s, now_s=now_s, settled_s=held.settled_s)
            if reason is None:
                del self.held[tp]
                self._consumer().unpark(*tp)
            else:
                self.held[tp] = held._replace(reason=reason)

    def forget(self, partitions: AbstractSet[TP]) -> None:
        """Drop what is held of *partitions*: they are another worker's now."""
        for tp in partitions:
            self.held.pop(tp, None)
