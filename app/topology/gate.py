"""Holding partitions back while no model is known for their records; the records wait in Kafka, not here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from faust.types import TP

if TYPE_CHECKING:
    from app.registry import ModelReader
    from app.transport import Batch
    from app.transport.consumer import Consumer

_LOOK_EVERY_S = 0.25


class Held(NamedTuple):
    """A partition that is held back, for the records between these Kafka timestamps, and why."""

    earliest_s: float
    latest_s: float
    reason: str


class Gate:
    """Admits a batch when the models for all its records are known and loaded; otherwise parks its partition."""

    def __init__(self, reader: ModelReader, consumer: Callable[[], Consumer]) -> None:
        self._reader = reader
        self._consumer = consumer
        self.held: dict[TP, Held] = {}

    def admits(self, batch: Batch) -> bool:
        """True when *batch* can be scored now; else its partition is parked until it can be."""
        times = [record.timestamp for record in batch.records]
        earliest_s, latest_s = min(times) / 1000, max(times) / 1000
        reason = self._reader.needs(earliest_s, latest_s, now_s=time.time())
        if reason is None:
            return True
        self.held[TP(batch.topic, batch.partition)] = Held(earliest_s, latest_s, reason)
        self._consumer().park(batch)
        return False

    async def release(self) -> None:
        """Let the partitions go on whose models have become known; waits for news of the models, within bounds."""
        await self._reader.wait_change(_LOOK_EVERY_S)
        for tp, held in list(self.held.items()):
            reason = self._reader.needs(held.earliest_s, held.latest_s, now_s=time.time())
            if reason is None:
                del self.held[tp]
                self._consumer().unpark(*tp)
            else:
                self.held[tp] = held._replace(reason=reason)

    def forget(self, partitions: set[TP]) -> None:
        """Drop what is held of *partitions*: they are another worker's now."""
        for tp in partitions:
            self.held.pop(tp, None)
