"""The scoring agent: batches of feature records in, predictions and dead letters out, in the same partition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import structlog

from app.columns import RecordColumns
from app.registry import InForce
from app.registry.reader import FUTURE_S
from app.scoring import PreparedBatch, ScoredBatch, Scorer
from app.topology.runs import Runs
from app.transport import Batch, Output, live

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.features import Contract, Decoder
    from app.metrics import Metrics
    from app.records import OutRecord
    from app.registry import ModelReader
    from app.topology.gate import Gate
    from app.topology.outbox import Outbox

log = structlog.get_logger(__name__)


class ScoringDesk:
    """What the scoring agent of one pipeline works with."""

    def __init__(
        self,
        contract: Contract,
        decoder: Decoder,
        reader: ModelReader[Scorer],
        gate: Gate,
        outbox: Outbox,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.contract = contract
        self.gate = gate
        self._decoder = decoder
        self._reader = reader
        self._outbox = outbox
        self._metrics = metrics
        self._on_failure = on_failure
        self._runs = Runs()
        self._going_on: asyncio.Task[None] | None = None
        """The batch whose model runs in another thread; the next one is decoded meanwhile."""
        self.version: int | None = None
        """The version of the latest activation that any prediction here was made by."""
        self._sequence = 0
        self.predicted = 0
        self.dead_letters = 0

    async def take(self, batch: Batch) -> None:
        """Score *batch* and hand what comes of it to the producer; the next one need not wait for the broker.

        Where the model takes long, this returns while it runs; batches leave in the order in which they came.
        """
        began = time.perf_counter()
        prepared = PreparedBatch(batch.records, self._decoder, self._reader.scorer_for)
        took_s = time.perf_counter() - began
        if self._going_on is not None:
            await self._going_on
            self._going_on = None
        if self._runs.is_long(prepared):
            self._going_on = asyncio.ensure_future(self._guarded(self._go_on(batch, prepared, took_s)))
        else:
            await self._go_on(batch, prepared, took_s)

    async def _go_on(self, batch: Batch, prepared: PreparedBatch, took_s: float) -> None:
        answers, ran_s = await self._runs.run(prepared)
        if batch.void:
            return
        began, now_s = time.perf_counter(), time.time()
        scored = prepared.finish(answers, now_s=now_s)
        took_s += ran_s + time.perf_counter() - began
        topics, partition = self.contract.topics, batch.partition
        outputs = [
            Output(topics.predictions, partition, scored.predictions),
            Output(topics.dead_letters, partition, scored.dead_letters),
        ]
        await self._outbox.send(batch, outputs)
        self._count(batch, scored, took_s=took_s, now_s=now_s)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """*work* whose end no one awaits: if it fails, the batch is not done and the worker must not go on."""
        try:
            await work
        except Exception as error:  # noqa: BLE001  whatever it is
            self._on_failure(error)

    def _count(self, batch: Batch, scored: ScoredBatch, *, took_s: float, now_s: float) -> None:
        name, metrics = self.contract.name, self._metrics
        metrics.batch(name, records=len(batch.records), seconds=took_s)
        metrics.dead_letters(name, "features", scored.reasons)
        latencies_s = now_s - _timestamps_ms(scored.predictions) / 1000
        metrics.future_timestamps(name, int(np.count_nonzero(latencies_s < -FUTURE_S)))
        for version in scored.versions.keys() | scored.failed.keys():
            n, n_failed = scored.versions.get(version, 0), scored.failed.get(version, 0)
            metrics.scored(name, version, predictions=n, failed=n_failed, latencies_s=latencies_s)
            latencies_s = latencies_s[:0]  # observed once, whatever number of versions the batch needed
        if scored.predictions:
            self._note_version(scored.predictions[-1].timestamp_ms / 1000, now_s)
        self.predicted += len(scored.predictions)
        self.dead_letters += len(scored.dead_letters)

    def _note_version(self, at_s: float, now_s: float) -> None:
        """Tell of a swap when the first partition passes it: *at_s* is the Kafka timestamp of the latest prediction."""
        timeline = self._reader.timeline
        in_force = timeline.in_force(at_s)
        if not isinstance(in_force, InForce) or in_force.sequence <= self._sequence:
            return
        standing = timeline.standing(in_force.sequence)
        if self.version is not None and standing is not None:
            self._metrics.model_swapped(self.contract.name, now_s - standing.activation.effective_from_s)
        log.info("version in use", pipeline=self.contract.name, version=in_force.version, before=self.version)
        self.version, self._sequence = in_force.version, in_force.sequence

    async def fence(self, partitions: Iterable[int]) -> None:
        """Have nobody else write predictions for *partitions* from now on, if that is promised."""
        await self._outbox.open(partitions)

    async def forget(self, partitions: Iterable[int]) -> None:
        """Let go of *partitions*."""
        await self._outbox.close(partitions)

    def close(self) -> None:
        """Let go of the thread."""
        self._runs.close()


def _timestamps_ms(predictions: Sequence[OutRecord]) -> npt.NDArray[np.float64]:
    """Kafka timestamps of *predictions*, shape (n,)."""
    if isinstance(predictions, RecordColumns):
        return predictions.timestamps_ms.astype(np.float64)
    return np.array([made.timestamp_ms for made in predictions], np.float64)


async def score(batches: AsyncIterator[Batch], *, desk: ScoringDesk) -> None:
    """Score every batch whose models are known; the others wait in Kafka."""
    async for batch in live(batches):
        if desk.gate.admits(batch):
            await desk.take(batch)
