"""The re-keying agent of a by-id pipeline: predictions and labels, wherever they lie, on to the ledger topic by id.

    batch of one partition -> small forms, dead letters -> with its offset in one transaction of the partition's lane

So each good record is on the ledger topic exactly once, in both delivery modes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from app.feedback import rekey_labels, rekey_predictions
from app.topology.refusal import refuse
from app.transport import Batch, Output, live

if TYPE_CHECKING:
    from faust.types import TP

    from app.features import Contract
    from app.metrics import Metrics
    from app.topology.outbox import Outbox
    from app.topology.turns import Turns

SUFFIX = "-rekey"
"""Of the transactional ids of its lanes."""


class RekeyDesk:
    """What the re-keying agent of one pipeline works with."""

    def __init__(
        self,
        contract: Contract,
        outboxes: Mapping[str, Outbox],
        metrics: Metrics,
        turns: Turns,
        *,
        n_partitions: int,
        max_record_bytes: int,
    ) -> None:
        """outboxes: of the predictions and the labels topic; n_partitions: of the ledger topic."""
        self.contract = contract
        self._outboxes = outboxes
        self._metrics = metrics
        self._turns = turns
        self._n_partitions = n_partitions
        self._max_record_bytes = max_record_bytes

    async def fence(self, assigned: AbstractSet[TP]) -> None:
        """Take the lanes of the *assigned* partitions: nobody else can write for them from now on."""
        await asyncio.gather(
            *(
                outbox.open([tp.partition for tp in assigned if tp.topic == topic])
                for topic, outbox in self._outboxes.items()
            )
        )

    async def forget(self, revoked: AbstractSet[TP]) -> None:
        """Let go of the *revoked* partitions; what was not committed never happened."""
        for topic, outbox in self._outboxes.items():
            await outbox.close([tp.partition for tp in revoked if tp.topic == topic])

    async def take(self, batch: Batch) -> None:
        """Have *batch* re-keyed; it is done when all that follows from it is durable."""
        await self._turns.wait()
        if batch.void:
            return
        began = time.perf_counter()
        topics = self.contract.topics
        rekeyed = (rekey_labels if batch.topic == topics.labels else rekey_predictions)(
            batch.records, self.contract, self._n_partitions, max_record_bytes=self._max_record_bytes
        )
        outputs = [Output(topics.ledger, partition, records) for partition, records in rekeyed.records.items()]
        letters = refuse(batch, rekeyed.rejected, self.contract, self._metrics)
        outputs.append(Output(topics.dead_letters, batch.partition, letters))
        await self._outboxes[batch.topic].send(batch, outputs)
        self._turns.took(time.perf_counter() - began)


async def rekey(batches: AsyncIterator[Batch], *, desk: RekeyDesk) -> None:
    """Write every batch of predictions or labels on to the ledger topic."""
    async for batch in live(batches):
        await desk.take(batch)
