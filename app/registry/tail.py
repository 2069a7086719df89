"""One single-partition topic read by this process alone: no consumer group, only what was committed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import BrokerError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import ConsumerRecord

REQUEST_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 3.0
FETCH_BYTES = 2 * 1024 * 1024
_POLL_S = 0.1

KAFKA_FAULTS = (KafkaError, BrokerError, OSError, TimeoutError)
"""What an unreachable or unwilling broker shows itself as: worth trying again."""


async def stop_client(consumer: AIOKafkaConsumer) -> None:
    """Stop *consumer*, or leave it: where the broker went away, its fetcher may wait for an answer for ever."""
    stopping = asyncio.ensure_future(consumer.stop())
    done, _ = await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
    if not done:
        stopping.cancel()


class TopicTail:
    """Reads *topic* from an offset on, and knows how far it goes.

    Two connections: one reads what is committed; the other only asks for the high watermark, because a read_committed
    consumer is told the last stable offset instead, and would believe that it has seen all while a record waits behind
    an open transaction.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self._partition = TopicPartition(topic, 0)
        self._stack = AsyncExitStack()
        self._committed: AIOKafkaConsumer
        self._watermarks: AIOKafkaConsumer

    async def open(self, from_offset: int = 0) -> Self:
        """Connect and go to *from_offset*.

        Raises ConfigurationError when the topic does not exist or has several partitions, BrokerError when Kafka cannot
        be reached.
        """
        try:
            self._committed = await self._connect("read_committed")
            await self._check_that_it_exists()
            self._committed.assign([self._partition])
            self._committed.seek(self._partition, from_offset)
            await self._check_that_it_is_single()
            self._watermarks = await self._connect("read_uncommitted")
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise BrokerError(f"cannot read {self.topic} from {self.bootstrap}: {error}") from error
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Give up the connections."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def seek(self, offset: int) -> None:
        """Go on from *offset*."""
        self._committed.seek(self._partition, offset)

    async def poll(self, timeout_s: float) -> list[ConsumerRecord]:
        """The next records in offset order, none when nothing came within *timeout_s*."""
        records = await self._committed.getmany(self._partition, timeout_ms=max(0, int(timeout_s * 1000)))
        return list(records.get(self._partition, ()))

    async def position(self) -> int:
        """The offset below which everything committed has been returned by `poll`."""
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            return int(await self._committed.position(self._partition))

    async def high_watermark(self) -> int:
        """The offset after the last record of the topic, those of open transactions included."""
        return await self._end_known_to(self._watermarks)

    async def stable_end(self) -> int:
        """The offset up to which no transaction is open."""
        return await self._end_known_to(self._committed)

    async def until(self, end: int) -> AsyncIterator[ConsumerRecord]:
        """The committed records up to offset *end*; waits for as long as a transaction below it is open."""
        while await self.position() < end:
            for record in await self.poll(_POLL_S):
                yield record

    async def _connect(self, isolation_level: str) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation_level,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        self._stack.push_async_callback(stop_client, consumer)
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await consumer.start()
        return consumer

    async def _check_that_it_exists(self) -> None:
        # All topics are asked for, not this one: asking for one by name creates it where brokers create topics by
        # themselves.
        if self.topic not in await self._committed.topics():
            raise ConfigurationError(
                f"topic {self.topic} does not exist on {self.bootstrap}: create the pipeline's topics first"
            )

    async def _check_that_it_is_single(self) -> None:
        await self.stable_end()  # brings what the client knows of the topic
        partitions = self._committed.partitions_for_topic(self.topic) or set()
        if len(partitions) != 1:
            raise ConfigurationError(f"topic {self.topic} has {len(partitions)} partitions, it must have exactly 1")

    async def _end_known_to(self, consumer: AIOKafkaConsumer) -> int:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            ends = await consumer.end_offsets([self._partition])
        return int(ends[self._partition])
