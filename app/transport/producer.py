"""Faust's producer, idempotent in every mode, with whole record batches and a flush that means it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from aiokafka.errors import KafkaTimeoutError
from faust.exceptions import ProducerSendError
from faust.transport import producer as base
from faust.transport.drivers import aiokafka as driver

from app.columns import RecordColumns
from app.records import OutRecord
from app.transport.packing import Packer

log = structlog.get_logger(__name__)


PACKED_BYTES = 900 << 10
"""A record batch of columns at most: of a partition one is under way at a time; Kafka's default limit is 1 MiB."""


class Buffer(base.ProducerBuffer):  # type: ignore[misc]
    """Faust's queue of `send_soon` messages, which also knows of the one it is handing over right now."""

    handing_over = 0

    async def _send_pending(self, fut: Any) -> None:
        self.handing_over += 1
        try:
            await super()._send_pending(fut)
        finally:
            self.handing_over -= 1

    async def drain(self) -> None:
        """Wait until every queued message was handed to the client.

        Faust's own flush gives up after 0.1 s, and its offsets are then committed although table records are unsent.
        """
        while self.size or self.handing_over:
            self.message_sent.clear()
            try:
                await asyncio.wait_for(self.message_sent.wait(), timeout=0.05)
            except TimeoutError:
                if self.should_stop:
                    raise ProducerSendError("the producer stopped with messages unsent") from None


class Producer(driver.Producer):  # type: ignore[misc]
    """Faust's producer: nothing that was sent through it is lost in silence."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.buffer = Buffer(loop=self.loop, beacon=self.beacon)
        self.buffer.app = self.app
        self._failure: BaseException | None = None

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Queue one message; a failure that nobody awaits still keeps offsets from being committed."""
        future: asyncio.Future[Any] = await super().send(*args, **kwargs)
        future.add_done_callback(self._note_failure)
        return future

    def _note_failure(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._failure = error

    async def flush(self) -> None:
        """Wait until all that was sent is acknowledged by the broker; raises ProducerSendError if any of it failed."""
        await self.buffer.drain()
        if self._producer is not None:
            await self._producer.flush()
        if self._failure is not None:
            raise ProducerSendError(f"a message was not accepted by the broker: {self._failure!r}") from self._failure

    async def publish(self, topic: str, partition: int, records: Iterable[OutRecord]) -> list[asyncio.Future[Any]]:
        """Hand *records* over as whole record batches; the futures are done when the broker has acknowledged them."""
        producer = self._ensure_producer()
        sent: list[asyncio.Future[Any]] = []
        if isinstance(records, RecordColumns):
            packer = Packer(records)
            for rows in packer.cuts(PACKED_BYTES):
                sent.append(await _queued(producer, packer.batch(rows), topic, partition))  # noqa: PERF401  in this order
            return sent
        rest = iter(records)
        record = next(rest, None)
        while record is not None:
            builder = producer.create_batch()
            record = fill(builder, record, rest)
            sent.append(await _queued(producer, builder, topic, partition))
        return sent


async def _queued(producer: Any, builder: Any, topic: str, partition: int) -> asyncio.Future[Any]:
    """The future of *builder*, once there is room for it: while Kafka is away there is none, however long that is."""
    while True:
        try:
            sent: asyncio.Future[Any] = await producer.send_batch(builder, topic, partition=partition)
        except KafkaTimeoutError:
            log.warning("Kafka takes no records yet", topic=topic, partition=partition)
        else:
            return sent


def fill(builder: Any, first: OutRecord, rest: Iterator[OutRecord]) -> OutRecord | None:
    """Put *first* and what follows into *builder* until it is full; the record that did not fit, None at the end.

    It goes past `builder.append`, which serialises each record anew and costs as much again as packing it does.
    """
    append = builder._builder.append  # noqa: SLF001
    count = 0
    record: OutRecord | None = first
    while record is not None:
        key, value, timestamp_ms, headers = record
        if append(count, timestamp_ms, key, value, headers) is None:
            if not count:
                raise ProducerSendError(f"a record of {len(value or b'')} bytes does not fit an empty batch")
            break
        count += 1
        record = next(rest, None)
    builder._relative_offset = count  # noqa: SLF001
    return record


async def acknowledged(sent: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until the broker has acknowledged all of *sent*; raises the first failure."""
    await asyncio.gather(*sent)
