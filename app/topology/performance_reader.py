"""Every worker answers for the whole pipeline: it reads all of the `performance` topic, without a group."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import BrokerError
from app.features import Contract
from app.performance import PerformanceIndex
from app.registry.tail import stop_client

log = structlog.get_logger(__name__)

_START_S = 60.0
_RETRY_S = 1.0


class PerformanceReader:
    """Keeps an index of a pipeline's performance records, from offset 0 on, for as long as the worker runs."""

    def __init__(self, bootstrap: str, contract: Contract) -> None:
        self.index = PerformanceIndex(contract)
        self.problem: str | None = None
        """Why the index may be behind; None while it follows."""
        self._partition = TopicPartition(contract.topics.performance, 0)
        self._bootstrap = bootstrap
        self._next_offset = 0
        self._caught_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read to the present end, then follow. Raises BrokerError when that takes too long."""
        self._task = asyncio.create_task(self._run(), name=f"{self._partition.topic} reader")
        try:
            await asyncio.wait_for(self._caught_up.wait(), _START_S)
        except TimeoutError:
            await self.stop()
            raise BrokerError(
                f"{self._partition.topic} could not be read within {_START_S:g} s: {self.problem}"
            ) from None

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError) as error:
                self.problem = f"{self._partition.topic} cannot be read: {error}"
                log.warning("performance reader interrupted", topic=self._partition.topic, error=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        try:
            await consumer.start()
            consumer.assign([self._partition])
            consumer.seek(self._partition, self._next_offset)
            end = (await consumer.end_offsets([self._partition]))[self._partition]
            while True:
                if await consumer.position(self._partition) >= end:
                    self.problem = None
                    self._caught_up.set()
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        self.index.feed(record.key, record.value)
                        self._next_offset = record.offset + 1
        finally:
            await stop_client(consumer)
