"""Many records of one partition, handed to Kafka in whole batches: no future and no task for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

MAX_BATCH_BYTES = 512 * 1024
MAX_RECORD_BYTES = 1_000_000
"""With its key; beyond, Kafka refuses by default what a batch makes of it."""


class BatchSender:
    """Sends by a started, idempotent `AIOKafkaProducer` that was made with `max_batch_size=MAX_BATCH_BYTES`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    async def send(
        self,
        topic: str,
        partition: int,
        records: Iterable[tuple[bytes | None, bytes | None]],
        *,
        timestamp_ms: int | None = None,
    ) -> list[tuple[asyncio.Future[Any], int]]:
        """Hand over *records* (key, value) in order: for each batch the future of its place, and how many it holds.

        Waits while the batch before it of the same partition is still on its way. timestamp_ms: of all of them, where
        the topic takes it; that of now without.
        """
        sent = []
        batch = self._producer.create_batch()
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=timestamp_ms) is None:
                sent.append(await self._send_batch(batch, topic, partition))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=timestamp_ms)  # the first one always finds room
        if batch.record_count():
            sent.append(await self._send_batch(batch, topic, partition))
        return sent

    async def _send_batch(self, batch: Any, topic: str, partition: int) -> tuple[asyncio.Future[Any], int]:
        batch.close()
        return await self._producer.send_batch(batch, topic, partition=partition), batch.record_count()
