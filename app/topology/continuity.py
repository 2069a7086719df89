"""Noticing what never came: records that retention took away before they were read, and topics that were made anew.

Kafka's clients go on from the earliest record in silence when the one they want is gone. Here it is said and counted.

    expected 100          first of the batch   earliest on the topic   it means
                          100                  any                     nothing is missing
                          102                  40                      transaction markers, or compaction
                          180                  180                     80 offsets were removed unread
                          3                    0                       the topic was made anew, or has lost its end
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from app.errors import BrokerError
from app.transport.deliveries import Delivery, Progress

if TYPE_CHECKING:
    from app.metrics import Metrics
    from app.transport import Batch
    from app.transport.consumer import Consumer

log = structlog.get_logger(__name__)


class Continuity:
    """Whether the batches of each partition follow on each other, and those after a restart on what was committed."""

    def __init__(
        self,
        pipelines: Mapping[str, str],
        predictions: Mapping[str, str],
        consumer: Callable[[], Consumer],
        metrics: Metrics,
    ) -> None:
        """pipelines: by topic, those to be looked at; predictions: topics by the topics of their events."""
        self._pipelines = pipelines
        self._predictions = predictions
        self._consumer = consumer
        self._metrics = metrics
        self._noted: dict[TP, deque[Delivery]] = {}
        """What agents were given and may still be taken back, in order."""
        self._expected: dict[TP, int] = {}
        self._gaps: list[tuple[TP, int, int]] = []
        """Offsets [from, to) that were not delivered, and why is still to be found out."""

    async def begin(self, committed: Mapping[TP, int | None]) -> None:
        """The partitions of events go on from what was *committed*; BrokerError if a topic does not reach as far."""
        await self._tell_of_new_starts([tp for tp, offset in committed.items() if offset is None])
        tps = [tp for tp, offset in committed.items() if offset is not None and tp.topic in self._pipelines]
        if not tps:
            return
        consumer = self._consumer()
        first, ends = await consumer.earliest_offsets(*tps), await consumer.highwaters(*tps)
        for tp in tps:
            offset, earliest, end = committed[tp] or 0, first.get(tp) or 0, ends.get(tp) or 0
            if offset > end:
                raise BrokerError(
                    f"{tp.topic}-{tp.partition} ends at offset {end}, but was read up to {offset}: the topic was made "
                    "anew or has lost records. Take another FAUST_ONNX_APP_ID to read it from the start"
                )
            self._expected[tp] = max(offset, earliest)
            if earliest > offset:
                self._count(tp, offset, earliest)

    async def _tell_of_new_starts(self, tps: Iterable[TP]) -> None:
        """Say where events are read from the start that were scored before, by another group or of another topic."""
        pairs = {tp: TP(self._predictions[tp.topic], tp.partition) for tp in tps if tp.topic in self._predictions}
        ends = await self._consumer().highwaters(*pairs.values()) if pairs else {}
        if again := sorted(tp for tp, predictions in pairs.items() if ends.get(predictions)):
            log.warning(
                "events are read from the start, although there are predictions: the group is new, its offsets have "
                "expired, or the topic was made anew",
                partitions=[f"{topic}-{partition}" for topic, partition in again],
            )

    def note(self, batch: Batch) -> None:
        """The next batch that an agent is given; BrokerError if its topic begins anew."""
        tp = TP(batch.topic, batch.partition)
        if batch.void or tp.topic not in self._pipelines:
            return
        noted = self._noted.setdefault(tp, deque())
        while noted and noted[0].progress is Progress.DONE:
            noted.popleft()
        expected = self._expected.get(tp)
        if (taken_back := next((each for each in noted if each.void), None)) is not None:
            expected = taken_back.first_offset  # it comes again, and if it does not, that is a gap too
            noted.clear()
        first = batch.delivery.first_offset
        noted.append(batch.delivery)
        self._expected[tp] = batch.delivery.next_offset
        if expected is None or first == expected:
            return
        if first < expected:
            raise BrokerError(
                f"{tp.topic}-{tp.partition} goes on at offset {first}, but was read up to {expected}: the topic was "
                "made anew or has lost records. Take another FAUST_ONNX_APP_ID to read it from the start"
            )
        self._gaps.append((tp, expected, first))

    async def resolve(self) -> None:
        """Find out which of the gaps are records that were removed, and tell of those."""
        gaps, self._gaps = self._gaps, []
        if not gaps:
            return
        try:
            earliest = await self._consumer().earliest_offsets(*{tp for tp, _, _ in gaps})
        except (KafkaError, OSError):  # the broker is away: it can be asked when it is back
            self._gaps = gaps + self._gaps
            return
        for tp, start, stop in gaps:
            if (stop := min(stop, earliest.get(tp) or 0)) > start:
                self._count(tp, start, stop)

    def forget(self, partitions: AbstractSet[TP]) -> None:
        """The *partitions* are another worker's now."""
        for tp in partitions:
            self._noted.pop(tp, None)
            self._expected.pop(tp, None)

    def _count(self, tp: TP, start: int, stop: int) -> None:
        log.error(
            "records were removed before they were read: retention is shorter than the worker was behind",
            topic=tp.topic,
            partition=tp.partition,
            from_offset=start,
            to_offset=stop,
        )
        self._metrics.skipped(self._pipelines[tp.topic], tp.topic, stop - start)
