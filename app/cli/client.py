"""Commands that talk to Kafka for a moment: quiet client libraries, and one word for "it does not answer"."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from app.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

T = TypeVar("T")
POLL_MS = 200
STALLED_S = 30.0
"""How long reading may bring nothing new before the broker counts as lost."""


def run_client(work: Coroutine[Any, Any, T], broker: str) -> T:
    """The result of *work*; raises BrokerError when Kafka does not answer."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415  # not for those who ask for --help

    # What it logs while it cannot connect says less than the error that follows.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(_when_reached(work, broker))
    except (KafkaError, TimeoutError) as error:
        raise BrokerError(
            f"Kafka at {broker} does not answer ({error or type(error).__name__}): is it running, and is the address "
            "right? Set it with --broker or FAUST_ONNX_BROKER; `faust-onnx broker` starts one"
        ) from error


async def _when_reached(work: Coroutine[Any, Any, T], broker: str) -> T:
    """The result of *work*, begun once the broker has answered: what is missing is then said the same everywhere."""
    from app.topology.topics import admin_client  # noqa: PLC0415  # as above

    try:
        async with admin_client(broker):
            pass
    except BaseException:
        work.close()
        raise
    return await work


async def read_topic(  # noqa: PLR0913  # what part of a topic one may ask for
    broker: str,
    topic: str,
    *,
    partition: int | None = None,
    first: int = 0,
    last: int | None = None,
    newest: int | None = None,
    oldest: int | None = None,
) -> AsyncIterator[ConsumerRecord]:
    """The committed records of *topic* that are there now, each partition in order.

    partition: this one alone; first, last: offsets, inclusive, in each partition; newest, oldest: only so many offsets
    at the end, or at the beginning, of each. Raises BrokerError when there is no such topic or partition.
    """
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415  # as above

    from app.topology.topics import admin_client, partition_counts  # noqa: PLC0415  # as above

    async with admin_client(broker) as client:
        n_partitions = (await partition_counts(client, [topic])).get(topic)
    if n_partitions is None:
        raise BrokerError(f"Kafka at {broker} has no topic {topic}: is the pipeline's name right?")
    if partition is not None and partition >= n_partitions:
        raise BrokerError(f"topic {topic} has no partition {partition}, only 0 to {n_partitions - 1}")
    chosen = [TopicPartition(topic, each) for each in (range(n_partitions) if partition is None else [partition])]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await consumer.start()
        consumer.assign(chosen)
        async for record in _until_the_end(consumer, chosen, first, last, newest, oldest):
            yield record
    finally:
        await consumer.stop()


async def _until_the_end(  # noqa: C901, PLR0913, PLR0917  # as above, each a line
    consumer: AIOKafkaConsumer,
    chosen: list[TopicPartition],
    first: int,
    last: int | None,
    newest: int | None,
    oldest: int | None,
) -> AsyncIterator[ConsumerRecord]:
    begins, ends = await consumer.beginning_offsets(chosen), await consumer.end_offsets(chosen)
    ends = {each: end if last is None else min(end, last + 1) for each, end in ends.items()}
    begins = {each: max(begin, first) for each, begin in begins.items()}
    if newest is not None:
        begins = {each: max(begin, ends[each] - newest) for each, begin in begins.items()}
    if oldest is not None:
        ends = {each: min(end, begins[each] + oldest) for each, end in ends.items()}
    for each in chosen:
        consumer.seek(each, begins[each])
    left = {each for each in chosen if begins[each] < ends[each]}
    consumer.pause(*(set(chosen) - left))
    loop = asyncio.get_running_loop()
    moved_at_s = loop.time()
    while left:
        for each, records in (await consumer.getmany(*left, timeout_ms=POLL_MS)).items():
            moved_at_s = loop.time()
            for record in records:
                if record.offset < ends[each]:
                    yield record
        # Positions, not offsets, tell the end: the last offsets of a topic may be transaction markers.
        for each in list(left):
            if await consumer.position(each) >= ends[each]:
                left.discard(each)
                consumer.pause(each)
        if loop.time() - moved_at_s > STALLED_S:
            raise BrokerError(f"nothing came of {len(left)} partitions of {chosen[0].topic} for {STALLED_S:g} s")
