"""What watches over a worker, so that it ends with a word rather than go on wrongly or stand still in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from faust.types import TP

from app.topology import stuck, topic_watch
from app.topology.changelog import changelog_of
from app.topology.continuity import Continuity
from app.topology.jobs import Job
from app.topology.leaving import Leaving
from app.topology.stuck import OPENING, OPENING_LEAST_S, LoopWatch, Standing, StuckWatch, unfinished, unopened
from app.topology.topic_watch import TopicsChanged, TopicWatch
from app.topology.topics import wanted_topics

if TYPE_CHECKING:
    from app.features import Contract
    from app.metrics import Metrics
    from app.settings import Settings
    from app.transport import Batch, BatchApp

_GAPS_EVERY_S = 1.0


class Guards:
    """The watches of one worker, and what they have to be told."""

    def __init__(
        self,
        app: BatchApp,
        settings: Settings,
        metrics: Metrics,
        contracts: Mapping[str, Contract],
        widths: Mapping[str, int],
    ) -> None:
        """widths: the partition count of the features and predictions topics of each pipeline."""
        self._app = app
        self._is_consuming = False
        self._widths: dict[str, int] = {}
        consumed: dict[str, str] = {}
        for pipeline, contract in contracts.items():
            topics = contract.topics
            self._widths |= dict.fromkeys((topics.features, topics.predictions), widths[pipeline])
            by_id = (topics.ledger,) if contract.is_by_id else ()
            for topic in (topics.features, topics.predictions, topics.labels, *by_id):
                consumed[topic] = pipeline
                metrics.skipped(pipeline, topic, 0)
        self._stuck = StuckWatch(settings.commit_stuck_s)
        self._opening = StuckWatch(max(settings.commit_stuck_s, OPENING_LEAST_S), OPENING)
        self.loop = LoopWatch(settings.commit_stuck_s)
        self.leaving = Leaving(self._unfinished)
        predictions = {c.topics.features: c.topics.predictions for c in contracts.values()}
        self.continuity = Continuity(consumed, predictions, lambda: app.consumer, metrics)
        self.topics = TopicWatch(
            settings.broker,
            [topic.name for contract in contracts.values() for topic in wanted_topics(contract)],
            made_later=[changelog_of(settings.app_id, pipeline) for pipeline in contracts],
        )

    @property
    def jobs(self) -> list[Job]:
        """What is to be done again and again."""
        return [
            Job(self._look, stuck.LOOK_EVERY_S),
            Job(self.continuity.resolve, _GAPS_EVERY_S),
            Job(self.topics.look, topic_watch.LOOK_EVERY_S),
        ]

    async def watched(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
        """*batches* as they are, each seen by those who care for what is missing between them."""
        async for batch in batches:
            self.continuity.note(batch)
            yield batch

    async def begin(self, committed: Mapping[TP, int | None]) -> None:
        """Partitions of a features topic go on from what was *committed*; BrokerError if it does not reach so far."""
        await self.continuity.begin(committed)

    def assigned(self, partitions: AbstractSet[TP]) -> None:
        """The worker was given *partitions*; TopicsChanged if there were none of these when it began."""
        self._is_consuming = True
        self.topics.there_are({topic for topic, _ in partitions})
        self.continuity.forget(partitions)  # what came while they were being revoked belongs to no one now
        for topic, partition in sorted(partitions):
            if partition >= self._widths.get(topic, partition + 1):
                raise TopicsChanged(
                    f"{topic}-{partition} was assigned, but {topic} had {self._widths[topic]} partitions when the "
                    "worker began. See `A topic is gone or has changed` in docs/troubleshooting.md"
                )

    def revoked(self, partitions: AbstractSet[TP]) -> None:
        """The *partitions* are another worker's now."""
        self.continuity.forget(partitions)

    async def stop(self) -> None:
        """Watch no longer."""
        self.loop.stop()
        await self.topics.close()

    async def settled(self, _app: Any, **_: Any) -> None:
        """Note what is left undone by a worker that ends."""
        self.leaving.settled()

    async def _look(self) -> None:
        self.loop.turned()
        self._stuck.look(self._unfinished())
        self._opening.look(self._unopened())

    def standstill(self) -> str | None:
        """What has stood still for so long that the worker is not ready."""
        return self._stuck.reason() or self._opening.reason()

    def _unopened(self) -> dict[TP, Standing]:
        if not self._is_consuming:
            return {}
        recovery = self._app.tables.recovery
        return unopened(self._app.consumer, {tp: recovery.active_offsets[tp] or 0 for tp in recovery.active_tps})

    def _unfinished(self) -> dict[TP, Standing]:
        if not self._is_consuming:
            return {}
        return unfinished(self._app.consumer, self._app.lane_topics)
