"""The shared broker of a test session, and what nearly every test on it does: create topics, produce, read back.

FAUST_ONNX_TEST_BROKER=host:port uses a broker that runs already (`python -m app.embedded` starts one); tests that stop
or kill a broker always start one of their own with `start_kafka`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from confluent_kafka.admin import AdminClient, NewTopic

from app.embedded import EmbeddedKafka

pytest_plugins = ["tests.workers", "tests.proxy"]

DEADLINE_S = 60.0
FULL = bool(os.environ.get("TEST_FULL"))
"""`make test-full`: tests marked `long` run too, and those that are shortened run whole."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests to `make test-full`."""
    if not FULL:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    """The session's own broker, started when a test first asks for it; do not stop it, see `start_kafka`."""
    with EmbeddedKafka.start() as broker:
        yield broker


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The `host:port` of the broker that tests share."""
    given = os.environ.get("FAUST_ONNX_TEST_BROKER")
    return given or request.getfixturevalue("kafka").bootstrap


@pytest.fixture
def start_kafka() -> Iterator[Callable[..., EmbeddedKafka]]:
    """`EmbeddedKafka.start`, for a broker of the test's own, which is closed when the test ends."""
    with ExitStack() as brokers:
        yield lambda **arguments: brokers.enter_context(EmbeddedKafka.start(**arguments))


@pytest.fixture
def unique() -> Callable[..., str]:
    """Makes names that no other test has used, for pipelines, groups and transactions: `p3f2a91`."""
    return lambda prefix="p": f"{prefix}{uuid.uuid4().hex[:6]}"


@pytest.fixture
def create_topics(bootstrap: str) -> Callable[..., Awaitable[None]]:
    """Makes topics and waits for their leaders.

    >>> await create_topics({"a": 4, "b": (1, {"cleanup.policy": "compact"})})  # doctest: +SKIP
    """
    return partial(_create_topics, bootstrap)


@pytest.fixture
def produce(bootstrap: str) -> Callable[..., Awaitable[list[Any]]]:
    """Sends records in order and returns where each went.

    >>> await produce("a", [b"1", {"value": b"2", "key": b"k"}])  # doctest: +SKIP

    A record is its value, or a dict of `value`, `key`, `partition`, `timestamp_ms`, `headers`, those that it needs.
    Further arguments go to the producer: `compression_type`, or `transactional_id`, which makes it all one transaction.
    """
    return partial(_produce, bootstrap)


@pytest.fixture
def read_all(bootstrap: str) -> Callable[..., Awaitable[list[ConsumerRecord]]]:
    """A topic's records from offset 0 to its present end, sorted by partition and offset.

    >>> await read_all("a", isolation="read_committed")  # doctest: +SKIP

    With read_committed the end is where the first open transaction begins.
    """
    return partial(_read_all, bootstrap)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[Any]]:
    """The first true value of a function, plain or async, asked again and again.

    >>> await eventually(lambda: worker.ready, deadline_s=20)  # doctest: +SKIP
    """
    return _eventually


async def _create_topics(bootstrap: str, topics: Mapping[str, int | tuple[int, Mapping[str, str]]]) -> None:
    await asyncio.to_thread(_create_topics_now, bootstrap, topics)


def _create_topics_now(bootstrap: str, topics: Mapping[str, int | tuple[int, Mapping[str, str]]]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = []
    for name, wanted in topics.items():
        n_partitions, config = (wanted, {}) if isinstance(wanted, int) else wanted
        new.append(NewTopic(name, n_partitions, 1, config=dict(config)))
    for created in admin.create_topics(new, operation_timeout=DEADLINE_S).values():
        created.result(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    while not all(_has_leaders(admin, topic.topic, topic.num_partitions) for topic in new):
        assert time.monotonic() < deadline, f"no leaders for {list(topics)} within {DEADLINE_S:g} s"
        time.sleep(0.02)


def _has_leaders(admin: AdminClient, topic: str, n_partitions: int) -> bool:
    seen = admin.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions
    return len(seen) == n_partitions and all(partition.leader >= 0 for partition in seen.values())


async def _produce(
    bootstrap: str, topic: str, records: Iterable[bytes | Mapping[str, Any]], **options: Any
) -> list[Any]:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, **{"linger_ms": 5, **options}) as producer:
        if "transactional_id" not in options:
            return await _send(producer, topic, records)
        async with producer.transaction():
            return await _send(producer, topic, records)


async def _send(producer: AIOKafkaProducer, topic: str, records: Iterable[bytes | Mapping[str, Any]]) -> list[Any]:
    sent = [
        await producer.send(topic, **(record if isinstance(record, Mapping) else {"value": record}))
        for record in records
    ]
    return list(await asyncio.gather(*sent))


async def _read_all(
    bootstrap: str, topic: str, isolation: str = "read_committed", *, deadline_s: float = DEADLINE_S
) -> list[ConsumerRecord]:
    # Without a group it is assigned every partition of its topic as it starts.
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, isolation_level=isolation, auto_offset_reset="earliest"
    )
    async with asyncio.timeout(deadline_s), consumer:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        # The position, not the last record: markers and what compaction removed take offsets but are never delivered.
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=100)
            records += [r for at, batch in batches.items() for r in batch if r.offset < ends[at]]
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def _eventually(condition: Callable[[], Any], deadline_s: float = 20.0, every_s: float = 0.05) -> Any:
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        value = await value if inspect.isawaitable(value) else value
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {deadline_s:g} s: {_source(condition)} (last: {value!r})")
        await asyncio.sleep(every_s)


def _source(condition: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
