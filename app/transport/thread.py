"""The thread with the Kafka client, and the limits within which it fetches."""

from __future__ import annotations

from typing import Any, NamedTuple

import structlog
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver

from app.errors import BrokerError
from app.transport.lean import lean_record

log = structlog.get_logger(__name__)


class Limits(NamedTuple):
    """What bounds the memory and the latency of consuming."""

    in_flight_bytes: int = 32 << 20
    """Bytes of one topic that may be delivered and not yet done, over all its partitions."""
    in_flight_batches: int = 3
    """Batches of one partition that may be delivered and not yet done: one worked on, the next ones ready."""
    small_bytes: int = 64 << 10
    """So many bytes of a partition may be in flight in however many batches.

    A partition without room keeps what was fetched of it with the client, which then asks the broker for nothing,
    for a tenth of a second: all others would wait behind predictions that are counted twenty times a second.
    """
    fetch_wait_ms: int = 5
    """How long the broker may hold a fetch for which it has no record, while records come.

    One request covers all idle partitions of a broker; a partition that was drained meanwhile can only join the next.
    """
    idle_fetch_wait_ms: int = 100
    """The same when no record has come for `_IDLE_AFTER_S`; the first one that comes ends the wait anyway."""
    settle_s: float = 7.0
    """How long a rebalance waits for batches that agents are working on."""


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread with the Kafka client, so that heartbeats go on whatever the agents do."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        client._fetch_max_wait_ms = self.app.limits.idle_fetch_wait_ms  # noqa: SLF001  Faust fixes it at 1.5 s
        # Records of a transaction that was aborted were never meant to be seen; Faust reads them outside its own mode.
        client._isolation_level = "read_committed"  # noqa: SLF001
        return client

    def set_fetch_wait(self, wait_ms: int) -> None:
        """Let the broker hold the coming fetches for that long."""
        self._ensure_consumer()._fetcher._fetch_max_wait_ms = wait_ms  # noqa: SLF001

    def close(self) -> None:
        """Leave the client alone: `on_thread_stop` closes it, in the thread that it belongs to.

        Faust comes here from the app's thread, when the group is shared out anew while the app stops. It would close
        connections that the client's own loop was reading from: workers ended with SIGSEGV instead of leaving.
        """

    async def check_group(self) -> None:
        """Stay a member of the group whatever waits; raise what keeps the client out, unless that is over by itself.

        aiokafka rests from then on until someone has asked: it sends no heartbeats and joins no group.
        """
        await self.call_thread(self._check_group)

    async def _check_group(self) -> None:
        client = self._ensure_consumer()
        # Else a client that asks for nothing leaves the group, and it asks for nothing while all partitions wait.
        with client._subscription.fetch_context():  # noqa: SLF001
            pass
        try:
            client._coordinator.check_errors()  # noqa: SLF001
        except KafkaError as error:
            if not error.retriable:
                raise BrokerError(
                    f"the consumer group {self.app.conf.id} has no place for this worker: {error}"
                ) from error
            log.warning("the consumer group is joined anew", error=repr(error))

    async def rejoin(self) -> None:
        """Have the group shared out anew."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001
        await self.call_thread(coordinator.request_rejoin)

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        for tp, fetched in consumer._fetcher._records.items():  # noqa: SLF001
            if isinstance(fetched, FetchResult) and self.consumer.comes_in_batches(tp):
                fetched._partition_records._consumer_record = lean_record  # noqa: SLF001
        return await super()._fetch_records(consumer, *args, **kwargs)
