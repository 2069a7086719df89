"""One pipeline in one worker: its contract, models, gate, desks and readers, bound together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import msgspec
from faust.types import TP

from app.features import Contract, decoder_of
from app.metrics import Metrics
from app.records import ModelEvent, OutRecord
from app.settings import Settings
from app.topology.changelog import table_of
from app.topology.disk import DiskWatch
from app.topology.feedback import FeedbackDesk
from app.topology.gate import Gate
from app.topology.outbox import AcknowledgedOutbox, LaneOutbox, Outbox
from app.topology.performance_reader import PerformanceReader
from app.topology.placement import PlacementWatch
from app.topology.rekey import SUFFIX, RekeyDesk
from app.topology.scoring import ScoringDesk
from app.topology.serving import model_reader
from app.topology.topics import ANY_TIME
from app.topology.turns import Turns
from app.transport import BatchApp, acknowledged


class Pipeline:
    """What a worker has of one pipeline."""

    def __init__(
        self,
        app: BatchApp,
        settings: Settings,
        contract: Contract,
        metrics: Metrics,
        *,
        partitions: int,
        ledgers: int,
        store_path: Callable[[int], Path],
        turns: Turns,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.contract = contract
        self.partitions = partitions
        self._app = app
        self._settings = settings
        self.models = model_reader(settings, contract, metrics, self._publish_event)
        self.gate = Gate(self.models, lambda: app.consumer)
        self.scoring = ScoringDesk(
            contract,
            decoder_of(contract, max_record_bytes=settings.max_record_bytes),
            self.models,
            self.gate,
            self._outbox(on_failure),
            metrics,
            on_failure,
        )
        table = app.batch_table(table_of(contract.name), partitions=ledgers, extra_topic_configs=ANY_TIME)
        self.feedback = FeedbackDesk(
            contract,
            settings,
            table,
            lambda: app.transactions,
            lambda: app.consumer,
            metrics,
            store_path,
            turns,
            on_failure,
        )
        self.rekeying = self._rekey_desk(metrics, turns, on_failure, ledgers) if contract.is_by_id else None
        self.placement = PlacementWatch(contract, metrics, n_partitions=partitions)
        self.disk = DiskWatch(contract.name, self.feedback.partitions, store_path, metrics)
        self.performance = PerformanceReader(settings.broker, contract)
        metrics.serve(contract.name, n_classes=len(contract.classes))

    def _outbox(self, on_failure: Callable[[BaseException], None]) -> Outbox:
        app = self._app
        if self._settings.delivery == "at_least_once":
            return AcknowledgedOutbox(lambda: app.producer, on_failure)
        return self._lane_outbox(self.contract.topics.features, on_failure)

    def _lane_outbox(self, topic: str, on_failure: Callable[[BaseException], None], suffix: str = "") -> LaneOutbox:
        app = self._app
        return LaneOutbox(
            topic,
            lambda: app.transactions,
            lambda: app.consumer,
            on_failure,
            suffix=suffix,
        )

    def _rekey_desk(
        self, metrics: Metrics, turns: Turns, on_failure: Callable[[BaseException], None], n_partitions: int
    ) -> RekeyDesk:
        topics = self.contract.topics
        return RekeyDesk(
            self.contract,
            {topic: self._lane_outbox(topic, on_failure, SUFFIX) for topic in (topics.predictions, topics.labels)},
            metrics,
            turns,
            n_partitions=n_partitions,
            max_record_bytes=self._settings.max_record_bytes,
        )

    @property
    def read_on(self) -> frozenset[str]:
        """The topics that are read on from the committed offset; of the others the ledgers know better."""
        topics = self.contract.topics
        return frozenset((topics.features, topics.predictions, topics.labels)) - set(self.feedback.sources)

    @property
    def consumed(self) -> frozenset[str]:
        """The topics that the workers share."""
        return self.read_on | set(self.feedback.sources)

    async def _publish_event(self, event: ModelEvent) -> None:
        row = OutRecord(self.contract.name.encode(), msgspec.json.encode(event), int(event.at * 1000), [])
        await acknowledged(await self._app.producer.publish(self.contract.topics.model_events, 0, [row]))

    async def start(self) -> None:
        """Read the models and what is known of the performance; ready when both have been read to their ends."""
        await asyncio.gather(self.models.start(), self.performance.start())

    async def stop(self) -> None:
        """Stop the readers, and let go of the thread of the models."""
        self.scoring.close()
        await asyncio.gather(self.models.stop(), self.performance.stop())

    async def fence(self, assigned: AbstractSet[TP]) -> None:
        """Have nobody else write for the partitions that were *assigned* from now on."""
        topics = self.contract.topics
        await asyncio.gather(
            self.scoring.fence([tp.partition for tp in assigned if tp.topic == topics.features]),
            self.feedback.fence([tp.partition for tp in assigned if tp.topic == self.feedback.sources[0]]),
            *([self.rekeying.fence(assigned)] if self.rekeying is not None else []),
        )

    async def begin_anew(self) -> None:
        """Let go of whatever is still held: partitions are assigned next, and none of them goes on where it stood."""
        self.gate.forget(set(self.gate.held))
        await self.feedback.drop()

    async def forget(self, revoked: AbstractSet[TP]) -> None:
        """Let go of partitions that were revoked."""
        self.gate.forget(revoked)
        await self.scoring.forget([tp.partition for tp in revoked if tp.topic == self.contract.topics.features])
        if self.rekeying is not None:
            await self.rekeying.forget(revoked)
        await self.feedback.close(revoked)

    def reasons(self, assigned: set[TP]) -> list[str]:
        """Why the pipeline is not ready for the partitions it has; empty when it is."""
        reasons = [
            f"{tp.topic}-{tp.partition} is held back: {held.reason}" for tp, held in sorted(self.gate.held.items())
        ]
        has_features = any(tp.topic == self.contract.topics.features for tp in assigned)
        if has_features and not reasons and (problem := self.models.problem):
            reasons.append(f"{self.contract.name}: {problem}")
        reasons += self.feedback.reasons()
        if self.performance.problem:
            reasons.append(f"{self.contract.name}: {self.performance.problem}")
        return reasons

    def status(self, assigned: set[TP]) -> dict[str, Any]:
        """The pipeline as this worker sees it, for /api/status."""
        topics = self.contract.topics
        return {
            "topics": topics._asdict(),
            "partitions": self.partitions,
            "assigned": sorted(tp.partition for tp in assigned if tp.topic == topics.features),
            "held_back": {str(tp.partition): held.reason for tp, held in sorted(self.gate.held.items())},
            "models": self.models.status(),
            "predictions": self.scoring.predicted,
            "dead_letters": self.scoring.dead_letters,
            "version": self.scoring.version,
            "feedback": self.feedback.status(),
        }
