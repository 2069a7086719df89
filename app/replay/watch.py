"""Reads on, without a group, what workers publish of a pipeline, and gives it to a tracker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.replay.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from app.features import Contract

_POLL_MS = 200
_RECORDS_MAX = 2_000
"""In one go, so that sending has its turn in between."""


class Watch:
    """A consumer of outcomes from now on, and of all that `performance` has told; a context manager."""

    def __init__(self, broker: str, contract: Contract, counts: Mapping[str, int], *, label_delay_s: float) -> None:
        """counts: partitions by topic."""
        self._contract = contract
        self._counts = counts
        self._label_delay_s = label_delay_s
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        self.tracker: Tracker
        """Made on entering: it begins with the ends that the topics have then."""

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        topics = self._contract.topics
        told = [topics.predictions, topics.dead_letters, *([topics.ledger] if self._contract.is_by_id else [])]
        followed = [each for topic in told for each in self._all(topic)]
        performance = TopicPartition(topics.performance, 0)
        sent = [each for topic in (topics.features, topics.labels) for each in self._all(topic)]
        ends = await self._consumer.end_offsets([*followed, *sent, performance])
        self.tracker = Tracker(
            self._contract,
            features={each.partition: ends[each] for each in sent if each.topic == topics.features},
            labels={each.partition: ends[each] for each in sent if each.topic == topics.labels},
            label_delay_s=self._label_delay_s,
        )
        self._consumer.assign([*followed, performance])
        for each in followed:
            self._consumer.seek(each, ends[each])
        await self._consumer.seek_to_beginning(performance)
        while await self._consumer.position(performance) < ends[performance]:
            await self.look()
        self.tracker.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def look(self) -> None:
        """Take what has come; waits a moment if nothing has."""
        for records in (await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_MAX)).values():
            for record in records:
                self.tracker.take(record)
        await asyncio.sleep(0)

    def _all(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._counts[topic])]
